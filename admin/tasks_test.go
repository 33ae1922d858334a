package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// shelf keeps tasks in memory.
type shelf struct {
	mu       sync.Mutex
	rows     map[tenancy.ID]*tasks.Task      // guarded by mu
	contents map[tenancy.ID][2]string        // guarded by mu
	history  map[tenancy.ID][]tasks.Progress // guarded by mu
	by       []tenancy.Actor                 // who made tasks; guarded by mu
	asked    []tasks.Query                   // guarded by mu
	fail     func() error                    // nil: it works
}

func newShelf() *shelf {
	return &shelf{rows: map[tenancy.ID]*tasks.Task{}, contents: map[tenancy.ID][2]string{}, history: map[tenancy.ID][]tasks.Progress{}}
}

func (s *shelf) CreateTask(_ context.Context, by tenancy.Actor, t *tasks.Task, request string, most int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, other := range s.rows {
		if owns(other.As) == owns(t.As) && !other.State.Over() {
			n++
		}
	}
	if n >= most {
		return &tasks.Full{Most: most}
	}
	t.State, t.Rev, t.Seq = tasks.Pending, 1, 1
	s.rows[t.ID], s.contents[t.ID], s.by = t, [2]string{request}, append(s.by, by)
	s.history[t.ID] = []tasks.Progress{{Seq: 1, At: t.Created, Kind: tasks.WasCreated, Detail: "{}"}}
	return nil
}

func (s *shelf) Task(_ context.Context, org, id tenancy.ID) (tasks.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.rows[id]; ok && t.Org == org {
		return *t, nil
	}
	return tasks.Task{}, tenancy.ErrNotFound
}

func (s *shelf) TaskContents(_ context.Context, _, id tenancy.ID) (request, answer string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contents[id][0], s.contents[id][1], nil
}

func (s *shelf) Tasks(_ context.Context, q tasks.Query) (list []tasks.Task, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, q)
	for _, t := range s.rows {
		if t.Org == q.Org && (q.Owner == "" || owns(t.As) == q.Owner) && (q.State == "" || t.State == q.State) && (q.Before == "" || t.ID < q.Before) {
			list = append(list, *t)
		}
	}
	slices.SortFunc(list, func(a, b tasks.Task) int { return strings.Compare(string(b.ID), string(a.ID)) })
	return list[:min(len(list), q.Limit)], nil
}

func (s *shelf) StopTask(_ context.Context, _ tenancy.Actor, org, id tenancy.ID) (tasks.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.rows[id]
	if !ok || t.Org != org {
		return tasks.Task{}, tenancy.ErrNotFound
	}
	if p, stops := t.StopBy(start); stops && p.Seq > 0 {
		s.history[id] = append(s.history[id], p)
	}
	return *t, nil
}

func (s *shelf) Progress(_ context.Context, _, id tenancy.ID, after int64, tokens bool, most int) (list []tasks.Progress, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(); err != nil {
			return nil, err
		}
	}
	for _, p := range s.history[id] {
		if p.Seq > after && (tokens || p.Kind != tasks.WasAnswered) {
			list = append(list, p)
		}
	}
	return list[:min(len(list), most)], nil
}

// happens adds to the history of a task.
func (s *shelf) happens(id tenancy.ID, list ...tasks.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history[id] = append(s.history[id], list...)
	s.rows[id].Seq = list[len(list)-1].Seq
}

// answers gives a task an answer that was sealed, and ends it.
func (w *world) answers(id tenancy.ID, answer string) {
	s := w.tasks
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.rows[id]
	t.State, t.Ended = tasks.Succeeded, start
	s.contents[id] = [2]string{s.contents[id][0], tasks.SealContent(w.Keyring, t.Org, id, []byte(answer))}
}

// work is what the world knows of tasks.
func (w *world) work() TaskWork {
	return TaskWork{
		Store: w.tasks, Batches: w.batches, Webhooks: w.hooks, Hooks: w.hooks, Courier: w.hooks, Agents: w.staff, Agented: w.staff, Executor: w.staff, Feed: w.feed, Stop: func(id tenancy.ID) { w.stopped = append(w.stopped, id) },
		Estimate: func(r *tasks.Request) (money.Nano, bool, error) {
			if w.costs == nil {
				return 0, false, nil
			}
			return w.costs(r)
		},
		Affords: func(ctx context.Context, b *tasks.Batch, cost money.Nano) error {
			if w.affords == nil {
				return nil
			}
			return w.affords(ctx, b, cost)
		},
		PerUser: func() int { return 2 }, Streams: func() int { return 2 }, Hearts: func() time.Duration { return time.Hour },
	}
}

