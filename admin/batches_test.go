package admin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// piles keeps batches in memory, with their items.
type piles struct {
	rows  map[tenancy.ID]*tasks.Batch
	items map[tenancy.ID][]tasks.NewItem
	ended map[tenancy.ID][]tasks.ItemResult
}

func newPiles() *piles {
	return &piles{map[tenancy.ID]*tasks.Batch{}, map[tenancy.ID][]tasks.NewItem{}, map[tenancy.ID][]tasks.ItemResult{}}
}

func (p *piles) CreateBatch(_ context.Context, _ tenancy.Actor, b *tasks.Batch) error {
	b.State, b.Rev = tasks.Draft, 1
	p.rows[b.ID] = b
	return nil
}

func (p *piles) Batch(_ context.Context, org, id tenancy.ID) (tasks.Batch, error) {
	if b, ok := p.rows[id]; ok && b.Org == org {
		return *b, nil
	}
	return tasks.Batch{}, tenancy.ErrNotFound
}

func (p *piles) Batches(_ context.Context, q tasks.BatchQuery) (list []tasks.Batch, err error) {
	for _, b := range p.rows {
		if b.Org == q.Org && (q.Owner == "" || owns(b.As) == q.Owner) && (q.Before == "" || b.ID < q.Before) {
			list = append(list, *b)
		}
	}
	slices.SortFunc(list, func(a, b tasks.Batch) int { return strings.Compare(string(b.ID), string(a.ID)) })
	return list[:min(len(list), q.Limit)], nil
}

func (p *piles) AddItems(_ context.Context, _, id tenancy.ID, from int64, items []tasks.NewItem) (int64, error) {
	b := p.rows[id]
	switch {
	case b.State != tasks.Draft:
		return 0, tasks.ErrBegun
	case from != b.Total:
		return 0, tasks.ErrGap
	}
	for i := range items {
		b.Estimate += items[i].Cost
	}
	p.items[id] = append(p.items[id], items...)
	b.Total += int64(len(items))
	return b.Total, nil
}

func (p *piles) StartBatch(_ context.Context, _ tenancy.Actor, _, id tenancy.ID) (tasks.Batch, error) {
	b := p.rows[id]
	if b.Total == 0 {
		return *b, tasks.ErrNoItems
	}
	b.State = tasks.BatchRunning
	return *b, nil
}

func (p *piles) StopBatch(_ context.Context, _ tenancy.Actor, _, id tenancy.ID) (tasks.Batch, error) {
	p.rows[id].State = tasks.BatchCancelled
	return *p.rows[id], nil
}

func (p *piles) RetryBatch(_ context.Context, _ tenancy.Actor, _, id tenancy.ID) (tasks.Batch, error) {
	if !p.rows[id].State.Over() {
		return tasks.Batch{}, tasks.ErrRunning
	}
	p.rows[id].State = tasks.BatchRunning
	return *p.rows[id], nil
}

func (p *piles) Items(_ context.Context, q tasks.ItemQuery) (list []tasks.ItemResult, err error) {
	for _, r := range p.ended[q.Batch] {
		if r.Item > q.After && (q.State == "" || r.State == q.State) {
			list = append(list, r)
		}
	}
	return list[:min(len(list), q.Limit)], nil
}

