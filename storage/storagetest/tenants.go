package storagetest

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// tenant is an organization with one object of each kind.
type tenant struct {
	org      tenancy.ID
	team     tenancy.Team
	role     tenancy.Role
	user     tenancy.User
	key      tenancy.APIKey
	session  tenancy.Session
	object   routing.StoredObject
	provider routing.ManagedProvider
	route    routing.ManagedRoute
	call     accounting.Record
	limits   accounting.Limits // of the key
	budget   accounting.Budget // of the organization
	task     *tasks.Task
	pile     *tasks.Batch // with two items
	hook     tasks.Webhook
	agent    tasks.Agent
	delivery tasks.Delivery
}

func fill(t *testing.T, db *storage.DB, name string) tenant {
	t.Helper()
	v := tenant{org: org(t, db, name)}
	v.team = create(t, db.Teams(), tenancy.Team{Meta: meta(v.org, "team")})
	v.role = create(t, db.Roles(), tenancy.Role{Meta: meta(v.org, "role"), Permissions: tenancy.Allow(tenancy.ManageKeys)})
	v.user = create(t, db.Users(), tenancy.User{
		Meta: meta(v.org, "user"), Email: "user@example.com", Password: "hash", Roles: []tenancy.ID{v.role.ID}, Teams: []tenancy.ID{v.team.ID}, Issuer: "https://id.example.com", Subject: "of " + name,
	})
	v.key = create(t, db.Keys(), tenancy.APIKey{Meta: meta(v.org, "key"), Hash: hash("key of " + name), Team: v.team.ID, User: v.user.ID, Role: v.role.ID})
	v.session = begin(t, db, v.user, time.Now())
	if _, won, err := db.Claim(t.Context(), v.org, "claim", "request of "+name); err != nil || !won {
		t.Fatalf("a first claim: %v, %v", won, err)
	}
	must(t, db.KeysUsed(t.Context(), map[tenancy.ID]time.Time{v.key.ID: at}))
	v.provider = create(t, db.Providers(), oneProvider(v.org, "provider"))
	v.route = create(t, db.Routes(), oneRoute(v.org, "route", "provider"))
	v.object = routing.StoredObject{Org: v.org, ID: "file-" + name, Provider: "shared", Kind: "file", Created: at}
	v.call = called(v.org, 1)
	v.call.ID, v.call.Mirror = tenancy.ID("req_"+name), accounting.Mirror{} // a client's own
	v.call.Who.Key = v.key.ID
	v.limits = create(t, db.Limits(), limitsOf(v.org, accounting.Scope{Key: v.key.ID}))
	v.budget = create(t, db.Budgets(), budgetOf(v.org, "monthly"))
	v.call.Bookings = []accounting.Booking{{Budget: v.budget.ID, Window: month, Held: 4_000, Spent: v.call.Cost}}
	(&shipped{node: "node of " + name}).append(t, db, v.call)
	_, err := db.NoteBudget(t.Context(), &v.budget, month, 50, 1)
	must(t, err)
	others, err := db.KeepObjects(t.Context(), []routing.StoredObject{v.object})
	must(t, err)
	same(t, "objects of others", len(others), 0)
	v.agent = create(t, db.Agents(), oneAgent(v.org, "agent"))
	v.hook = hooked(t, db, v.org, "hook", "*")
	emitted(t, db, v.org, "provider.opened", "target")
	v.delivery = delivered(t, db, v.hook)[len(delivered(t, db, v.hook))-1]
	v.pile = oneBatch(v.org, v.user.ID, 1)
	filled(t, db, v.pile, 2)
	v.task = begun(t, db, v.org, v.user.ID, tenancy.ID("node of "+name))
	return v
}