const aTask = `{"body":{"model":"fast","messages":[{"role":"user","content":"hello"}]},"tags":{"env":"prod"}}`

// asks makes a task as somebody.
func (w *world) asks(as string) TaskLine {
	w.t.Helper()
	var line TaskLine
	w.do(as, "POST", "/api/tasks", json.RawMessage(aTask)).want(201).into(&line)
	return line
}

// A task is kept with who asks for it, and its request as a client would send it, sealed.
func TestCreateTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.do("executor", "POST", "/api/tasks", json.RawMessage(aTask)).want(201)
	var line TaskLine
	made.into(&line)
	if made.header.Get("Location") != "/api/tasks/"+string(line.ID) || line.State != "pending" || line.Tags["env"] != "prod" || line.User == nil || line.User.ID != "user_executor" {
		t.Errorf("%v %+v", made.header, line)
	}
	kept := w.tasks.rows[line.ID]
	if kept.As != (tenancy.Identity{Org: acme, User: "user_executor"}) || kept.Model != "fast" || kept.Endpoint != adapters.ChatCompletions || kept.Priority != 2 || kept.Retry.Attempts != 3 {
		t.Errorf("%+v", kept)
	}
	sealed := w.tasks.contents[line.ID][0]
	if strings.Contains(sealed, "hello") {
		t.Error("the request is not sealed")
	}
	body, err := tasks.Content(w.Keyring, acme, line.ID, sealed)
	if want := `{"messages":[{"role":"user","content":"hello"}],"model":"fast","stream":true,"stream_options":{"include_usage":true}}`; err != nil || string(body) != want {
		t.Errorf("%s, %v", body, err)
	}
	byKey := w.asks("robot")
	if as := w.tasks.rows[byKey.ID].As; as.Key != "key_robot" || as.Org != acme {
		t.Errorf("%+v", as)
	}
}

// Whoever sends the same request again with its Idempotency-Key gets the same task.
func TestCreateTaskOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.do("executor", "POST", "/api/tasks", json.RawMessage(aTask), "Idempotency-Key", "k").want(201)
	second := w.do("executor", "POST", "/api/tasks", json.RawMessage(aTask), "Idempotency-Key", "k").want(201)
	if string(first.body) != string(second.body) || second.header.Get("Location") != first.header.Get("Location") || len(w.tasks.rows) != 1 {
		t.Errorf("%s\n%s", first.body, second.body)
	}
}

// Every fault is named with its place, and nothing is kept.
func TestCreateTaskFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for body, location := range map[string]string{
		`{}`:                       "body.body",
		`{"body":"x"}`:             "body.request",
		`{"body":{"messages":[]}}`: "body.request.model",
		`{"body":{"model":7}}`:     "body.request.model",
		`{"endpoint":"files","body":{"model":"m"}}`:                       "body.endpoint",
		`{"endpoint":"responses","body":{"model":"m","background":true}}`: "body.request.background",
		`{"body":{"model":"m"},"deadline":"2001-01-01T00:00:00Z"}`:        "body.deadline",
		`{"body":{"model":"m"},"start_at":"2999-01-01T00:00:00Z"}`:        "body.start_at",
		`{"body":{"model":"m"},"tags":{"a b":"c"}}`:                       "body.tags",
		`{"body":{"model":"m"},"priority":"urgent"}`:                      "body.priority",
		`{"body":{"model":"m"},"retry":{"attempts":11}}`:                  "body.retry.attempts",
		`{"body":{"model":"m"},"retry":{"on":["invalid"]}}`:               "body.retry.on[0]",
		`{"body":{"model":"m"},"colour":"red"}`:                           "body.colour",
	} {
		p := w.do("executor", "POST", "/api/tasks", json.RawMessage(body)).problem(invalid)
		if len(p.Errors) == 0 || !slices.ContainsFunc(p.Errors, func(f Fault) bool { return f.Location == location }) {
			t.Errorf("%s: %+v, want one at %s", body, p.Errors, location)
		}
	}
	if len(w.tasks.rows) != 0 {
		t.Errorf("%d tasks were kept", len(w.tasks.rows))
	}
}

