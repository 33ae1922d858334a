package tests

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// once gives a request an Idempotency-Key.
func once(key string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Idempotency-Key", key) }
}

// replays checks that an answer is the one that was given before.
func (a answer) replays(t *testing.T, first answer) {
	t.Helper()
	if a.header.Get("Idempotency-Replayed") != "true" || first.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("replayed: %q, then %q", first.header.Get("Idempotency-Replayed"), a.header.Get("Idempotency-Replayed"))
	}
	x, y := read[members](t, first), read[members](t, a)
	delete(x, "request_id")
	delete(y, "request_id")
	if a.status != first.status || !maps.EqualFunc(x, y, func(v, w any) bool { return fmt.Sprint(v) == fmt.Sprint(w) }) ||
		a.header.Get("Location") != first.header.Get("Location") || a.header.Get("ETag") != first.header.Get("ETag") {
		t.Errorf("another answer: %d %v %s\n%d %v %s", first.status, first.header, first.body, a.status, a.header, a.body)
	}
}

func TestRepeatedRequests(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	for _, operation := range o.document.Operations() {
		for _, p := range operation.Parameters {
			if p.Name != "Idempotency-Key" {
				continue
			}
			t.Run(operation.ID, func(t *testing.T) {
				t.Parallel()
				by := o.root
				if operation.Permission == "execute_task" { // for those of an organization
					by = n.admin
				}
				e := n.errand(t, operation, deeds()[operation.ID], by)
				e.header.Set("Idempotency-Key", n.word())
				first := e.run(t).want(t, deeds()[operation.ID].status)
				e.run(t).replays(t, first)
				e.body["more"] = true // it is another request, and a wrong one: what is wrong is said first
				e.run(t).problem(t, http.StatusUnprocessableEntity, "invalid")
				delete(e.body, "more")
				switch {
				case e.body["overlap_seconds"] != nil:
					e.body["overlap_seconds"] = 61
				case e.body["rpm"] != nil:
					e.body["rpm"] = 61
				case e.body["body"] != nil:
					e.body["priority"] = "low"
				default:
					e.body["name"] = n.word()
				}
				e.run(t).problem(t, http.StatusUnprocessableEntity, "other-request")
			})
		}
	}
	t.Run("somebody else's", func(t *testing.T) {
		t.Parallel()
		key, body := n.word(), members{"name": n.word()}
		n.admin.do(t, "POST", "/api/teams", body, once(key)).want(t, http.StatusCreated)
		n.robot(t, "org_admin").do(t, "POST", "/api/teams", body, once(key)).problem(t, http.StatusConflict, "taken")
	})
	t.Run("a refusal", func(t *testing.T) {
		t.Parallel()
		key, body := n.word(), members{"name": n.word()}
		other := n.admin.create(t, "/api/teams", body)["id"].(string)
		first := n.admin.do(t, "POST", "/api/teams", body, once(key))
		first.problem(t, http.StatusConflict, "taken")
		n.admin.do(t, "DELETE", "/api/teams/"+other, nil).want(t, http.StatusNoContent)
		n.admin.do(t, "POST", "/api/teams", body, once(key)).replays(t, first)
	})
	t.Run("a key that is too long", func(t *testing.T) {
		t.Parallel()
		n.admin.do(t, "POST", "/api/teams", members{"name": n.word()}, once(strings.Repeat("k", 256))).problem(t, http.StatusUnprocessableEntity, "invalid")
	})
}

// together makes requests at the same time.
func together(t *testing.T, times int, send func(i int) (answer, error)) []answer {
	t.Helper()
	answers, faults := make([]answer, times), make([]error, times)
	var all sync.WaitGroup
	for i := range times {
		all.Go(func() { answers[i], faults[i] = send(i) })
	}
	all.Wait()
	if err := errors.Join(faults...); err != nil {
		t.Fatal(err)
	}
	return answers
}

// TestRepeatedAtTheSameTime: of several requests with one Idempotency-Key one is made; the others are told so, or to
// wait.
func TestRepeatedAtTheSameTime(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	waited := false
	for round := 0; !waited && round < 20; round++ {
		body := members{"name": n.word(), "email": n.word() + "@example.com", "password": n.password}
		var first *answer
		replayed := 0
		for _, a := range together(t, 8, func(int) (answer, error) {
			return n.admin.send(t.Context(), "POST", "/api/users", body, once(body["email"].(string)))
		}) {
			switch {
			case a.status == http.StatusConflict:
				a.problem(t, http.StatusConflict, "running")
				waited = true
				if a.header.Get("Retry-After") == "" {
					t.Error("no retry-after")
				}
			case a.header.Get("Idempotency-Replayed") != "":
				replayed++
				a.want(t, http.StatusCreated)
			case first != nil:
				t.Fatalf("the request was made twice\n%s\n%s", first.body, a.body)
			default:
				first = &a
				a.want(t, http.StatusCreated)
			}
		}
		if first == nil {
			t.Fatalf("nobody made the request; %d were told that it was", replayed)
		}
		n.admin.do(t, "POST", "/api/users", body, once(body["email"].(string))).replays(t, *first)
	}
	if !waited {
		t.Error("nobody was told to wait")
	}
}

// TestRepeatedAfterRestart: what was answered before a restart is known after it, the secret too.
func TestRepeatedAfterRestart(t *testing.T) {
	t.Parallel()
	body, key := members{"name": "web"}, "after a restart"
	var path string
	var first answer
	restart(t,
		func(o *office) {
			path = "/api/keys" + within(o.organization(t, "acme"))
			first = o.root.do(t, "POST", path, body, once(key)).want(t, http.StatusCreated)
			o.secret(t, read[members](t, first))
		},
		func(o *office) {
			again := o.root.do(t, "POST", path, body, once(key))
			again.replays(t, first)
			if !o.secret(t, read[members](t, again)).calls(t) {
				t.Error("the secret that is told again opens nothing")
			}
		})
}
