package storage_test

import (
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// TestAgedClaims moves claims into the past, which no method does.
func TestAgedClaims(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			ctx, db := t.Context(), open(t, p.Config)
			claim := func(what string, want bool) {
				t.Helper()
				if _, won, err := db.Claim(ctx, "org:a", "id", "r"); err != nil || won != want {
					t.Errorf("%s: %v, %v", what, won, err)
				}
			}
			const aMinute, aDay = `update idempotency set created_us = created_us - 61000000`, `update idempotency set created_us = created_us - 86401000000`
			claim("new", true)
			p.exec(t, aMinute)
			claim("of somebody who has died", true)
			claim("of somebody who works", false)
			if err := db.Keep(ctx, "org:a", "id", 201, "{}"); err != nil {
				t.Fatal(err)
			}
			p.exec(t, aMinute)
			claim("answered", false)
			if err := db.Clean(ctx); err != nil {
				t.Fatal(err)
			}
			claim("answered, and cleaned", false)
			p.exec(t, aDay)
			claim("answered yesterday", true)
			p.exec(t, aDay)
			if err := db.Clean(ctx); err != nil {
				t.Fatal(err)
			}
			if n := p.strings(t, `select count(*) from idempotency`)[0]; n != "0" {
				t.Errorf("%s claims are left", n)
			}
			kept, _, err := db.Claim(ctx, "org:a", "id", "another")
			if err != nil || kept != (tenancy.Kept{}) {
				t.Errorf("of a cleaned one is kept %+v, %v", kept, err)
			}
		})
	}
}
