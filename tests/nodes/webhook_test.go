package nodes

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is who is told: it verifies every signature by the reference library, and remembers what it was told in which order.
type receiver struct {
	t   *testing.T
	url string

	mu      sync.Mutex
	secrets []string            // any of which may have signed; guarded by mu
	refuses int                 // so many it answers with a 500 first; guarded by mu
	told    []notice            // guarded by mu
	ids     map[string]int      // how often each id came; guarded by mu
	objects map[string][]string // the types of what was told of each object, each id once; guarded by mu
}

type notice struct{ id, kind, object string }

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{t: t, ids: map[string]int{}, objects: map[string][]string{}}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	r.url = s.URL
	return r
}

// ServeHTTP takes a notice.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // its sender was killed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	verified := false
	for _, secret := range r.secrets {
		wh, err := webhooks.NewWebhook(secret)
		verified = verified || err == nil && wh.Verify(body, req.Header) == nil
	}
	if !verified {
		r.t.Errorf("a notice that nobody signed: %s", body)
	}
	if r.refuses > 0 {
		r.refuses--
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	var n struct {
		Type string
		Data struct{ ID string }
	}
	if err := json.Unmarshal(body, &n); err != nil {
		r.t.Errorf("%s: %v", body, err)
	}
	id := req.Header.Get("Webhook-Id")
	if r.ids[id]++; r.ids[id] == 1 {
		r.told = append(r.told, notice{id, n.Type, n.Data.ID})
		r.objects[n.Data.ID] = append(r.objects[n.Data.ID], n.Type)
	}
	w.WriteHeader(http.StatusNoContent)
}

// knows gives a secret that may have signed.
func (r *receiver) knows(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, secret)
}

func (r *receiver) heardOf(object string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.objects[object]) > 0
}

// TestWebhooksAreToldAtLeastOnce: whichever node is killed, whoever refuses for a while and whatever secret is rotated, everything that
// ends is told, signed, at least once and under one id.
func TestWebhooksAreToldAtLeastOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		nodes int
		env   func(t *testing.T) []string
	}{
		"two nodes on postgres": {2, func(t *testing.T) []string { return []string{"DATABASE_URL=" + server.Database(t).URL} }},
		"one node on sqlite":    {1, func(*testing.T) []string { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newWitness(t), newReceiver(t)
			h := newEstate(t, c.nodes, w.options("tasks: {per_user: 1000}\nwebhooks: {allow_private: [127.0.0.1/32], allow_http: true}", c.env(t)...))
			n := h.any(0)
			org := n.newOrg(t, "acme")
			k := n.newKey(t, org, "robot", object{"role": "task_executor"})
			a := n.must(t, http.StatusCreated, "POST", "/api/webhooks?organization="+org, object{"name": "ops", "url": r.url, "events": []string{"task.*", "batch.*"}})
			hook := "/api/webhooks/" + a.field("id")
			r.knows(a.field("secret"))
			r.refuses = 3 // they come again after some seconds

			const tasks = 30
			var ids []string
			for i := range tasks {
				ids = append(ids, strings.TrimPrefix(asks(t, h.any(i), k.secret, fmt.Sprintf("say t%d", i), nil), "/api/tasks/"))
				if i == tasks/2 {
					a := h.any(0).must(t, http.StatusOK, "POST", hook+"/rotate?organization="+org, object{"overlap_seconds": 3600})
					r.knows(a.field("secret"))
					h.kill(0)
				}
			}
			batch := strings.TrimPrefix(h.submit(k.secret, 10, 5), "/api/batches/")
			for _, id := range append(ids, batch) {
				soon(t, 3*patience, "who is told has heard of "+id, func() bool { return r.heardOf(id) })
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			for _, id := range ids {
				if len(r.objects[id]) != 1 || r.objects[id][0] != "task.succeeded" {
					t.Errorf("%s: told %v", id, r.objects[id])
				}
			}
			if got := r.objects[batch]; len(got) != 1 || got[0] != "batch.completed" || len(r.told) != tasks+1 {
				t.Errorf("%v, %d notices", got, len(r.told))
			}
		})
	}
}
