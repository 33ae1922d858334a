package storage_test

import (
	"strings"
	"testing"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// TestSettingsOfAnotherVersion: what can not be read is a problem of one object, and goes when it is written anew.
func TestSettingsOfAnotherVersion(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), open(t, p.Config)
			var ids []tenancy.ID
			for _, name := range []string{"a", "b", "c"} {
				v, err := db.Providers().Create(ctx, tenancy.Vel(), routing.ManagedProvider{
					Meta: tenancy.Meta{Org: tenancy.Platform, Name: name}, Settings: routing.ProviderConfig{Kind: "openai"},
				})
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, v.ID)
			}
			p.exec(t, `update providers set settings = '{"kind":"openai","moon":"full"}' where name = 'b'`)
			c, err := db.Changes(ctx, 0)
			if err != nil || len(c.Providers) != 3 {
				t.Fatalf("%+v, %v", c, err)
			}
			for _, v := range c.Providers {
				if bad := v.Name == "b"; bad != (v.Problem != "") || bad && !strings.Contains(v.Problem, "newer") {
					t.Errorf("%s: %q", v.Name, v.Problem)
				}
			}
			v, err := db.Providers().Get(ctx, tenancy.Platform, ids[1])
			if err != nil {
				t.Fatal(err)
			}
			v.Settings = routing.ProviderConfig{Kind: "groq"}
			if v, err = db.Providers().Update(ctx, tenancy.Vel(), v); err != nil || v.Problem != "" || v.Settings.Kind != "groq" {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}
