package tasks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// Store keeps tasks. One method is one transaction.
type Store interface {
	// LoadTask gives a task with what it takes to run it.
	LoadTask(ctx context.Context, org, id tenancy.ID) (*Loaded, error)
	// Advance writes a task as it is now, if it still has the revision t.Rev, which it then raises; with what happened, with the
	// answer if there is one, and with a wake-up if it is pending. False: somebody else was faster, and nothing was written.
	Advance(ctx context.Context, t *Task, happened []Progress, answer string) (bool, error)
	// AppendProgress writes what happened of a task that runs at the revision t.Rev. False: it does so no more.
	AppendProgress(ctx context.Context, t *Task, happened []Progress) (bool, error)
	// Stopping are the tasks of a node that were asked to end.
	Stopping(ctx context.Context, node tenancy.ID) ([]tenancy.ID, error)
}

// Loaded is a task with what it takes to run it.
type Loaded struct {
	*Task
	Request string       // sealed
	Gone    bool         // it is a person's who may no longer call
	Hash    tenancy.Hash // of its key, for a node that has not heard of that yet; zero: the key is not in the database
}

// Vault seals what tasks ask and answer. secrets.Keyring is one.
type Vault interface {
	Seal(text []byte, place ...string) string
	Open(sealed string, place ...string) ([]byte, error)
}

// The places that texts of a task are sealed for.
func contentPlace(org, id tenancy.ID) []string {
	return []string{"task_contents", string(id), string(org)}
}

func tokensPlace(org, id tenancy.ID) []string {
	return []string{"task_progress", string(id), string(org)}
}

// Content opens a sealed request or answer of a task.
func Content(v Vault, org, id tenancy.ID, sealed string) ([]byte, error) {
	return v.Open(sealed, contentPlace(org, id)...)
}

// SealContent seals a request or an answer.
func SealContent(v Vault, org, id tenancy.ID, text []byte) string {
	return v.Seal(text, contentPlace(org, id)...)
}

// Tokens opens the text of a progress with tokens.
func Tokens(v Vault, org, id tenancy.ID, sealed string) ([]byte, error) {
	return v.Open(sealed, tokensPlace(org, id)...)
}

// Runner runs the tasks of one node.
type Runner struct {
	node     tenancy.ID
	store    Store
	executor Executor
	vault    Vault
	feed     *Feed
	log      *slog.Logger
	ended    *prometheus.CounterVec
	running  prometheus.Gauge

	mu    sync.Mutex
	stops map[tenancy.ID]context.CancelCauseFunc // of the tasks that run here; guarded by mu
}

// Why a task that runs is ended from outside.
var (
	errStopped = errors.New("the task was asked to end")
	errLost    = errors.New("the task is another node's")
	errLate    = errors.New("the deadline of the task is over")
)

// NewRunner makes the runner of a node.
func NewRunner(node tenancy.ID, s Store, e Executor, v Vault, f *Feed, reg prometheus.Registerer, log *slog.Logger) *Runner {
	r := &Runner{
		node: node, store: s, executor: e, vault: v, feed: f, log: log, stops: map[tenancy.ID]context.CancelCauseFunc{},
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vel_task_tries_total", Help: "Tries of tasks that ended on this node, by what became of the task.",
		}, []string{"state"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_tasks_running", Help: "Tasks that run on this node."}),
	}
	reg.MustRegister(r.ended, r.running)
	return r
}

// Run runs a task. It is the Handler of the kind RunTask: whatever becomes of the task stands in its row.
func (r *Runner) Run(ctx context.Context, j Job) error {
	t, err := r.load(ctx, j)
	if err != nil || t == nil {
		return err
	}
	if t.Rev != j.Rev || t.State != Pending {
		return nil // it was done, or will be by another job
	}
	switch {
	case t.Gone:
		return r.refuse(ctx, t.Task, &adapters.Error{Class: adapters.ClassInvalid, Code: "user_disabled", Message: "The user whose task it is is disabled or was deleted."})
	case t.late(time.Now()):
		return r.refuse(ctx, t.Task, t.tooLate())
	}
	body, err := Content(r.vault, t.Org, t.ID, t.Request)
	if err != nil {
		return r.refuse(ctx, t.Task, &adapters.Error{Class: adapters.ClassInternal, Code: "unreadable", Message: "The request of the task was sealed with a key that this node does not have."})
	}
	if begun, err := r.begin(ctx, t.Task); err != nil || !begun {
		return err
	}
	r.running.Inc()
	defer r.running.Dec()
	return r.try(ctx, t, body)
}

// load reads a task, and reads again while the database is away: a job comes once.
func (r *Runner) load(ctx context.Context, j Job) (t *Loaded, err error) {
	err = r.insist(ctx, func() error {
		t, err = r.store.LoadTask(ctx, j.Org, j.ID)
		return err
	})
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil, nil
	}
	return t, err
}

