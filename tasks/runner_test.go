package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// book is a Store of one task.
type book struct {
	mu      sync.Mutex
	t       Task       // guarded by mu
	request string     // guarded by mu
	answer  string     // guarded by mu
	history []Progress // guarded by mu
	gone    bool       // guarded by mu
	fail    []error    // of the next writes; guarded by mu
	after   bool       // those fail after they have written; guarded by mu
}

func (b *book) LoadTask(context.Context, tenancy.ID, tenancy.ID) (*Loaded, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.t.ID == "" {
		return nil, tenancy.ErrNotFound
	}
	t := b.t
	return &Loaded{Task: &t, Request: b.request, Gone: b.gone}, nil
}

// fails is the error of the next write, and whether it writes all the same.
func (b *book) fails() (err error, writes bool) {
	if len(b.fail) == 0 {
		return nil, true
	}
	err, b.fail = b.fail[0], b.fail[1:]
	return err, b.after
}

func (b *book) Advance(_ context.Context, t *Task, happened []Progress, answer string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err, writes := b.fails()
	if !writes {
		return false, err
	}
	if t.Rev != b.t.Rev {
		return false, err
	}
	b.t = *t
	b.t.Rev++
	b.tell(happened)
	if answer != "" {
		b.answer = answer
	}
	if err != nil {
		return false, err
	}
	t.Rev++
	return true, nil
}

func (b *book) AppendProgress(_ context.Context, t *Task, happened []Progress) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err, writes := b.fails()
	if !writes {
		return false, err
	}
	if t.Rev != b.t.Rev || b.t.State != Running {
		return false, err
	}
	b.tell(happened)
	return err == nil, err
}

// tell keeps what happened, each number once.
func (b *book) tell(happened []Progress) {
	for _, p := range happened {
		if len(b.history) == 0 || b.history[len(b.history)-1].Seq < p.Seq {
			b.history = append(b.history, p)
		}
	}
}

func (b *book) Stopping(context.Context, tenancy.ID) ([]tenancy.ID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.t.Stopping.IsZero() {
		return nil, nil
	}
	return []tenancy.ID{b.t.ID}, nil
}

// kinds are what happened, in short.
func (b *book) kinds() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for i, p := range b.history {
		if p.Seq != int64(i+1) {
			all = append(all, "GAP")
		}
		all = append(all, string(p.Kind))
	}
	return strings.Join(all, " ")
}

// open is a Vault that seals nothing.
type open struct{}

func (open) Seal(text []byte, _ ...string) string            { return string(text) }
func (open) Open(sealed string, _ ...string) ([]byte, error) { return []byte(sealed), nil }

// executing is an Executor as a function.
type executing func(ctx context.Context, r *Request, each func([]byte) error) (*Result, error)

func (f executing) Execute(ctx context.Context, r *Request, each func([]byte) error) (*Result, error) {
	return f(ctx, r, each)
}

// chunk is an event of a stream with some text.
func chunk(text string) []byte {
	b, _ := json.Marshal(text)
	return []byte(`data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":` + string(b) + `}}]}` + "\n\n")
}

// aTask is one that waits.
func aTask() Task {
	return Task{
		ID: "task_1", Org: "org_1", As: tenancy.Identity{Org: "org_1", Key: "key_1"}, Endpoint: adapters.ChatCompletions, Model: "m", Priority: 2,
		Retry: DefaultRetry(), State: Pending, Rev: 1, Created: time.Now(), Due: time.Now(), Labels: map[string]string{"env": "prod"},
	}
}

func newBook() *book { return &book{t: aTask(), request: `{"model":"m"}`} }

func (b *book) runner(e executing) *Runner {
	return NewRunner("node_1", b, e, open{}, NewFeed(nil, Looking{}), prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
}

// run runs the task as it is.
func (b *book) run(t *testing.T, r *Runner) {
	t.Helper()
	if err := r.Run(t.Context(), b.t.Job()); err != nil {
		t.Fatal(err)
	}
}

// failing is an executor that fails with a class.
func failing(class adapters.Class, after time.Duration) executing {
	return func(context.Context, *Request, func([]byte) error) (*Result, error) {
		return &Result{Call: "req_1", Cost: 5}, &adapters.Error{Class: class, Code: "c", Message: "m", RetryAfter: after, Cause: errors.New("secret")}
	}
}

// A task ends with its answer, its tokens written while they come: the first at once, then ten together or what came in 100 ms.
func TestRunStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		var asked *Request
		b.run(t, b.runner(func(_ context.Context, r *Request, each func([]byte) error) (*Result, error) {
			asked = r
			for i := range 26 {
				if err := each(chunk(string(rune('a' + i)))); err != nil {
					return &Result{}, err
				}
				if synctest.Wait(); i == 0 || i == 10 {
					if tokens := b.history[len(b.history)-1].Tokens; tokens != int64(i+1) {
						t.Errorf("after %d tokens %d are written", i+1, tokens)
					}
				}
			}
			time.Sleep(101 * time.Millisecond)
			synctest.Wait()
			if tokens := b.history[len(b.history)-1].Tokens; tokens != 26 {
				t.Errorf("after a while %d tokens are written", tokens)
			}
			_ = each([]byte("data: [DONE]\n\n"))
			return &Result{Call: "req_1", Provider: "p", Model: "um", Cost: 7, Usage: adapters.Usage{adapters.Output: 26}}, nil
		}))
		if got := b.kinds(); got != "begun tokens tokens tokens tokens succeeded" {
			t.Errorf("happened: %s", got)
		}
		if b.t.State != Succeeded || b.t.Tries != 1 || b.t.Outcome.Cost != 7 || b.t.Outcome.Provider != "p" || Said(b.t.Endpoint, []byte(b.answer)) != "abcdefghijklmnopqrstuvwxyz" {
			t.Errorf("%+v %s", b.t, b.answer)
		}
		if asked.Task != "task_1" || asked.Key != "task_1-1" || strings.Join(asked.Tags, ",") != "env=prod" || asked.As.Key != "key_1" {
			t.Errorf("asked %+v", asked)
		}
	})
}

