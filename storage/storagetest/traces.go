package storagetest

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// by is somebody who makes changes, with everything that is kept of them.
var by = tenancy.Actor{
	Org: "org:them", User: "user_them", Session: "session_them", Name: "Zoë", Email: "zoe@example.com", May: tenancy.AllPermissions,
	Address: "2001:db8::1", Agent: "curl/8 \"quoted\"", Request: "req_1",
}

// events are those of organizations since the newest that was seen before, the oldest first.
func events(t *testing.T, db *storage.DB, since time.Time, orgs ...tenancy.ID) (all []tenancy.AuditEvent) {
	t.Helper()
	for _, org := range orgs {
		list, err := db.Audit(t.Context(), tenancy.AuditQuery{Org: org, From: since, Limit: 1000})
		must(t, err)
		slices.Reverse(list)
		all = append(all, list...)
	}
	return all
}

// walk makes, changes and takes away an object as by.
func walk[T any, P interface {
	*T
	tenancy.Object
}](t *testing.T, in tenancy.Store[T], v T) {
	t.Helper()
	v, err := in.Create(t.Context(), by, v)
	must(t, err)
	m := tenancy.MetaOf(P(&v))
	m.Name = "renamed"
	v, err = in.Update(t.Context(), by, v)
	must(t, err)
	must(t, in.Delete(t.Context(), by, m.Org, m.ID, 0))
}

// leaving is a method that is called, and the events that it leaves.
type leaving struct {
	do   func()
	want []string
}