// How long a node waits for the database to come back between two tries.
const (
	awayFirst = 100 * time.Millisecond
	awayMost  = 2 * time.Second
)

// insist does something again until the database is there, or ctx ends.
func (r *Runner) insist(ctx context.Context, f func() error) error {
	for wait := awayFirst; ; wait = min(2*wait, awayMost) {
		err := f()
		if _, away := errors.AsType[*tenancy.Unavailable](err); !away {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// advance writes a task as it is now. False: it is no longer ours.
func (r *Runner) advance(ctx context.Context, t *Task, happened []Progress, answer string) (bool, error) {
	var done, doubtful bool
	rev := t.Rev
	err := r.insist(ctx, func() (err error) {
		if done, err = r.store.Advance(ctx, t, happened, answer); err == nil && !done && doubtful {
			done, err = r.written(ctx, t, rev)
		}
		doubtful = doubtful || err != nil
		return err
	})
	if err == nil && done {
		r.feed.Publish(t.ID, t.Seq)
	}
	return done, err
}

// written tells whether a task stands in the database as it was to be written, by a commit of which nothing was heard.
func (r *Runner) written(ctx context.Context, t *Task, rev int64) (bool, error) {
	is, err := r.store.LoadTask(ctx, t.Org, t.ID)
	if err != nil || is.Rev != rev+1 || is.State != t.State || is.Node != t.Node || is.Seq != t.Seq {
		return false, err
	}
	t.Rev = is.Rev
	return true, nil
}

// begin makes a pending task a running one of this node.
func (r *Runner) begin(ctx context.Context, t *Task) (bool, error) {
	now := time.Now()
	t.State, t.Node = Running, r.node
	t.Tries++
	if t.Began.IsZero() {
		t.Began = now
	}
	return r.advance(ctx, t, []Progress{t.happens(WasBegun, now, detail{Try: t.Tries, Node: string(r.node)})}, "")
}

// refuse ends a task that is not begun.
func (r *Runner) refuse(ctx context.Context, t *Task, why *adapters.Error) error {
	now := time.Now()
	t.fails(why, now)
	_, err := r.advance(ctx, t, []Progress{t.happens(HasFailed, now, detail{Class: why.Class.String(), Code: why.Code, Message: why.Message})}, "")
	return err
}

// try makes one call for a task, and writes down what came of it.
func (r *Runner) try(ctx context.Context, l *Loaded, body []byte) error {
	t := l.Task
	call, stop := r.stoppable(ctx, t)
	defer stop(nil)
	s := newScribe(r, t, stop)
	body = t.withModel(body)
	made, err := r.executor.Execute(call, &Request{
		As: t.As, Hash: l.Hash, Endpoint: t.Endpoint, Body: body, Task: t.ID, Tags: t.tags(), Key: t.attemptKey(),
	}, s.take)
	rest := s.close()
	var failed *adapters.Error
	if err != nil {
		failed = failureOf(err)
	}
	if context.Cause(call) == errLost {
		r.log.Warn("a task went on elsewhere", slog.String("task", string(t.ID)), slog.String("call", string(made.Call)))
		return nil
	}
	return r.conclude(ctx, t, &end{made: made, failed: failed, why: context.Cause(call), rest: rest, answer: s.answer})
}

// stoppable is the context of a task's call: it ends when the task is asked to end, with its deadline, or with the node.
func (r *Runner) stoppable(ctx context.Context, t *Task) (context.Context, context.CancelCauseFunc) {
	call, cancel := context.WithCancelCause(ctx)
	free := func() {}
	if !t.Deadline.IsZero() {
		call, free = context.WithDeadlineCause(call, t.Deadline, errLate)
	}
	r.mu.Lock()
	r.stops[t.ID] = cancel
	r.mu.Unlock()
	return call, func(why error) {
		cancel(why)
		if why == nil {
			free()
			r.mu.Lock()
			delete(r.stops, t.ID)
			r.mu.Unlock()
		}
	}
}

// Stop ends a task that runs on this node, because it was asked to. It does nothing if the task does not.
func (r *Runner) Stop(id tenancy.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.stops[id]; cancel != nil {
		cancel(errStopped)
	}
}

// StopAsked ends those tasks of this node that were asked to end on another one.
func (r *Runner) StopAsked(ctx context.Context) error {
	r.mu.Lock()
	idle := len(r.stops) == 0
	r.mu.Unlock()
	if idle {
		return nil
	}
	asked, err := r.store.Stopping(ctx, r.node)
	for _, id := range asked {
		r.Stop(id)
	}
	return err
}

// Runs tells whether a task runs on this node now.
func (r *Runner) Runs(id tenancy.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, runs := r.stops[id]
	return runs
}