// all reads everything that a tenant has.
func (v tenant) all(t *testing.T, db *storage.DB) (all []any) {
	t.Helper()
	ctx := t.Context()
	add := func(found any, err error) {
		t.Helper()
		must(t, err)
		all = append(all, found)
	}
	add(db.Orgs().Get(ctx, v.org, v.org))
	add(db.Teams().Get(ctx, v.org, v.team.ID))
	add(db.Roles().Get(ctx, v.org, v.role.ID))
	add(db.Users().Get(ctx, v.org, v.user.ID))
	add(db.Keys().Get(ctx, v.org, v.key.ID))
	add(db.Providers().Get(ctx, v.org, v.provider.ID))
	add(db.Routes().Get(ctx, v.org, v.route.ID))
	add(db.Sessions(ctx, v.org, v.user.ID))
	kept, _, err := db.Claim(ctx, v.org, "claim", "again")
	add(kept, err)
	add(db.Objects(ctx, routing.ObjectPage{Org: v.org, Kind: "file", Limit: 10}))
	add(db.Call(ctx, v.org, v.call.ID))
	add(db.Limits().Get(ctx, v.org, v.limits.ID))
	add(db.Budgets().Get(ctx, v.org, v.budget.ID))
	add(db.LedgerEntries(ctx, accounting.LedgerQuery{Org: v.org}))
	add(db.LedgerTotals(ctx, accounting.LedgerQuery{Org: v.org}))
	add(db.Usage(ctx, accounting.UsageQuery{Org: v.org, By: []accounting.Dimension{accounting.ByKey}, Limit: 10}))
	add(db.Task(ctx, v.org, v.task.ID))
	add(db.Agents().Get(ctx, v.org, v.agent.ID))
	add(db.AgentVersions(ctx, v.org, v.agent.ID))
	add(db.Webhooks().Get(ctx, v.org, v.hook.ID))
	add(db.Delivery(ctx, v.org, v.delivery.ID))
	add(db.Batch(ctx, v.org, v.pile.ID))
	add(db.Items(ctx, tasks.ItemQuery{Org: v.org, Batch: v.pile.ID, After: -1, Limit: 10}))
	add(db.Progress(ctx, v.org, v.task.ID, 0, true, 10))
	return all
}

