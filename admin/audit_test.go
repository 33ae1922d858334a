package admin

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// logbook is an AuditStore in memory.
type logbook struct {
	mu     sync.Mutex
	events []tenancy.AuditEvent // guarded by mu
	fail   error                // likewise
	asked  []tenancy.AuditQuery // likewise
}

func (l *logbook) Record(_ context.Context, events []tenancy.AuditEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail == nil {
		l.events = append(l.events, events...)
	}
	return l.fail
}

func (l *logbook) Audit(_ context.Context, q tenancy.AuditQuery) (found []tenancy.AuditEvent, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, q)
	for i := len(l.events) - 1; i >= 0; i-- {
		e := l.events[i]
		before := q.Before.ID == "" || e.Time.Before(q.Before.Time) || e.Time.Equal(q.Before.Time) && e.ID < q.Before.ID
		if e.Org == q.Org && before && len(found) < q.Limit {
			found = append(found, e)
		}
	}
	return found, l.fail
}

func (l *logbook) AuditHeads(_ context.Context, org, after tenancy.ID, limit int) (heads []chain.Checkpoint, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range []tenancy.ID{acme, other, tenancy.Platform} {
		if (org == "" || org == id) && id > after && len(heads) < limit {
			heads = append(heads, chain.Checkpoint{Org: id, Number: 1, Time: start, Seal: 7, Hash: "hash", Key: "key", Signature: "signature"})
		}
	}
	return heads, l.fail
}

func (l *logbook) ExportAudit(_ context.Context, _ tenancy.ID, _, _ time.Time, w *chain.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	return w.End()
}

// all are the events that were recorded.
func (l *logbook) all() []tenancy.AuditEvent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