// changing are the methods that change something, and those that keep the books of requests and calls: these leave no
// event, because nobody changes what somebody manages. It has a line for each method.
func changing(t *testing.T, db *storage.DB, a tenant) map[string]leaving {
	ctx := t.Context()
	return map[string]leaving{
		"Orgs": {func() {
			walk(t, db.Orgs(), tenancy.Org{Meta: tenancy.Meta{ID: "org_x", Name: "x"}})
		}, []string{"organizations.create", "organizations.update", "organizations.delete"}},
		"Teams": {func() { walk(t, db.Teams(), tenancy.Team{Meta: meta(a.org, "x")}) }, []string{"teams.create", "teams.update", "teams.delete"}},
		"Roles": {func() { walk(t, db.Roles(), tenancy.Role{Meta: meta(a.org, "x")}) }, []string{"roles.create", "roles.update", "roles.delete"}},
		"Users": {func() {
			walk(t, db.Users(), tenancy.User{Meta: meta(a.org, "x"), Email: "x@example.com"})
		}, []string{"users.create", "users.update", "users.delete"}},
		"Keys": {func() {
			walk(t, db.Keys(), tenancy.APIKey{Meta: meta(a.org, "x"), Hash: hash("x")})
		}, []string{"keys.create", "keys.update", "keys.delete"}},
		"RotateKey": {func() {
			_, err := db.RotateKey(ctx, by, a.org, a.key.ID, 0, hash("y"), at)
			must(t, err)
		}, []string{"keys.rotate"}},
		"Providers": {func() { walk(t, db.Providers(), oneProvider(a.org, "renamed-later")) }, []string{"providers.create", "providers.update", "providers.delete"}},
		"Routes":    {func() { walk(t, db.Routes(), oneRoute(a.org, "x", "provider")) }, []string{"routes.create", "routes.update", "routes.delete"}},
		"Reseal": {func() {
			p := oneProvider(a.org, "sealed")
			p.ID = tenancy.NewID("provider")
			p.SetKey(keyring(t, "o"), secrets.New("canary"))
			create(t, db.Providers(), p)
			_, _, err := db.Reseal(ctx, by, keyring(t, "no"))
			must(t, err)
		}, []string{"providers.create", "secrets.rotate"}},
		"SetPassword": {func() { must(t, db.SetPassword(ctx, by, a.org, a.user.ID, "new")) }, []string{"users.set_password"}},
		"BeginSession": {func() {
			s := session(a.user, time.Now())
			must(t, db.BeginSession(ctx, by, s))
		}, []string{"auth.login"}},
		"SwapSession": {func() {
			begun := begin(t, db, a.user, time.Now())
			must(t, db.SwapSession(ctx, by, begun.ID, session(a.user, time.Now())))
		}, []string{"auth.login", "auth.refresh"}},
		"EndSession": {func() {
			other := begin(t, db, a.user, time.Now())
			must(t, db.EndSession(ctx, by, a.org, other.ID))
			own := begin(t, db, a.user, time.Now())
			as := by
			as.Session = own.ID
			must(t, db.EndSession(ctx, as, a.org, own.ID))
		}, []string{"auth.login", "sessions.end", "auth.login", "auth.logout"}},
		"Record": {func() {
			must(t, db.Record(ctx, []tenancy.AuditEvent{
				tenancy.NewAuditEvent(by, a.org, tenancy.ActionRefused, tenancy.AuditObject{}, time.Now()),
				tenancy.NewAuditEvent(by, tenancy.Platform, tenancy.ActionLoginFailed, tenancy.AuditObject{}, time.Now()),
			}))
		}, []string{"access.refused", "auth.login_failed"}},

		"Limits":  {func() { walk(t, db.Limits(), limitsOf(a.org, accounting.Scope{Team: a.team.ID})) }, []string{"limits.create", "limits.update", "limits.delete"}},
		"Budgets": {func() { walk(t, db.Budgets(), budgetOf(a.org, "x")) }, []string{"budgets.create", "budgets.update", "budgets.delete"}},
		"Forgive": {func() { _, err := db.Forgive(ctx, by, &a.budget, month); must(t, err) }, []string{"budgets.reset"}},
		"NoteBudget": {func() {
			_, err := db.NoteBudget(ctx, &a.budget, month, 80, 1)
			must(t, err)
			_, err = db.NoteBudget(ctx, &a.budget, month, 80, 1)
			must(t, err)
			_, err = db.NoteBudget(ctx, &a.budget, month, 100, 1)
			must(t, err)
		}, []string{"budgets.exhausted", "budgets.warning"}},

		// Of a database that is not new it changes nothing; what it leaves on a new one is tested beside it.
		"FirstStart": {func() {
			_, err := db.FirstStart(ctx, tenancy.Org{Meta: tenancy.Meta{ID: "org_first", Name: "first"}}, nil)
			must(t, err)
		}, nil},
		"Claim":     {func() { _, _, err := db.Claim(ctx, a.org, "new claim", "r"); must(t, err) }, nil},
		"HoldClaim": {func() { must(t, db.HoldClaim(ctx, a.org, "new claim")) }, nil},
		"Keep":      {func() { must(t, db.Keep(ctx, a.org, "new claim", 201, "{}")) }, nil},
		"Unclaim":   {func() { must(t, db.Unclaim(ctx, a.org, "new claim")) }, nil},
		"KeysUsed":  {func() { must(t, db.KeysUsed(ctx, map[tenancy.ID]time.Time{a.key.ID: time.Now()})) }, nil},
		"KeepObjects": {func() {
			_, err := db.KeepObjects(ctx, []routing.StoredObject{{Org: a.org, ID: "x", Provider: "p", Kind: "file", Created: at}})
			must(t, err)
		}, nil},
		"ForgetObjects": {func() { must(t, db.ForgetObjects(ctx, []routing.StoredObject{{Org: a.org, ID: "x", Provider: "p"}})) }, nil},
		"Clean":         {func() { must(t, db.Clean(ctx)) }, nil},
		"CreateTask":    {func() { made(t, db, oneTask(a.org, a.user.ID)) }, []string{"tasks.create"}},
		"StopTask": {func() {
			_, err := db.StopTask(ctx, by, a.org, a.task.ID)
			must(t, err)
		}, []string{"tasks.cancel"}},
		"Agents": {func() { walk(t, db.Agents(), oneAgent(a.org, "x")) }, []string{"agents.create", "agents.update", "agents.delete"}},
		"Webhooks": {func() {
			walk(t, db.Webhooks(), tasks.Webhook{Meta: meta(a.org, "x"), URL: "https://example.com", Events: []string{"*"}, Secret: "s"})
		}, []string{"webhooks.create", "webhooks.update", "webhooks.delete"}},
		"RotateWebhook": {func() {
			_, err := db.RotateWebhook(ctx, by, a.org, a.hook.ID, 0, "new", time.Time{})
			must(t, err)
		}, []string{"webhooks.rotate"}},
		"Emit": {func() { emitted(t, db, a.org, "provider.closed", "t") }, []string{"targets.opened"}},
		"EndDelivery": {func() {
			d := delivered(t, db, a.hook)[0]
			p, err := db.LoadDelivery(ctx, a.org, d.ID, d.Rev)
			must(t, err)
			p.State = tasks.Dead
			must(t, db.EndDelivery(ctx, p, "it is gone"))
		}, []string{"webhooks.disable"}},
		"Redeliver": {func() {
			_, err := db.Redeliver(ctx, by, a.org, a.delivery.ID)
			must(t, err)
		}, []string{"deliveries.retry"}},
		"CreateBatch": {func() { must(t, db.CreateBatch(ctx, by, oneBatch(a.org, a.user.ID, 1))) }, []string{"batches.create"}},
		"StartBatch": {func() {
			b := oneBatch(a.org, a.user.ID, 1)
			filled(t, db, b, 1)
			_, err := db.StartBatch(ctx, by, a.org, b.ID)
			must(t, err)
		}, []string{"batches.create", "batches.start"}},
		"StopBatch": {func() {
			_, err := db.StopBatch(ctx, by, a.org, a.pile.ID)
			must(t, err)
		}, []string{"batches.cancel"}},
		"RetryBatch": {func() {
			b := oneBatch(a.org, a.user.ID, 1)
			filled(t, db, b, 1)
			_, err := db.StopBatch(ctx, by, a.org, b.ID)
			must(t, err)
			_, err = db.RetryBatch(ctx, by, a.org, b.ID)
			must(t, err)
		}, []string{"batches.cancel", "batches.create", "batches.retry"}},
		"AddItems": {func() { // the start tells of it
			_, err := db.AddItems(ctx, a.org, a.pile.ID, 0, itemsOf(a.pile, 0, 2))
			must(t, err)
		}, nil},
		"Advance":        {func() { advances(t, db, a.task, true, "") }, nil}, // its history tells
		"AppendProgress": {func() { _, err := db.AppendProgress(ctx, a.task, []tasks.Progress{{Seq: 3, At: at}}); must(t, err) }, nil},
		"Append": {func() {
			r := called(a.org, 2)
			r.Unpriced = "no_price"
			(&shipped{node: "node"}).append(t, db, r)
		}, []string{"calls.record", "prices.missing"}},
	}
}

