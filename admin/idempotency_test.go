package admin

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

const repeatable = "Idempotency-Key"

func TestSameRequestSameAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := map[string]any{"name": "k", "role": "viewer"}
	first := w.do("admin", "POST", "/api/keys", body, repeatable, "a").want(201)
	again := w.do("admin", "POST", "/api/keys", `{ "role":"viewer", "name":"k" }`, repeatable, "a").want(201) // the same, written differently
	if string(first.body) != string(again.body) || first.object()["secret"] == nil || len(w.db.keys.rows) != 4 {
		t.Errorf("first %s\nagain %s, %d keys", first.body, again.body, len(w.db.keys.rows))
	}
	for _, name := range []string{"ETag", "Location"} {
		if first.header.Get(name) == "" || first.header.Get(name) != again.header.Get(name) {
			t.Errorf("%s was %q and is %q", name, first.header.Get(name), again.header.Get(name))
		}
	}
	if first.header.Get("Idempotency-Replayed") != "" || again.header.Get("Idempotency-Replayed") != "true" {
		t.Error("it does not say which answer was kept")
	}
	rotated := w.do("admin", "POST", "/api/keys/key_robot/rotate", map[string]any{"overlap_seconds": 60}, repeatable, "b").want(200)
	if again := w.do("admin", "POST", "/api/keys/key_robot/rotate", map[string]any{"overlap_seconds": 60}, repeatable, "b").want(200); string(rotated.body) != string(again.body) {
		t.Errorf("rotated twice: %s, %s", rotated.body, again.body)
	}
	for id, kept := range w.db.kept {
		if secret := first.object()["secret"].(string); strings.Contains(kept.Answer+kept.Request, secret[7:]) {
			t.Errorf("%s keeps the secret as it is", id)
		}
	}
}

func TestOtherRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a").want(201)
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "b"}, repeatable, "a").problem(otherRequest)
	w.do("admin", "POST", "/api/roles", map[string]any{"name": "a", "permissions": []string{}}, repeatable, "a").problem(otherRequest)
	w.do("admin", "POST", "/api/keys/key_robot/rotate", nil, repeatable, "a").problem(otherRequest)
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "b"}, repeatable, "b").want(201)
	// Another person's key is another one: nobody reads what somebody else was answered.
	w.do("robot", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a").problem(taken)
	w.do("vel", "POST", "/api/teams?organization=org_other", map[string]any{"name": "a"}, repeatable, "a").want(201)
	w.do("vel", "POST", "/api/teams?organization=org_acme", map[string]any{"name": "a"}, repeatable, "a").problem(otherRequest)
}

func TestRefusalsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.do("admin", "POST", "/api/teams", map[string]any{"name": "red"}, repeatable, "a")
	p := first.problem(taken)
	delete(w.db.teams.rows, "team_red")
	again := w.do("admin", "POST", "/api/teams", map[string]any{"name": "red"}, repeatable, "a")
	q := again.problem(taken)
	if again.header.Get("Idempotency-Replayed") != "true" || p.Detail != q.Detail || len(q.Errors) != 1 || p.RequestID == q.RequestID {
		t.Errorf("first %s\nagain %s", first.body, again.body)
	}
}

func TestStillRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var inside *answer
	w.db.teams.fail = func(verb string, _ *tenancy.Team) error {
		if verb == "create" && inside == nil {
			inside = &answer{}
			inside = w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a")
		}
		return nil
	}
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a").want(201)
	if inside.problem(running); inside.header.Get("Retry-After") != "1" {
		t.Error("it does not say when to ask again")
	}
}

// What blames Vel is not kept: the request can be made again under the same key.
func TestFailuresAreNotKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func() error
		kind kind
	}{
		"unavailable": {func() error { return &tenancy.Unavailable{Cause: errors.New("gone")} }, unavailable},
		"unknown":     {func() error { return errors.New("broken") }, internal},
		"panic":       {func() error { panic("broken") }, internal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.db.teams.fail = func(verb string, _ *tenancy.Team) error {
				if verb == "create" {
					return c.fail()
				}
				return nil
			}
			w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a").problem(c.kind)
			w.db.teams.fail = nil
			if a := w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a").want(201); a.header.Get("Idempotency-Replayed") != "" {
				t.Error("it was kept")
			}
		})
	}
}

// An answer that was sealed with a key that is gone is not made up, and the request is not made twice.
func TestAnotherKeyring(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a").want(201)
	next, err := secrets.NewKeyring(secrets.New(strings.Repeat("n", 32)))
	if err != nil {
		t.Fatal(err)
	}
	w.Keyring = next
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a").problem(unreadable)
	if len(w.db.teams.rows) != 3 {
		t.Errorf("%d teams", len(w.db.teams.rows))
	}
}

// What does not get as far as a handler claims nothing.
func TestInvalidRequestsClaimNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("admin", "POST", "/api/teams", map[string]any{"nonsense": "a"}, repeatable, "a").problem(invalid)
	w.do("viewer", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a").problem(notAllowed)
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, strings.Repeat("x", 256)).problem(invalid)
	w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "").problem(invalid)
	if len(w.db.kept) != 0 {
		t.Errorf("claimed: %v", w.db.kept)
	}
	if a := w.do("admin", "POST", "/api/teams", map[string]any{"name": "a"}, repeatable, "a"); a.status != http.StatusCreated {
		t.Errorf("status %d", a.status)
	}
}