func (l *logbook) breaks(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// recorded writes down what waits, and gives it.
func (w *world) recorded() []tenancy.AuditEvent {
	w.refusals.sum(w.Now(), true)
	w.refusals.write(w.t.Context())
	return w.db.audit.all()
}

func TestRefusalsAreRecorded(t *testing.T) {
	t.Parallel()
	const canary = "Canary-Password-1"
	unknown := "key_" + strings.Repeat("0", 32)
	for name, c := range map[string]struct {
		ask                     func(w *world) *answer
		status                  int
		org                     tenancy.ID
		action, outcome         string
		by, object, kind, email string
		says                    string
	}{
		"nobody":              {func(w *world) *answer { return w.do("", "GET", "/api/keys", nil) }, 401, tenancy.Platform, "access.refused", "refused", "", "", "list-keys", "", "Send a session"},
		"no permission":       {func(w *world) *answer { return w.do("viewer", "DELETE", "/api/keys/"+unknown, nil) }, 403, acme, "access.refused", "refused", "user_viewer", unknown, "delete-key", "viewer@example.com", "manage_keys"},
		"another's":           {func(w *world) *answer { return w.do("admin", "GET", "/api/keys/"+unknown, nil) }, 404, acme, "access.refused", "refused", "user_admin", unknown, "get-key", "admin@example.com", "no such object"},
		"a secret as an id":   {func(w *world) *answer { return w.do("admin", "GET", "/api/keys/"+canary, nil) }, 404, acme, "access.refused", "refused", "user_admin", "", "get-key", "admin@example.com", ""},
		"another's, by a key": {func(w *world) *answer { return w.do("robot", "GET", "/api/keys?organization=org_other", nil) }, 404, acme, "access.refused", "refused", "", "", "list-keys", "", ""},
		"an unknown address": {func(w *world) *answer {
			return w.do("", "POST", "/api/auth/login", map[string]string{"email": "who@example.com", "password": canary})
		}, 401, tenancy.Platform, "auth.login_failed", "failed", "", "", "user", "who@example.com", ""},
		"a password as address": {func(w *world) *answer {
			return w.do("", "POST", "/api/auth/login", map[string]string{"email": canary, "password": canary})
		}, 401, tenancy.Platform, "auth.login_failed", "failed", "", "", "user", "", ""},
		"a wrong password": {func(w *world) *answer {
			return w.do("", "POST", "/api/auth/login", map[string]string{"email": "Admin@example.com", "password": canary})
		}, 401, acme, "auth.login_failed", "failed", "", "user_admin", "user", "admin@example.com", ""},
		"a wrong old password": {func(w *world) *answer {
			return w.do("admin", "PUT", "/api/users/me/password", map[string]string{"old": canary, "new": canary})
		}, 422, acme, "auth.login_failed", "failed", "user_admin", "user_admin", "user", "admin@example.com", ""},
		"the admin key": {func(w *world) *answer { return w.do("vel", "GET", "/api/keys?organization=org_acme", nil) }, 200, tenancy.Platform, "access.admin_key", "done", "", "", "list-keys", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.ask(w).want(c.status)
			list := w.recorded()
			if len(list) != 1 {
				t.Fatalf("%d events: %+v", len(list), list)
			}
			e := list[0]
			type short struct {
				Org                                     tenancy.ID
				Action, Outcome, By, Object, Kind, Mail string
			}
			want := short{c.org, c.action, c.outcome, c.by, c.object, c.kind, c.email}
			if diff := cmp.Diff(want, short{e.Org, e.Action, e.Outcome, string(e.By.User), string(e.Object.ID), e.Object.Kind, e.By.Email}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if e.By.Address == "" || e.By.Request == "" || e.Count != 1 || !e.Time.Equal(start) || !strings.Contains(e.Reason, c.says) {
				t.Errorf("%+v", e)
			}
			if strings.Contains(strings.ToLower(fmt.Sprintf("%+v", e)), strings.ToLower(canary)) {
				t.Errorf("a password is in %+v", e)
			}
		})
	}
}

// TestWhatIsNotRecorded: what worked, and what is a mistake.
func TestWhatIsNotRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("admin", "GET", "/api/keys", nil).want(200)
	w.do("admin", "GET", "/api/nowhere", nil).want(404)
	w.do("admin", "POST", "/api/keys", "{").want(400)
	w.do("admin", "GET", "/api/keys?limit=0", nil).want(422)
	w.do("", "GET", "/api/health", nil)
	if list := w.recorded(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

// TestRefusalsUnderAttack: the first few are written one by one, then how many more there were, and others are not lost
// in them.
func TestRefusalsUnderAttack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 1000 {
		w.do("", "GET", "/api/keys", nil).want(401)
	}
	w.do("viewer", "DELETE", "/api/keys/key_robot", nil).want(403)
	w.db.pass(tallyLife)
	list := w.recorded()
	var counts []int64
	total := int64(0)
	for _, e := range list {
		if e.Org == tenancy.Platform {
			counts = append(counts, e.Count)
			total += e.Count
		}
	}
	if want := []int64{1, 1, 1, 1, 1, 995}; !slices.Equal(counts, want) || total != 1000 || len(list) != 7 {
		t.Errorf("counts %d of %d events, want %d", counts, len(list), want)
	}
}

// TestRefusalsAreBounded: whatever comes, memory and the log stay small, and what is lost is counted.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.audit.breaks(&tenancy.Unavailable{Cause: errors.New("away")})
	for i := range 20_000 {
		by := tenancy.Actor{Address: fmt.Sprintf("192.0.%d.%d", i/256, i%256)}
		w.refusals.add(tenancy.NewAuditEvent(by, tenancy.Platform, tenancy.ActionRefused, tenancy.AuditObject{}, start.Add(time.Duration(i/700)*tallyLife)), firstFew)
		if i%500 == 0 {
			w.refusals.write(t.Context())
		}
	}
	if len(w.refusals.tallies) > 2*mostTallies || len(w.refusals.queue) > mostQueued {
		t.Errorf("%d tallies, %d events", len(w.refusals.tallies), len(w.refusals.queue))
	}
	w.do("", "GET", "/api/keys", nil).want(401) // and nobody notices
	w.db.audit.breaks(nil)
	list := w.recorded()
	if len(list) < mostQueued {
		t.Errorf("only %d events were written when the database was back", len(list))
	}
	if !strings.Contains(w.log.String(), "some refusals are not in the audit log") {
		t.Error("the log does not say that some were lost")
	}
	w.db.audit.breaks(errors.New("never"))
	w.do("viewer", "DELETE", "/api/keys/key_robot", nil).want(403)
	w.recorded()
	if len(w.refusals.queue) > 0 {
		t.Error("what can not be written is kept for ever")
	}
}

