package admin

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/tenancy"
)

// purges notes what was purged.
type purges struct {
	mu  sync.Mutex
	all [][3]string // guarded by mu
}

func (p *purges) Purge(_ context.Context, org tenancy.ID, route, tag string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, [3]string{string(org), route, tag})
	return nil
}

func (*purges) Shared() bool { return true }

// An organization's own people purge what is theirs, and the platform what it names; each time the audit log says so.
func TestPurgeCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type body = map[string]any
	w.do("admin", "POST", "/api/cache/purge", body{}).want(200)
	w.do("admin", "POST", "/api/cache/purge", body{"route": "fast", "tag": "a=b"}).want(200)
	w.do("root", "POST", "/api/cache/purge", body{"route": "fast"}).want(200)
	w.do("root", "POST", "/api/cache/purge?organization="+string(acme), body{}).want(200)
	for field, wrong := range map[string]body{"body.tag": {"tag": "a"}, "body.route": {"route": "a\nb"}, "body.more": {"more": 1}} {
		if p := w.do("admin", "POST", "/api/cache/purge", wrong).problem(invalid); len(p.Errors) != 1 || p.Errors[0].Location != field {
			t.Errorf("%v: %+v", wrong, p.Errors)
		}
	}
	want := [][3]string{{string(acme), "", ""}, {string(acme), "fast", "a=b"}, {"", "fast", ""}, {string(acme), "", ""}}
	if diff := cmp.Diff(want, w.purged.all); diff != "" {
		t.Error(diff)
	}
	var seen [][2]string
	for _, e := range w.db.audit.all() {
		seen = append(seen, [2]string{string(e.Org), e.Action + " " + e.Object.Name})
	}
	told := [][2]string{{string(acme), "cache.purge "}, {string(acme), "cache.purge fast a=b"}, {string(tenancy.Platform), "cache.purge fast"}, {string(acme), "cache.purge "}}
	if diff := cmp.Diff(told, seen); diff != "" {
		t.Error(diff)
	}
	w.Cache = nil
	w.do("admin", "POST", "/api/cache/purge", body{}).problem(unavailable)
}