// tenants walks every method there is as one organization that asks for what another one has. It is as long as there are methods:
// a test holds it against them.
func tenants(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	me, other := fill(t, db, "me"), fill(t, db, "other")
	before := other.all(t, db)
	none := func(what string, err error) {
		t.Helper()
		wants(t, what, err, tenancy.ErrNotFound)
	}
	methods := map[string]func(){
		"Orgs":  func() { trespass(t, db.Orgs(), me.org, other.org) },
		"Teams": func() { trespass(t, db.Teams(), me.org, other.team.ID) },
		"Roles": func() { trespass(t, db.Roles(), me.org, other.role.ID) },
		"Users": func() { trespass(t, db.Users(), me.org, other.user.ID) },
		"Keys":  func() { trespass(t, db.Keys(), me.org, other.key.ID) },
		"Candidates": func() {
			found, err := db.Candidates(ctx, other.user.Email, me.org)
			must(t, err)
			if len(found) != 1 || found[0].ID != me.user.ID {
				t.Errorf("candidates of one organization: %+v", found)
			}
		},
		"FindSubject": func() {
			_, err := db.FindSubject(ctx, me.org, other.user.Issuer, other.user.Subject)
			none("a user", err)
		},
		"SetPassword": func() { none("a password", db.SetPassword(ctx, vel, me.org, other.user.ID, "mine")) },
		"BeginSession": func() {
			none("a session", db.BeginSession(ctx, vel, tenancy.Session{ID: "s", Org: me.org, User: other.user.ID, Hash: hash("s")}))
		},
		"SwapSession": func() {
			none("a session", db.SwapSession(ctx, vel, other.session.ID, tenancy.Session{ID: "s", Org: me.org, User: me.user.ID, Hash: hash("s")}))
			none("a session", db.SwapSession(ctx, vel, other.session.ID, tenancy.Session{ID: "s", Org: me.org, User: other.user.ID, Hash: hash("s")}))
		},
		"EndSession": func() { none("a session", db.EndSession(ctx, vel, me.org, other.session.ID)) },
		"Sessions": func() {
			found, err := db.Sessions(ctx, me.org, other.user.ID)
			must(t, err)
			if len(found) > 0 {
				t.Errorf("sessions of somebody else: %+v", found)
			}
		},
		"FindSession": func() { // its hash is the secret; whose it is comes from the row
			s, u, err := db.FindSession(ctx, other.session.Hash)
			must(t, err)
			if s.Org != other.org || u.Org != other.org {
				t.Errorf("a session of %s and a user of %s, want %s", s.Org, u.Org, other.org)
			}
		},
		"RotateKey": func() {
			_, err := db.RotateKey(ctx, vel, me.org, other.key.ID, 0, hash("mine"), time.Time{})
			none("a key", err)
		},
		"Claim": func() {
			kept, won, err := db.Claim(ctx, me.org, "claim", "another request")
			must(t, err)
			same(t, "the claim", kept, tenancy.Kept{Request: "request of me"})
			same(t, "won", won, false)
		},
		"ObjectOwners": func() {
			found, err := db.ObjectOwners(ctx, me.org, []string{me.object.ID, other.object.ID})
			must(t, err)
			same(t, "who holds objects", found, map[string]string{me.object.ID: "shared"})
		},
		"Objects": func() {
			list, err := db.Objects(ctx, routing.ObjectPage{Org: me.org, Kind: "file", Limit: 10})
			must(t, err)
			same(t, "my objects", list, []routing.StoredObject{me.object})
			_, err = db.Objects(ctx, routing.ObjectPage{Org: me.org, Kind: "file", Limit: 10, After: other.object.ID})
			none("a page after an object", err)
		},
		"KeepObjects": func() {
			stolen := other.object
			stolen.Org = me.org
			others, err := db.KeepObjects(ctx, []routing.StoredObject{stolen})
			must(t, err)
			same(t, "objects of others", others, []routing.StoredObject{stolen})
		},
		"ForgetObjects": func() {
			stolen := other.object
			stolen.Org = me.org
			must(t, db.ForgetObjects(ctx, []routing.StoredObject{stolen}))
		},
		"HoldClaim": func() { none("a claim", db.HoldClaim(ctx, other.org+"x", "claim")) },
		"Keep":      func() { none("a claim", db.Keep(ctx, other.org+"x", "claim", 201, "mine")) },
		"Unclaim":   func() { must(t, db.Unclaim(ctx, other.org+"x", "claim")) },
		"Audit": func() {
			list, err := db.Audit(ctx, tenancy.AuditQuery{Org: me.org, Limit: 1000})
			must(t, err)
			for _, e := range list {
				if e.Org != me.org {
					t.Errorf("in my log: %+v", e)
				}
			}
			list, err = db.Audit(ctx, tenancy.AuditQuery{Org: me.org, Object: other.key.ID, Limit: 1000})
			must(t, err)
			same(t, "events about an object of theirs", len(list), 0)
		},
		"AuditHeads": func() {
			must(t, db.SealNow(ctx, Signer))
			heads, err := db.AuditHeads(ctx, me.org, "", 100)
			must(t, err)
			if len(heads) != 1 || heads[0].Org != me.org {
				t.Errorf("my heads: %+v", heads)
			}
		},
		"ExportAudit": func() {
			text, err := Export(ctx, db, me.org, time.Time{}, time.Time{})
			must(t, err)
			if strings.Contains(text, string(other.org)) || !strings.Contains(text, string(me.key.ID)) {
				t.Errorf("my log: %s", text)
			}
		},
		"Calls": func() {
			for what, f := range map[string]accounting.CallFilter{
				"everything": {}, "their key": {Key: other.key.ID}, "a tag": {Tag: other.call.Tags[0]}, "any value of a tag": {Tag: accounting.Tag{Key: "env"}}, "a word": {Text: "prod größe"},
			} {
				f.Org = me.org
				list, err := db.Calls(ctx, accounting.CallQuery{CallFilter: f, Limit: 10})
				must(t, err)
				if want := what != "their key"; len(list) > 1 || (len(list) == 1) != want || want && list[0].ID != me.call.ID {
					t.Errorf("my calls by %s: %+v", what, list)
				}
			}
		},
		"CountCalls": func() {
			for key, want := range map[tenancy.ID]int64{"": 1, other.key.ID: 0} {
				n, err := db.CountCalls(ctx, accounting.CallFilter{Org: me.org, Key: key})
				must(t, err)
				same(t, "the number of my calls", n, want)
			}
		},
		"Replay": func() {
			for _, f := range []accounting.CallFilter{{}, {Key: other.key.ID}, {Tag: other.call.Tags[0]}} {
				for _, every := range []int{0, 2} {
					f.Org = me.org
					list, _, err := db.Replay(ctx, accounting.ReplayQuery{CallFilter: f, Every: every, Limit: 10})
					must(t, err)
					if len(list) > 1 || len(list) == 1 && (every > 0 || list[0].ID != me.call.ID) {
						t.Errorf("my calls once more: %+v", list)
					}
				}
			}
		},
		"Call": func() {
			_, err := db.Call(ctx, me.org, other.call.ID)
			none("a call", err)
		},
		"Usage": func() {
			for _, by := range []accounting.Dimension{accounting.ByOrg, accounting.ByKey, "tag:env"} {
				rows, err := db.Usage(ctx, accounting.UsageQuery{Org: me.org, By: []accounting.Dimension{by}, Limit: 10})
				must(t, err)
				if len(rows) != 1 || rows[0].Calls != 1 || rows[0].Group[0] == string(other.org) || rows[0].Group[0] == string(other.key.ID) {
					t.Errorf("what I used by %s: %+v", by, rows)
				}
				rows, err = db.Usage(ctx, accounting.UsageQuery{Org: me.org, Key: other.key.ID, By: []accounting.Dimension{by}, Limit: 10})
				must(t, err)
				same(t, "what their key used", len(rows), 0)
			}
		},
		"Append": func() { // what comes under the id of a stored call takes nobody's place
			stolen := other.call
			stolen.Who.Org, stolen.Prompt = me.org, []byte("mine")
			(&shipped{node: "thief"}).append(t, db, stolen)
		},
		"Providers": func() { trespass(t, db.Providers(), me.org, other.provider.ID) },
		"Routes":    func() { trespass(t, db.Routes(), me.org, other.route.ID) },
		"Limits":    func() { trespass(t, db.Limits(), me.org, other.limits.ID) },
		"Budgets":   func() { trespass(t, db.Budgets(), me.org, other.budget.ID) },
		"Spent": func() {
			spent, err := db.Spent(ctx, me.org, other.budget.ID, month)
			must(t, err)
			same(t, "what was spent of theirs", spent, 0)
		},
		"SpentBefore": func() {
			spent, err := db.SpentBefore(ctx, me.org, other.budget.ID, month, month.AddDate(1, 0, 0))
			must(t, err)
			same(t, "what was spent of theirs before", spent, 0)
		},
		"LedgerTotals":  func() { booksOf(t, db.LedgerTotals, me, other) },
		"LedgerEntries": func() { booksOf(t, db.LedgerEntries, me, other) },
		"Overruns": func() {
			list, err := db.Overruns(ctx, me.org, other.budget.ID, month, 10)
			must(t, err)
			same(t, "their overruns", len(list), 0)
		},
		"Forgive": func() {
			stolen := other.budget
			stolen.Org = me.org
			spent, err := db.Forgive(ctx, vel, &stolen, month)
			must(t, err)
			same(t, "forgiven of theirs", spent, 0)
		},
		"CreateTask": func() { // what comes under the id of another one takes nobody's place
			stolen := oneTask(me.org, me.user.ID)
			stolen.ID = other.task.ID
			wants(t, "a task in the place of another one", db.CreateTask(ctx, vel, stolen, "mine", 10), &tenancy.Taken{Field: "id"})
		},
		"Task": func() {
			_, err := db.Task(ctx, me.org, other.task.ID)
			none("a task", err)
		},
		"TaskContents": func() {
			_, _, err := db.TaskContents(ctx, me.org, other.task.ID)
			none("what a task said", err)
		},
		"LoadTask": func() {
			_, err := db.LoadTask(ctx, me.org, other.task.ID)
			none("a task", err)
		},
		"Tasks": func() {
			for _, owner := range []tenancy.ID{"", other.user.ID} {
				list, err := db.Tasks(ctx, tasks.Query{Org: me.org, Owner: owner, Limit: 10})
				must(t, err)
				if len(list) > 1 || len(list) == 1 && (owner != "" || list[0].ID != me.task.ID) {
					t.Errorf("my tasks: %+v", list)
				}
			}
		},
		"Progress": func() {
			list, err := db.Progress(ctx, me.org, other.task.ID, 0, true, 10)
			must(t, err)
			same(t, "the history of theirs", len(list), 0)
		},
		"Advance": func() {
			stolen := *other.task
			stolen.Org, stolen.State = me.org, tasks.Failed
			advances(t, db, &stolen, false, "mine", tasks.Progress{Seq: 9, At: at, Kind: tasks.HasFailed, Detail: "{}"})
		},
		"AppendProgress": func() {
			stolen := *other.task
			stolen.Org = me.org
			ours, err := db.AppendProgress(ctx, &stolen, []tasks.Progress{{Seq: 9, At: at, Kind: tasks.WasAnswered, Detail: "mine"}})
			must(t, err)
			same(t, "lines of theirs were taken", ours, false)
		},
		"StopTask": func() {
			_, err := db.StopTask(ctx, vel, me.org, other.task.ID)
			none("a task", err)
		},
		"CreateBatch": func() {
			stolen := oneBatch(me.org, me.user.ID, 1)
			stolen.ID = other.pile.ID
			wants(t, "a batch in the place of another one", db.CreateBatch(ctx, vel, stolen), &tenancy.Taken{Field: "id"})
		},
		"Batch": func() {
			_, err := db.Batch(ctx, me.org, other.pile.ID)
			none("a batch", err)
		},
		"Batches": func() {
			for _, owner := range []tenancy.ID{"", other.user.ID} {
				list, err := db.Batches(ctx, tasks.BatchQuery{Org: me.org, Owner: owner, Limit: 10})
				must(t, err)
				if len(list) > 1 || len(list) == 1 && (owner != "" || list[0].ID != me.pile.ID) {
					t.Errorf("my batches: %+v", list)
				}
			}
		},
		"AddItems": func() {
			_, err := db.AddItems(ctx, me.org, other.pile.ID, 2, itemsOf(me.pile, 2, 1))
			none("a batch", err)
		},
		"StartBatch": func() {
			_, err := db.StartBatch(ctx, vel, me.org, other.pile.ID)
			none("a batch", err)
		},
		"StopBatch": func() {
			_, err := db.StopBatch(ctx, vel, me.org, other.pile.ID)
			none("a batch", err)
		},
		"RetryBatch": func() {
			_, err := db.RetryBatch(ctx, vel, me.org, other.pile.ID)
			none("a batch", err)
		},
		"Items": func() {
			list, err := db.Items(ctx, tasks.ItemQuery{Org: me.org, Batch: other.pile.ID, After: -1, Limit: 10})
			must(t, err)
			same(t, "items of theirs", len(list), 0)
		},
		"Agents": func() { trespass(t, db.Agents(), me.org, other.agent.ID) },
		"AgentVersions": func() {
			list, err := db.AgentVersions(ctx, me.org, other.agent.ID)
			must(t, err)
			same(t, "versions of theirs", len(list), 0)
		},
		"Webhooks": func() { trespass(t, db.Webhooks(), me.org, other.hook.ID) },
		"RotateWebhook": func() {
			_, err := db.RotateWebhook(ctx, vel, me.org, other.hook.ID, 0, "mine", time.Time{})
			none("a webhook", err)
		},
		"Emit": func() { // whoever is told, it is those of the organization
			emitted(t, db, me.org, "provider.closed", "target")
		},
		"LoadDelivery": func() {
			_, err := db.LoadDelivery(ctx, me.org, other.delivery.ID, other.delivery.Rev)
			none("a delivery", err)
		},
		"EndDelivery": func() {
			stolen := tasks.Parcel{Delivery: other.delivery, Webhook: other.hook}
			stolen.Org, stolen.State = me.org, tasks.Dead
			must(t, db.EndDelivery(ctx, &stolen, "mine"))
		},
		"Delivery": func() {
			_, err := db.Delivery(ctx, me.org, other.delivery.ID)
			none("a delivery", err)
		},
		"Deliveries": func() {
			list, err := db.Deliveries(ctx, tasks.DeliveryQuery{Org: me.org, Webhook: other.hook.ID, Limit: 10})
			must(t, err)
			same(t, "deliveries of theirs", len(list), 0)
		},
		"Redeliver": func() {
			_, err := db.Redeliver(ctx, vel, me.org, other.delivery.ID)
			none("a delivery", err)
		},
		// These ask over all organizations, for the house itself.
		"NoteBudget": nil,
		"Patrol":     nil, "PendingJobs": nil, "Queue": nil, "Seqs": nil, "Stopping": nil,
		"SealedBy": nil, "Reseal": nil,
		"BatchSize": nil, "Cursor": nil, "ProveBatch": nil, "Sum": nil, "SumNow": nil,
		"Record": nil, "Seal": nil, "SealNow": nil,
		"KeyByHash": nil, "OrgOf": nil, "KeysUsed": nil, "Changes": nil, "Follow": nil, "IsNew": nil, "FirstStart": nil, "Clean": nil,
		"Ping": nil, "Close": nil, "Migrate": nil, "Status": nil,
	}
	kind := reflect.TypeFor[*storage.DB]()
	for i := range kind.NumMethod() {
		name := kind.Method(i).Name
		walk, listed := methods[name]
		if !listed {
			t.Errorf("%s has no line here: what does it give to another organization?", name)
		}
		if walk != nil {
			walk()
		}
		delete(methods, name)
	}
	for name := range methods {
		t.Errorf("there is no method %s", name)
	}
	same(t, "what the other organization has", other.all(t, db), before)
}
