package storagetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// called is a record with everything in it, of the n-th call of a test.
func called(org tenancy.ID, n int) accounting.Record {
	return accounting.Record{
		State: accounting.Ended, ID: tenancy.ID(fmt.Sprintf("req_%04d", n)), Begun: at.Add(time.Duration(n) * time.Second),
		Who:   tenancy.Identity{Org: org, Team: "team_1", User: "user_1", Key: "key_1"},
		Route: "fast", Provider: "openai", Model: "gpt-4o", Endpoint: adapters.ChatCompletions, Stream: true,
		Status: 200, Class: adapters.ClassNone,
		Attempts: []accounting.Attempt{
			{Provider: "azure", Model: "gpt-4o", Total: time.Second, Class: adapters.ClassServer, Status: 500},
			{
				Provider: "openai", Model: "gpt-4o", Began: time.Second, FirstByte: 300 * time.Millisecond, Total: 2 * time.Second, Status: 200, Executed: true,
				Usage: adapters.Usage{adapters.Input: 100, adapters.Output: 20}, Cost: 4_200, Price: "list",
			},
		},
		Waiting: 3 * time.Millisecond, FirstToken: 1300*time.Millisecond + 1, Total: 3 * time.Second,
		Usage: adapters.Usage{adapters.Input: 100, adapters.Output: 20, adapters.Requests: 1}, Cost: 4_200, Estimate: 9_000,
		Tags: []accounting.Tag{{Key: "env", Value: "prod"}, {Key: "odd \"key\" %_", Value: "ünicode Größe! \\ %"}},
		Task: "task_1", Run: "run_1", Decision: []byte(`{"why":"first"}`), Dropped: []string{"seed", "top_k"}, Agent: "curl/8 \"quoted\"", Cache: "hit", Saved: 4_200,
		Mirror: accounting.Mirror{
			Of: "req_0000", Org: "org_b", Provider: "groq", Model: "llama", FirstToken: time.Millisecond, Total: time.Second, TokensIn: 9, TokensOut: 8, Cost: 7,
			Finish: "stop", CopyFinish: "length", Compared: true, Same: true,
		},
		Holds: []byte{0, 1, 255}, Prompt: []byte("01234567.prompt"), Answer: []byte("01234567.answer"),
	}
}

// shipped appends records as a node does that has never appended before.
type shipped struct {
	node string
	at   spool.Cursor
}

func (s *shipped) append(t *testing.T, db *storage.DB, records ...accounting.Record) {
	t.Helper()
	to := s.at
	to.Segment, to.Offset = 1, to.Offset+int64(len(records))
	must(t, db.Append(t.Context(), s.node, s.at, to, records))
	s.at = to
}

// records checks that what was appended comes back as it was.
func records(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a := tenancy.ID("org_a")
	want := called(a, 1)
	little := accounting.Record{State: accounting.Interrupted, ID: "req_little", Begun: at, Who: tenancy.Identity{Org: a, Key: "key_2"}, Class: adapters.ClassInternal}
	ship := shipped{node: "node_1"}
	ship.append(t, db, want, little, accounting.Record{State: accounting.Begun, ID: "req_begun", Begun: at})
	for _, r := range []accounting.Record{want, little} {
		for _, org := range []tenancy.ID{a, ""} {
			got, err := db.Call(ctx, org, r.ID)
			must(t, err)
			same(t, "a call", got, r)
		}
	}
	_, err := db.Call(ctx, a, "req_begun")
	wants(t, "a call that has only begun", err, tenancy.ErrNotFound)
	want.Attempts, want.Decision, want.Holds, want.Prompt, want.Answer, want.Mirror = nil, nil, nil, nil, nil, accounting.Mirror{}
	list, err := db.Calls(ctx, accounting.CallQuery{CallFilter: accounting.CallFilter{Org: a}, Limit: 10})
	must(t, err)
	same(t, "a list", list, []accounting.Record{want, little})
	c, err := db.Cursor(ctx, "node_1")
	must(t, err)
	same(t, "the cursor", c, ship.at)
}