// What becomes of a task that fails depends on how, and how often.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		class    adapters.Class
		after    time.Duration
		failures int
		want     State
		waits    [2]time.Duration
	}{
		"it may pass":                {adapters.ClassServer, 0, 0, Pending, [2]time.Duration{500 * time.Millisecond, time.Second}},
		"it may pass, the next time": {adapters.ClassServer, 0, 1, Pending, [2]time.Duration{time.Second, 2 * time.Second}},
		"it says when":               {adapters.ClassRate, time.Minute, 0, Pending, [2]time.Duration{time.Minute, time.Minute}},
		"often enough":               {adapters.ClassServer, 0, 2, Failed, [2]time.Duration{}},
		"the request is at fault":    {adapters.ClassInvalid, 0, 0, Failed, [2]time.Duration{}},
		"there is no money":          {adapters.ClassQuota, 0, 0, Failed, [2]time.Duration{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBook()
				b.t.Failures = c.failures
				b.run(t, b.runner(failing(c.class, c.after)))
				if b.t.State != c.want || b.t.Outcome.Code != "c" && c.want == Failed || b.t.Outcome.Cost != 5 || strings.Contains(b.history[1].Detail, "secret") {
					t.Errorf("%+v, %+v", b.t, b.history)
				}
				if wait := time.Until(b.t.Due); c.want == Pending && (wait < c.waits[0] || wait > c.waits[1]) {
					t.Errorf("it waits %s, want %v", wait, c.waits)
				}
			})
		})
	}
}

// A try that is made again after a failure is another one for the provider.
func TestRunAgain(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.run(t, b.runner(failing(adapters.ClassServer, 0)))
	var key string
	b.run(t, b.runner(func(_ context.Context, r *Request, each func([]byte) error) (*Result, error) {
		key = r.Key
		return &Result{Cost: 6}, each(chunk("x"))
	}))
	if key != "task_1-2" || b.t.State != Succeeded || b.t.Outcome.Cost != 11 || b.t.Outcome.Message != "" || b.kinds() != "begun retry begun tokens succeeded" {
		t.Errorf("key %s, %+v, %s", key, b.t, b.kinds())
	}
}

// Who is asked to end ends, and what had come is kept.
func TestRunIsStopped(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(b *book, r *Runner){
		"here": func(_ *book, r *Runner) { r.Stop("task_1") },
		"elsewhere": func(b *book, r *Runner) {
			b.mu.Lock()
			b.t.Stopping = time.Now()
			b.mu.Unlock()
			_ = r.StopAsked(context.Background())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			var r *Runner
			r = b.runner(func(ctx context.Context, _ *Request, each func([]byte) error) (*Result, error) {
				_ = each(chunk("half"))
				if !r.Runs("task_1") {
					t.Error("it is not known to run")
				}
				stop(b, r)
				<-ctx.Done()
				return &Result{Cost: 3}, &adapters.Error{Class: adapters.ClassGone, Message: "The client left."}
			})
			b.run(t, r)
			if b.t.State != Cancelled || !b.t.Outcome.Partial || Said(b.t.Endpoint, []byte(b.answer)) != "half" || b.t.Outcome.Message != "" || r.Runs("task_1") {
				t.Errorf("%+v %s", b.t, b.answer)
			}
		})
	}
}

// A deadline ends a task, whether it runs, waits for its next try, or has not begun.
func TestDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBook()
		b.t.Deadline = time.Now().Add(time.Second)
		b.run(t, b.runner(func(ctx context.Context, _ *Request, each func([]byte) error) (*Result, error) {
			_ = each(chunk("half"))
			<-ctx.Done()
			return &Result{}, &adapters.Error{Class: adapters.ClassGone, Message: "The client left."}
		}))
		if b.t.State != Failed || b.t.Outcome.Code != "deadline_exceeded" || Said(b.t.Endpoint, []byte(b.answer)) != "half" {
			t.Errorf("while it runs: %+v %s", b.t, b.answer)
		}
		b = newBook()
		b.t.Deadline = time.Now().Add(100 * time.Millisecond)
		b.run(t, b.runner(failing(adapters.ClassServer, 0)))
		if b.t.State != Failed || b.t.Outcome.Code != "c" {
			t.Errorf("before its next try: %+v", b.t)
		}
		b = newBook()
		b.t.Deadline = time.Now()
		b.run(t, b.runner(nil))
		if b.t.State != Failed || b.t.Outcome.Code != "deadline_exceeded" || b.t.Tries != 0 {
			t.Errorf("before it begins: %+v", b.t)
		}
	})
}