// traces walks every method there is and wants each that changes something to leave an event. A new method has to say
// here what it leaves.
func traces(t *testing.T, db *storage.DB) {
	a := fill(t, db, "a")
	methods := changing(t, db, a)
	for _, reads := range []string{
		"Candidates", "FindSubject", "FindSession", "Sessions", "KeyByHash", "OrgOf", "ObjectOwners", "Objects", "Changes", "Follow", "IsNew", "Ping", "Status",
		"Audit", "AuditHeads", "ExportAudit", "SealedBy",
		"Seal", "SealNow", // they seal events and make none
		"BatchSize", "Cursor", "Calls", "Call", "CountCalls", "Replay", "Usage", "ProveBatch",
		"Spent", "SpentBefore", "LedgerTotals", "LedgerEntries", "Overruns",
		"Deliveries", "Delivery", "LoadDelivery", // a claim is no change that anybody made
		"AgentVersions", "Batch", "Batches", "Items", "LoadTask", "PendingJobs", "Progress", "Queue", "Seqs", "Stopping", "Task", "TaskContents", "Tasks",
		"Patrol",        // what it changes, the history of each task tells
		"Sum", "SumNow", // they add up what is there
		"Close", "Migrate",
	} {
		methods[reads] = leaving{do: func() {}}
	}
	kind := reflect.TypeFor[*storage.DB]()
	for i := range kind.NumMethod() {
		name := kind.Method(i).Name
		m, listed := methods[name]
		if !listed {
			t.Errorf("%s has no line here: which events does it leave?", name)
			continue
		}
		delete(methods, name)
		since := time.Now().Truncate(time.Microsecond)
		m.do()
		var got []string
		for _, e := range events(t, db, since, a.org, "org_x", tenancy.Platform) {
			got = append(got, e.Action)
			if e.By.Name != vel.Name { // who prepared the walk
				want := by
				want.May, want.Session = 0, e.By.Session
				same(t, name+": who", e.By, want)
			}
			if e.Outcome != tenancy.OutcomeDone || e.Count != 1 || e.Sealed != (tenancy.AuditSealed{}) || e.Org == "" {
				t.Errorf("%s leaves %+v", name, e)
			}
		}
		slices.Sort(got)
		slices.Sort(m.want)
		if diff := cmp.Diff(m.want, got); diff != "" {
			t.Errorf("%s leaves (-want +got):\n%s", name, diff)
		}
	}
	for name := range methods {
		t.Errorf("there is no method %s", name)
	}
}