// A batch with items starts at once; one without is a draft that takes lines, also those of OpenAI's batches.
func TestCreateBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.costs = func(*tasks.Request) (money.Nano, bool, error) { return 3, true, nil }
	var b Batch
	made := w.do("executor", "POST", "/api/batches", json.RawMessage(`{"name":"n","parallel":7,"items":[{"custom_id":"a","body":{"model":"m"}},{"body":{"model":"m2"}}]}`)).want(201)
	made.into(&b)
	if b.State != "running" || b.Total != 2 || b.Parallel != 7 || b.Estimate != "0.000000006" || made.header.Get("Location") != "/api/batches/"+string(b.ID) {
		t.Errorf("%+v", b)
	}
	for i, item := range w.batches.items[b.ID] {
		if item.Batch != b.ID || item.Item != int64(i) || item.Priority != tasks.BatchPriority || strings.Contains(item.Request, "model") {
			t.Errorf("item %d: %+v", i, item)
		}
	}
	w.do("executor", "POST", "/api/batches", json.RawMessage(`{"draft":true,"items":[{"body":{"model":"m"}}]}`)).want(201).into(&b)
	if b.State != "draft" {
		t.Errorf("%+v", b)
	}
	w.do("executor", "POST", "/api/batches", json.RawMessage(`{"name":"empty"}`)).want(201).into(&b)
	at := "/api/batches/" + string(b.ID)
	w.do("executor", "POST", at+"/start", nil).problem(inState)
	lines := `{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}}` + "\n\n" + `{"body":{"model":"m"}}` + "\n"
	w.lines("executor", at+"/items", lines).want(200).into(&b)
	if b.Total != 2 || w.batches.items[b.ID][0].Custom != "1" {
		t.Errorf("%+v", b)
	}
	w.lines("executor", at+"/items", lines).problem(inState)
	w.lines("executor", at+"/items?from=2", lines).want(200)
	for wrong, place := range map[string]string{"x": "body.line[1].body", "{}": "body.line[1].body", "\n" + `{"body":{}}`: "body.line[2].request.model"} {
		if p := w.lines("executor", at+"/items?from=4", wrong).problem(invalid); p.Errors[0].Location != place {
			t.Errorf("%q: %+v", wrong, p.Errors)
		}
	}
	w.do("executor", "POST", at+"/retry", nil).problem(inState)
	w.do("executor", "POST", at+"/start", nil).want(200)
	w.do("executor", "POST", at+"/cancel", nil).want(200).into(&b)
	w.do("executor", "POST", at+"/retry", nil).want(200)
	p := w.do("executor", "POST", "/api/batches", json.RawMessage(`{"items":[{"body":{"model":"m"}},{"body":{"model":7}}]}`)).problem(invalid)
	if p.Errors[0].Location != "body.items[1].request.model" {
		t.Errorf("%+v", p.Errors)
	}
}

// A batch that may cost more than a budget has left does not begin, unless it is to; the same holds for what begins anew.
func TestBatchOverBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.costs = func(*tasks.Request) (money.Nano, bool, error) { return 3, true, nil }
	left := money.Nano(5)
	w.affords = func(_ context.Context, b *tasks.Batch, cost money.Nano) error {
		if b.As.Org == acme && cost <= left {
			return nil
		}
		return &accounting.Denied{Level: accounting.OfTag, Tag: accounting.Tag{Key: "a", Value: "b"}, Unit: accounting.Dollars, Per: ratelimit.Day, Max: 7, Ends: w.Now().Add(time.Hour)}
	}
	two := `"items":[{"body":{"model":"m"}},{"body":{"model":"m"}}]}`
	refused := w.do("executor", "POST", "/api/batches", json.RawMessage(`{`+two))
	if p := refused.problem(overBudget); !strings.Contains(p.Detail, "0.000000006 USD") || !strings.Contains(p.Detail, "tag 'a=b', 0.000000007 USD per day") || refused.header.Get("Retry-After") != "3600" {
		t.Errorf("%s, %v", p.Detail, refused.header)
	}
	if len(w.batches.rows) > 0 {
		t.Error("a batch that was refused is there")
	}
	var b Batch
	w.do("executor", "POST", "/api/batches", json.RawMessage(`{"over_budget":true,`+two)).want(201).into(&b)
	w.do("executor", "POST", "/api/batches", json.RawMessage(`{"draft":true,`+two)).want(201).into(&b)
	at := "/api/batches/" + string(b.ID)
	w.do("executor", "POST", at+"/start", nil).problem(overBudget)
	w.do("executor", "POST", at+"/start?over_budget=true", nil).want(200)
	w.do("executor", "POST", at+"/start", nil).want(200) // it has begun: nothing more is asked
	w.do("executor", "POST", at+"/cancel", nil).want(200)
	w.batches.rows[b.ID].Cancelled = 2
	w.do("executor", "POST", at+"/retry", nil).problem(overBudget)
	w.batches.rows[b.ID].Cancelled = 1 // three of five
	w.do("executor", "POST", at+"/retry", nil).want(200)
	w.affords = func(context.Context, *tasks.Batch, money.Nano) error {
		return &accounting.Denied{Unit: accounting.Dollars, Away: true}
	}
	w.do("executor", "POST", "/api/batches", json.RawMessage(`{`+two)).problem(unavailable)
}