// A node that stops gives its tasks back, and that is no failure of theirs.
func TestNodeStops(t *testing.T) {
	t.Parallel()
	b := newBook()
	ctx, cancel := context.WithCancel(t.Context())
	r := b.runner(func(call context.Context, _ *Request, each func([]byte) error) (*Result, error) {
		_ = each(chunk("half"))
		cancel()
		<-call.Done()
		return &Result{}, &adapters.Error{Class: adapters.ClassGone, Message: "The client left."}
	})
	if err := r.Run(ctx, b.t.Job()); err != nil {
		t.Fatal(err)
	}
	if b.t.State != Pending || b.t.Failures != 0 || b.t.Interrupted != 1 || !strings.HasSuffix(b.kinds(), "interrupted") || b.answer != "" {
		t.Errorf("%+v, %s", b.t, b.kinds())
	}
	b.t.Interrupted = mostInterrupted
	if b.t.Interrupt(time.Now()); b.t.State != Failed || b.t.Outcome.Code != "interrupted" {
		t.Errorf("too often: %+v", b.t)
	}
}

// Whoever has lost a task writes nothing more of it, and ends its call.
func TestLateWorker(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.run(t, b.runner(func(ctx context.Context, _ *Request, each func([]byte) error) (*Result, error) {
		b.mu.Lock()
		b.t.Rev += 2 // another node has taken over
		b.mu.Unlock()
		_ = each(chunk("late"))
		<-ctx.Done()
		return &Result{Call: "req_1"}, &adapters.Error{Class: adapters.ClassGone}
	}))
	if b.t.State != Running || b.kinds() != "begun" {
		t.Errorf("%+v, %s", b.t, b.kinds())
	}
	job := b.t.Job()
	job.Rev--
	if err := b.runner(nil).Run(t.Context(), job); err != nil { // the executor would panic
		t.Fatal(err)
	}
	b.t.ID = ""
	if err := b.runner(nil).Run(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

// A database that is away for a while, or does not say that it has written, loses nothing and writes nothing twice.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBook()
			away := &tenancy.Unavailable{Cause: errors.New("away")}
			b.fail, b.after = []error{away, away}, after
			b.run(t, b.runner(func(_ context.Context, _ *Request, each func([]byte) error) (*Result, error) {
				b.mu.Lock()
				b.fail = []error{away, away, away}
				b.mu.Unlock()
				_ = each(chunk("one "))
				time.Sleep(time.Second)
				_ = each(chunk("two"))
				b.mu.Lock()
				b.fail = []error{away}
				b.mu.Unlock()
				return &Result{}, nil
			}))
			var text string
			for _, p := range b.history {
				if p.Kind == WasAnswered {
					text += p.Detail
				}
			}
			if b.t.State != Succeeded || text != "one two" || strings.Contains(b.kinds(), "GAP") || strings.Count(b.kinds(), "begun") != 1 {
				t.Errorf("after %v: %+v, %s, %q", after, b.t, b.kinds(), text)
			}
		})
	}
}

// Whose person is gone, and whose request can not be opened, fails without a call.
func TestNotRun(t *testing.T) {
	t.Parallel()
	b := newBook()
	b.gone = true
	b.run(t, b.runner(nil))
	if b.t.State != Failed || b.t.Outcome.Code != "user_disabled" || b.kinds() != "failed" {
		t.Errorf("%+v", b.t)
	}
}

// Whoever reads a task is woken by what happens to it, here and elsewhere, and only by that.
func TestFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looked := map[tenancy.ID]int64{"a": 7}
		f := NewFeed(nil, Looking{Every: time.Second, Look: func(_ context.Context, ids []tenancy.ID) (map[tenancy.ID]int64, error) {
			if len(ids) != 1 || ids[0] != "a" {
				t.Errorf("looked for %v", ids)
			}
			return looked, nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.Run(ctx)
		r, other := f.Read("a"), f.Read("a")
		woken := func(r *Reader) bool {
			synctest.Wait()
			select {
			case <-r.More:
				return true
			default:
				return false
			}
		}
		f.Publish("b", 9)
		if woken(r) {
			t.Error("woken by another task")
		}
		if f.Publish("a", 3); !woken(r) || !woken(other) {
			t.Error("not woken")
		}
		if f.Publish("a", 3); woken(r) {
			t.Error("woken twice by the same")
		}
		if time.Sleep(1100 * time.Millisecond); !woken(r) {
			t.Error("not woken by what another node wrote")
		}
		r.Close()
		other.Close()
		if len(f.topics) != 0 {
			t.Errorf("%d topics are left", len(f.topics))
		}
	})
}