// shown checks what events show of objects, and that they show no secret.
func shown(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	since := time.Now().Truncate(time.Microsecond)
	u := tenancy.User{Meta: meta(a, "Zoë"), Email: "zoe@example.com", Password: "canary-password", Roles: []tenancy.ID{tenancy.Viewer}}
	u, err := db.Users().Create(ctx, by, u)
	must(t, err)
	u.Name, u.Roles = "Zoe", nil
	_, err = db.Users().Update(ctx, by, u)
	must(t, err)
	must(t, db.SetPassword(ctx, by, a, u.ID, "canary-of-another-password"))
	k, err := db.Keys().Create(ctx, by, tenancy.APIKey{Meta: meta(a, "ci"), User: u.ID, Hash: hash("canary"), Models: []string{"gpt-4o"}, Expires: at})
	must(t, err)
	_, err = db.RotateKey(ctx, by, a, k.ID, 0, hash("another canary"), at)
	must(t, err)
	k.Expires, k.Rev = time.Time{}, 0
	_, err = db.Keys().Update(ctx, by, k)
	must(t, err)
	_, err = db.Keys().Update(ctx, by, k)
	must(t, err)
	must(t, db.Users().Delete(ctx, by, a, u.ID, 0)) // and their key with them

	type line struct{ Action, Name, Before, After string }
	var got []line
	var all strings.Builder
	for _, e := range events(t, db, since, a) {
		got = append(got, line{e.Action, e.Object.Name, e.Before, e.After})
		all.WriteString(e.Before + e.After + e.Reason)
	}
	userID := string(u.ID)
	want := []line{
		{"users.create", "Zoë", "", `{"disabled":false,"email":"zoe@example.com","issuer":"","name":"Zoë","roles":["viewer"],"subject":"","teams":[]}`},
		{"users.update", "Zoe", `{"name":"Zoë","roles":["viewer"]}`, `{"name":"Zoe","roles":[]}`},
		{"users.set_password", "Zoe", `{}`, `{"password":"changed"}`},
		{"keys.create", "ci", "", `{"disabled":false,"expires":"2027-01-31T12:00:00.123456Z","models":["gpt-4o"],"name":"ci","old_until":null,"role":"","shut":false,"team":"","user":"` + userID + `"}`},
		{"keys.rotate", "ci", `{"old_until":null}`, `{"hash":"changed","old_hash":"changed","old_until":"2027-01-31T12:00:00.123456Z"}`},
		{"keys.update", "ci", `{"expires":"2027-01-31T12:00:00.123456Z"}`, `{"expires":null}`},
		{"keys.update", "ci", `{}`, `{}`},
		{"keys.delete", "ci", `{"disabled":false,"expires":null,"models":["gpt-4o"],"name":"ci","old_until":"2027-01-31T12:00:00.123456Z","role":"","shut":false,"team":"","user":"` + userID + `"}`, ""},
		{"users.delete", "Zoe", `{"disabled":false,"email":"zoe@example.com","issuer":"","name":"Zoe","roles":[],"subject":"","teams":[]}`, ""},
	}
	same(t, "what is shown", got, want)
	for _, secret := range []string{"canary", "argon2", hexOf("canary"), hexOf("another canary")} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("%s is shown in %s", secret, &all)
		}
	}

	// What fails leaves nothing.
	since = time.Now().Truncate(time.Microsecond)
	_, err = db.Teams().Create(ctx, by, tenancy.Team{Meta: meta(a, "team")})
	must(t, err)
	_, err = db.Teams().Create(ctx, by, tenancy.Team{Meta: meta(a, "team")})
	wants(t, "the same name", err, &tenancy.Taken{Field: "name"})
	wants(t, "the password of nobody", db.SetPassword(ctx, by, a, "user_x", "new"), tenancy.ErrNotFound)
	wants(t, "a session of nobody", db.EndSession(ctx, by, a, "session_x"), tenancy.ErrNotFound)
	same(t, "events of what failed", len(events(t, db, since, a)), 1)

	// What goes with an organization is known by its end; its log stays.
	must(t, db.Orgs().Delete(ctx, by, a, a, 0))
	list := events(t, db, since, a)
	same(t, "the end of an organization", list[len(list)-1].Action, "organizations.delete")
}