// More than so many at once are refused, and say when to come again.
func TestTooManyTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.asks("executor")
	w.asks("executor")
	refused := w.do("executor", "POST", "/api/tasks", json.RawMessage(aTask))
	if p := refused.problem(tooManyTasks); refused.header.Get("Retry-After") == "" || !strings.Contains(p.Detail, "2 tasks") {
		t.Errorf("%v %s", refused.header, p.Detail)
	}
	w.asks("manager") // somebody else may
	w.do("executor", "POST", "/api/tasks/"+string(first.ID)+"/cancel", nil).want(200)
	w.asks("executor")
}

// Everybody sees their own tasks; who may view analytics sees all, and what was said only who may view that.
func TestWhoSeesTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	theirs, other := w.asks("executor"), w.asks("manager")
	w.answers(theirs.ID, `{"choices":[{"message":{"content":"hi"}}]}`)
	count := func(as, query string) int {
		var list struct{ Data []TaskLine }
		w.do(as, "GET", "/api/tasks"+query, nil).want(200).into(&list)
		return len(list.Data)
	}
	for as, n := range map[string]int{"executor": 1, "manager": 2, "viewer": 2, "admin": 2, "outsider": 0} {
		if got := count(as, ""); got != n {
			t.Errorf("%s sees %d, want %d", as, got, n)
		}
	}
	if count("executor", "?user=user_manager") != 0 || count("admin", "?user=user_manager") != 1 || count("admin", "?state=succeeded") != 1 {
		t.Error("filters do not hold")
	}
	at := "/api/tasks/" + string(theirs.ID)
	w.do("executor", "GET", "/api/tasks/"+string(other.ID), nil).problem(notFound)
	w.do("executor", "POST", "/api/tasks/"+string(other.ID)+"/cancel", nil).problem(notFound)
	w.do("manager", "POST", at+"/cancel", nil).problem(notAllowed)
	w.do("viewer", "POST", at+"/cancel", nil).problem(notAllowed)
	w.do("viewer", "POST", "/api/tasks", json.RawMessage(aTask)).problem(notAllowed)
	w.do("viewer", "GET", at+"?content=true", nil).problem(notAllowed)
	w.do("viewer", "GET", at+"/stream-response", nil).problem(notAllowed)
	var task Task
	if w.do("viewer", "GET", at, nil).want(200).into(&task); task.Content != nil || len(task.History) != 1 {
		t.Errorf("%+v", task)
	}
	for as, query := range map[string]string{"executor": "", "admin": "?content=true"} {
		got := w.do(as, "GET", at+query, nil).want(200)
		if got.into(&task); task.Content == nil || !strings.Contains(string(got.body), `"hi"`) || !strings.Contains(string(got.body), `"hello"`) {
			t.Errorf("%s: %s", as, got.body)
		}
	}
	read := w.db.audit.events[len(w.db.audit.events)-1]
	if read.Action != tenancy.ActionReadContent || read.Object.ID != theirs.ID || read.By.User != "user_admin" {
		t.Errorf("the last event is %+v", read)
	}
}

// A page ends where the next one begins.
func TestTaskPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, as := range []string{"executor", "executor", "manager", "manager", "robot"} {
		w.asks(as)
	}
	var seen []tenancy.ID
	for after := ""; ; {
		var page struct {
			Data []TaskLine
			Next *string
		}
		w.do("admin", "GET", "/api/tasks?limit=2"+after, nil).want(200).into(&page)
		for _, line := range page.Data {
			seen = append(seen, line.ID)
		}
		if page.Next == nil {
			break
		}
		after = "&after=" + *page.Next
	}
	if len(seen) != 5 || !slices.IsSortedFunc(seen, func(a, b tenancy.ID) int { return strings.Compare(string(b), string(a)) }) {
		t.Errorf("%v", seen)
	}
}