// lines sends lines of JSON.
func (w *world) lines(as, path, text string) *answer {
	w.t.Helper()
	return w.do(as, "POST", path, text, "Content-Type", "application/x-ndjson")
}

// Results are read in three forms, by their owner, or by who may read what others were answered.
func TestBatchResults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var b Batch
	w.do("executor", "POST", "/api/batches", json.RawMessage(`{"items":[{"body":{"model":"m"}}]}`)).want(201).into(&b)
	const items = 2*resultsPage + 1
	for i := range items {
		r := tasks.ItemResult{Task: tasks.Task{
			ID: tenancy.ID(fmt.Sprint("task_", i)), Org: acme, Item: int64(i), Custom: fmt.Sprint("=c", i), State: tasks.Succeeded, Endpoint: endpointOf(""), Outcome: tasks.Outcome{Cost: 5},
		}}
		r.Answer = tasks.SealContent(w.Keyring, acme, r.ID, []byte(fmt.Sprintf(`{"choices":[{"message":{"content":"text %d"}}]}`, i)))
		if i == 1 {
			r.State, r.Answer, r.Outcome.Message = tasks.Failed, "", "it failed"
		}
		w.batches.ended[b.ID] = append(w.batches.ended[b.ID], r)
	}
	at := "/api/batches/" + string(b.ID) + "/results"
	lines := strings.Split(strings.TrimSpace(string(w.do("executor", "GET", at, nil).want(200).body)), "\n")
	var last BatchResult
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != items || last.Item != items-1 || !strings.Contains(lines[1], `"it failed"`) || !strings.Contains(lines[2], "text 2") {
		t.Errorf("%d lines, %+v, %v", len(lines), last, err)
	}
	var all []BatchResult
	if w.do("executor", "GET", at+"?format=json", nil).want(200).into(&all); len(all) != items {
		t.Errorf("%d in an array", len(all))
	}
	rows, err := csv.NewReader(strings.NewReader(string(w.do("executor", "GET", at+"?format=csv", nil).want(200).body))).ReadAll()
	if err != nil || len(rows) != items+1 || rows[1][4] != "text 0" || rows[2][5] != "it failed" || rows[1][1] == "=c0" {
		t.Errorf("%d rows, %v, %v", len(rows), rows[:min(3, len(rows))], err)
	}
	if got := w.do("executor", "GET", at+"?format=json&state=cancelled", nil).want(200); strings.TrimSpace(string(got.body)) != "[]" {
		t.Errorf("none: %s", got.body)
	}
	w.do("manager", "GET", at, nil).problem(notAllowed)
	w.do("manager", "GET", at+"?content=true", nil).problem(notAllowed)
	w.do("admin", "GET", at+"?content=true", nil).want(200)
	if read := w.db.audit.events[len(w.db.audit.events)-1]; read.Action != tenancy.ActionReadContent || read.Object.ID != b.ID {
		t.Errorf("%+v", read)
	}
	w.do("executor", "GET", "/api/batches/batch_none/results", nil).problem(notFound)
	var list struct{ Data []Batch }
	if w.do("manager", "GET", "/api/batches?user=user_executor", nil).want(200).into(&list); len(list.Data) != 1 {
		t.Errorf("%+v", list)
	}
	if w.do("executor", "GET", "/api/batches?user=user_manager", nil).want(200).into(&list); len(list.Data) != 0 {
		t.Errorf("%+v", list)
	}
}