func queries(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := org(t, db, "a")
	begin := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	other := by
	other.User, other.Email, other.Key = "", "", "key_1"
	var all []tenancy.AuditEvent
	for i := range 7 {
		e := tenancy.NewAuditEvent([]tenancy.Actor{by, other}[i%2], a, []string{"keys.create", "keys_x.create", "users.create"}[i%3], tenancy.AuditObject{Kind: "key", ID: tenancy.ID("key_" + string(rune('a'+i)))}, begin)
		e.Time = begin.Add(time.Duration(i/2) * time.Second) // two at a time
		if i == 3 {
			e.Outcome = tenancy.OutcomeRefused
		}
		all = append(all, e)
	}
	must(t, db.Record(ctx, all))
	slices.SortFunc(all, func(x, y tenancy.AuditEvent) int {
		if c := y.Time.Compare(x.Time); c != 0 {
			return c
		}
		return strings.Compare(string(y.ID), string(x.ID))
	})
	for name, q := range map[string]struct {
		ask  tenancy.AuditQuery
		want func(e *tenancy.AuditEvent) bool
	}{
		"all":                 {tenancy.AuditQuery{}, func(*tenancy.AuditEvent) bool { return true }},
		"a time":              {tenancy.AuditQuery{From: begin.Add(time.Second), To: begin.Add(2 * time.Second)}, func(e *tenancy.AuditEvent) bool { return e.Time.Equal(begin.Add(time.Second)) }},
		"a user":              {tenancy.AuditQuery{Actor: string(by.User)}, func(e *tenancy.AuditEvent) bool { return e.By.User == by.User }},
		"an address":          {tenancy.AuditQuery{Actor: by.Email}, func(e *tenancy.AuditEvent) bool { return e.By.Email == by.Email }},
		"a key":               {tenancy.AuditQuery{Actor: "key_1"}, func(e *tenancy.AuditEvent) bool { return e.By.Key == "key_1" }},
		"an action":           {tenancy.AuditQuery{Action: "users.create"}, func(e *tenancy.AuditEvent) bool { return e.Action == "users.create" }},
		"actions of a kind":   {tenancy.AuditQuery{Action: "keys."}, func(e *tenancy.AuditEvent) bool { return e.Action == "keys.create" }},
		"an object":           {tenancy.AuditQuery{Object: "key_c"}, func(e *tenancy.AuditEvent) bool { return e.Object.ID == "key_c" }},
		"an outcome":          {tenancy.AuditQuery{Outcome: "refused"}, func(e *tenancy.AuditEvent) bool { return e.Outcome == "refused" }},
		"nothing":             {tenancy.AuditQuery{Actor: "nobody"}, func(*tenancy.AuditEvent) bool { return false }},
		"what is no pattern":  {tenancy.AuditQuery{Action: "%."}, func(*tenancy.AuditEvent) bool { return false }},
		"of somebody at once": {tenancy.AuditQuery{Actor: "key_1", Outcome: "refused"}, func(e *tenancy.AuditEvent) bool { return e.Outcome == "refused" }},
	} {
		want := slices.DeleteFunc(slices.Clone(all), func(e tenancy.AuditEvent) bool { return !q.want(&e) })
		for _, limit := range []int{1, 3, 100} {
			ask := q.ask
			ask.Org, ask.Limit = a, limit
			if ask.From.IsZero() {
				ask.From = begin
			}
			var got []tenancy.AuditEvent
			for {
				list, err := db.Audit(ctx, ask)
				must(t, err)
				got = append(got, list...)
				if len(list) < limit {
					break
				}
				last := list[limit-1]
				ask.Before = tenancy.AuditCursor{Time: last.Time, ID: last.ID}
			}
			if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
				t.Errorf("%s, in pages of %d (-want +got):\n%s", name, limit, diff)
			}
		}
	}
}
