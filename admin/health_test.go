package admin

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	const cause = "dial tcp db-7.internal:5432: refused"
	for name, c := range map[string]struct {
		ping             error
		available, total int
		status           int
		says             string
	}{
		"well":             {nil, 1, 2, 200, ""},
		"no database":      {errors.New(cause), 1, 2, 503, "the database does not answer"},
		"no provider":      {nil, 0, 2, 503, "no provider can be used now"},
		"nothing declared": {nil, 0, 0, 503, "no provider is configured"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Ping = func(context.Context) error { return c.ping }
			w.Providers = func() (int, int) { return c.available, c.total }
			w.db.pass(90 * time.Second)
			a := w.do("", "GET", "/api/health", nil).want(c.status)
			var h Health
			a.into(&h)
			if want := map[bool]string{true: "ok", false: "degraded"}[c.status == 200]; h.Status != want || h.Version != "test" || h.Uptime != 90 ||
				h.Checks.Providers.Available != c.available || h.Checks.Providers.Total != c.total {
				t.Errorf("health %s", a.body)
			}
			if reasons := h.Checks.Database.Reason + h.Checks.Providers.Reason; reasons != c.says || strings.Contains(string(a.body), "db-7") {
				t.Errorf("it says %q: %s", reasons, a.body)
			}
		})
	}
}

// A database that hangs costs 300 ms.
func TestHealthDoesNotWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		w.Now, w.began = time.Now, time.Now()
		w.Ping = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		began := time.Now()
		a := w.do("", "GET", "/api/health", nil).want(503)
		var h Health
		a.into(&h)
		if took := time.Since(began); took != databasePatience || h.Checks.Database.Latency != 300 {
			t.Errorf("it took %s: %s", took, a.body)
		}
	})
}