// TestRecordRefusals: what waits is written within a second, and at the end.
func TestRecordRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.RecordRefusals(ctx)
		}()
		w.do("viewer", "DELETE", "/api/keys/key_robot", nil).want(403)
		synctest.Wait()
		if n := len(w.db.audit.all()); n != 1 {
			t.Errorf("%d events", n)
		}
		for range firstFew + 2 {
			w.do("viewer", "DELETE", "/api/keys/key_robot", nil).want(403)
		}
		cancel()
		<-done
		list := w.db.audit.all()
		if n := len(list); n != firstFew+1 || list[n-1].Count != 3 {
			t.Errorf("%+v", list)
		}
	})
}

func TestListAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		by := tenancy.Actor{Org: acme, User: "user_admin", Name: "admin", Email: "admin@example.com", Address: "192.0.2.1", Agent: "curl/8", Request: "req_1"}
		e := tenancy.NewAuditEvent(by, acme, "keys.update", tenancy.AuditObject{Kind: "key", ID: "key_1", Name: "=cmd|x"}, start.Add(time.Duration(i)*time.Second))
		e.ID = tenancy.ID(fmt.Sprint("event_", i))
		e.Before, e.After = `{"disabled":false}`, `{"disabled":true}`
		if i < 4 {
			e.Sealed.Seal = 3
		}
		w.db.audit.events = append(w.db.audit.events, e)
	}
	var page struct {
		Data []map[string]any
		Next *string
	}
	var ids []any
	path := "/api/audit?limit=2"
	for {
		w.do("admin", "GET", path, nil).want(200).into(&page)
		for _, e := range page.Data {
			ids = append(ids, e["id"])
		}
		if page.Next == nil {
			break
		}
		path, page.Next = "/api/audit?limit=2&after="+*page.Next, nil
	}
	if diff := cmp.Diff([]any{"event_4", "event_3", "event_2", "event_1", "event_0"}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := map[string]any{
		"id": "event_0", "organization": "org_acme", "time": "2027-01-15T12:00:00Z", "action": "keys.update", "outcome": "done", "reason": "", "count": 1.0,
		"actor": map[string]any{
			"organization": "org_acme", "user": "user_admin", "key": nil, "session": nil, "name": "admin", "email": "admin@example.com",
			"address": "192.0.2.1", "agent": "curl/8",
		},
		"request": "req_1", "object": map[string]any{"kind": "key", "id": "key_1", "name": "=cmd|x"},
		"before": map[string]any{"disabled": false}, "after": map[string]any{"disabled": true}, "seal": 3.0,
	}
	if diff := cmp.Diff(want, page.Data[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w.do("admin", "GET", "/api/audit?from=2027-01-01T00:00:00Z&to=2027-02-01T00:00:00Z&actor=a@example.com&action=keys.&object=key_1&outcome=refused&limit=1", nil).want(200)
	asked := w.db.audit.asked[len(w.db.audit.asked)-1]
	if diff := cmp.Diff(tenancy.AuditQuery{
		Org: acme, From: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC),
		Actor: "a@example.com", Action: "keys.", Object: "key_1", Outcome: "refused", Limit: 2,
	}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	for _, query := range []string{"outcome=x", "after=x", "action=%25", "from=yesterday", "limit=1001", "what=1"} {
		w.do("admin", "GET", "/api/audit?"+query, nil).problem(invalid)
	}

	// The same as files.
	rows, err := csv.NewReader(strings.NewReader(string(w.do("admin", "GET", "/api/audit/export?format=csv", nil).want(200).body))).ReadAll()
	if err != nil || len(rows) != 6 || rows[0][0] != "time" || rows[1][2] != "event_4" || rows[1][18] != "'=cmd|x" || rows[1][20] != `{"disabled":true}` {
		t.Errorf("%q, %v", rows, err)
	}
	var list []map[string]any
	w.do("admin", "GET", "/api/audit/export?format=json", nil).want(200).into(&list)
	if len(list) != 5 || !cmp.Equal(list[4], want) {
		t.Errorf("%v", list)
	}
	w.do("outsider", "GET", "/api/audit/export?format=json", nil).want(200).into(&list)
	if len(list) != 0 {
		t.Errorf("%v", list)
	}
	a := w.do("admin", "GET", "/api/audit/export", nil).want(200)
	if r, err := chain.Verify(strings.NewReader(string(a.body))); err != nil || r.Org != acme || len(r.Keys) != 1 || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%+v, %v", r, err)
	}
	w.do("admin", "GET", "/api/audit/export?actor=x", nil).problem(invalid)
}

func TestWhoReadsTheAuditLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/api/audit", "/api/audit/export", "/api/audit/heads"} {
		for who, status := range map[string]int{"": 401, "viewer": 403, "manager": 403, "clerk": 403, "caller": 403, "admin": 200, "robot": 200, "root": 200, "vel": 200} {
			w.do(who, "GET", path, nil).want(status)
		}
		w.do("admin", "GET", path+"?organization=org_other", nil).problem(notFound)
		w.do("root", "GET", path+"?organization=org_deleted", nil).want(200) // its log stays
		w.db.audit.breaks(&tenancy.Unavailable{Cause: errors.New("away")})
		w.do("admin", "GET", path, nil).problem(unavailable)
		w.db.audit.breaks(nil)
	}
	var heads ListOf[AuditHead]
	w.do("admin", "GET", "/api/audit/heads", nil).want(200).into(&heads)
	if len(heads.Data) != 1 || heads.Data[0].Organization != acme || heads.Data[0].Seal != 7 || heads.Data[0].KeptFrom != nil {
		t.Errorf("%+v", heads)
	}
	w.do("root", "GET", "/api/audit/heads?limit=2", nil).want(200).into(&heads)
	if len(heads.Data) != 2 || heads.Next == nil || *heads.Next != other {
		t.Errorf("%+v", heads)
	}
	w.do("root", "GET", "/api/audit/heads?limit=2&after="+string(*heads.Next), nil).want(200).into(&heads)
	if len(heads.Data) != 1 || heads.Data[0].Organization != tenancy.Platform {
		t.Errorf("%+v", heads)
	}
}