// text is a line of a history with some text.
func (w *world) text(id tenancy.ID, seq, n int64, text string) tasks.Progress {
	return tasks.Progress{Seq: seq, At: start, Kind: tasks.WasAnswered, Tokens: n, Detail: w.Keyring.Seal([]byte(text), "task_progress", string(id), string(acme))}
}

// A stream tells the history in its order, and a client that comes back gets what it has not seen.
func TestTaskStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.asks("executor").ID
	w.tasks.happens(id,
		tasks.Progress{Seq: 2, At: start, Kind: tasks.WasBegun, Detail: `{"try":1}`}, w.text(id, 3, 1, "a"), w.text(id, 4, 3, "bc"),
		tasks.Progress{Seq: 5, At: start, Kind: tasks.WasPutOff, Detail: `{"class":"server"}`}, tasks.Progress{Seq: 6, At: start, Kind: tasks.WasBegun, Detail: `{"try":2}`},
		w.text(id, 7, 2, "d\n"), tasks.Progress{Seq: 8, At: start, Kind: tasks.HasSucceeded, Detail: `{"try":2}`})
	w.answers(id, `{"choices":[{"message":{"content":"d\n"}}]}`)
	at := "/api/tasks/" + string(id)
	names := func(path string, headers ...string) string {
		got := w.do("executor", "GET", path, nil, headers...).want(200)
		if kind := got.header.Get("Content-Type"); kind != "text/event-stream" {
			t.Errorf("%s is %s", path, kind)
		}
		var all []string
		for block := range strings.SplitSeq(strings.TrimSpace(string(got.body)), "\n\n") {
			lines := strings.Split(block, "\n")
			if len(lines) != 3 || !json.Valid([]byte(strings.TrimPrefix(lines[2], "data: "))) {
				t.Fatalf("%s: %q", path, block)
			}
			all = append(all, strings.TrimPrefix(lines[0], "id: ")+strings.TrimPrefix(lines[1], "event: "))
		}
		return strings.Join(all, " ")
	}
	for path, want := range map[string]string{
		at + "/stream":                          "1created 2begun 3progress 4progress 5retry 6begun 7progress 8succeeded",
		at + "/stream?last_event_id=5":          "6begun 7progress 8succeeded",
		at + "/stream-response":                 "3token 4token 6reset 7token 8done",
		at + "/stream-response?last_event_id=3": "4token 6reset 7token 8done",
		at + "/stream-response?last_event_id=7": "8done",
	} {
		if got := names(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := names(at+"/stream-response", "Last-Event-ID", "4"); got != "6reset 7token 8done" {
		t.Errorf("by the header: %s", got)
	}
	w.do("executor", "GET", at+"/stream?last_event_id=8", nil).want(204)
	// Once its tokens are gone, the answer comes as a whole.
	w.tasks.history[id] = slices.DeleteFunc(w.tasks.history[id], func(p tasks.Progress) bool { return p.Kind == tasks.WasAnswered })
	if got := names(at + "/stream-response?last_event_id=6"); got != "7reset 7token 8done" {
		t.Errorf("without tokens: %s", got)
	}
}

// A database that is away for a moment ends no stream, and only so many may be open.
func TestTaskStreamsHoldOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.asks("executor").ID
	w.do("executor", "POST", "/api/tasks/"+string(id)+"/cancel", nil).want(200)
	if len(w.stopped) != 1 || w.stopped[0] != id {
		t.Errorf("stopped %v", w.stopped)
	}
	failing := 1
	w.tasks.fail = func() error {
		if failing--; failing >= 0 {
			return &tenancy.Unavailable{Cause: fmt.Errorf("away")}
		}
		return nil
	}
	got := w.do("executor", "GET", "/api/tasks/"+string(id)+"/stream", nil).want(200)
	if !strings.Contains(string(got.body), "event: cancelled") {
		t.Errorf("%s", got.body)
	}
	done, _ := w.watching.enter("org_acme\x00user_executor\x00", 2)
	w.watching.enter("org_acme\x00user_executor\x00", 2)
	w.do("executor", "GET", "/api/tasks/"+string(id)+"/stream", nil).problem(tooManyTasks)
	done()
	w.do("executor", "GET", "/api/tasks/"+string(id)+"/stream", nil).want(200)
}