// TestExportBreaksOff: who gets a part must not take it for the whole.
func TestExportBreaksOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Audit = halfway{w.db.audit}
	for _, format := range []string{"ndjson", "csv", "json"} {
		func() {
			defer func() {
				if cause := recover(); cause != http.ErrAbortHandler {
					t.Errorf("%s: the answer ended as if it were whole: %v", format, cause)
				}
			}()
			w.do("admin", "GET", "/api/audit/export?format="+format, nil)
		}()
	}
}

// halfway is a store that fails when an export has begun.
type halfway struct{ *logbook }

func (halfway) Audit(context.Context, tenancy.AuditQuery) ([]tenancy.AuditEvent, error) {
	return nil, errors.New("broken")
}

func (halfway) ExportAudit(context.Context, tenancy.ID, time.Time, time.Time, *chain.Writer) error {
	return errors.New("broken")
}

// TestActors: events name who somebody is, also if they come with a key.
func TestActors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := map[string]tenancy.Actor{}
	for _, name := range []string{"admin", "robot", "vel"} {
		w.db.teams.by = func(by tenancy.Actor) { seen[name] = by }
		w.do(name, "POST", "/api/teams", map[string]string{"name": "by " + name, "organization": string(acme)}, "User-Agent", "curl/8").want(201)
	}
	for name, want := range map[string]tenancy.Actor{
		"admin": {Org: acme, User: "user_admin", Session: "session_user_admin", Name: "admin", Email: "admin@example.com"},
		"robot": {Org: acme, Key: "key_robot", Name: "robot"},
		"vel":   {Org: tenancy.Platform, Name: "admin key"},
	} {
		got := seen[name]
		if got.Request == "" || got.Address == "" || got.Agent != "curl/8" {
			t.Errorf("%s: %+v", name, got)
		}
		got.Request, got.Address, got.Agent, got.May = "", "", "", 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
