package tasks

import (
	"slices"
	"strconv"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// State is how far a task has come.
type State string

// The states. The last three are ends: nothing follows.
const (
	Pending   State = "pending" // it waits for its time, for a worker, or for its next try
	Running   State = "running"
	Succeeded State = "succeeded"
	Failed    State = "failed"
	Cancelled State = "cancelled"
)

// States are all there are.
func States() []State { return []State{Pending, Running, Succeeded, Failed, Cancelled} }

// Over tells whether the state is an end.
func (s State) Over() bool { return s != Pending && s != Running }

// Task is one call of the data plane that is made later, and kept with its answer.
//
// The request and the answer are no part of it: they are sealed, and read by those who may.
type Task struct {
	ID, Org   tenancy.ID
	As        tenancy.Identity // who it is made for
	Agent     tenancy.ID       // whose configuration made the request; empty: the request came as it is
	Version   int64            // of the agent
	Batch     tenancy.ID       // which it is an item of; empty: none
	Item      int64            // its number there, from 0
	Custom    string           // what the client calls it there
	Once      string           // the request that has made it, so that it makes no other one; empty: it may be repeated
	Endpoint  adapters.Endpoint
	Model     string   // as it was asked for
	Fallbacks []string // models for the second try that counts, the third and so on
	Priority  int      // 1 is first, 4 is last
	Labels    map[string]string
	Retry     Retry

	State       State
	Rev         int64 // grows with every change of the state: who acts on another one acts on nothing
	Seq         int64 // of the last of its events
	Tries       int   // calls that were begun
	Failures    int   // of them those that failed in a way that counts: see Retry
	Interrupted int   // of them those that ended because their node did

	Created  time.Time
	Due      time.Time // not before this; of a task that is tried again, when
	Deadline time.Time // if it has not ended by then, it has failed; zero: none
	Began    time.Time // the first time; zero: it has not
	Ended    time.Time
	Stopping time.Time // when it was asked to end; zero: nobody did
	Node     tenancy.ID

	Outcome Outcome
}

// Outcome is what has come of a task so far.
type Outcome struct {
	Call            tenancy.ID // the record of the last try
	Provider, Model string
	Usage           adapters.Usage // of all tries
	Estimated       bool
	Cost            money.Nano // of all tries; at least this, if Unpriced is not empty
	Unpriced        string
	Waiting         time.Duration // of the last try, between its attempts
	FirstToken      time.Duration // of the last try, since it began; 0: there was none
	Total           time.Duration // of the last try
	Partial         bool          // the answer is what had come when the task was ended

	// Why the last try failed.
	Class         adapters.Class
	Code, Message string // in the words for a client, without secrets
}

// Queued is how long the task waited for its first try: from when it was due.
func (t *Task) Queued() time.Duration {
	if t.Began.IsZero() {
		return 0
	}
	return max(0, t.Began.Sub(t.Created))
}

// add takes what a try used and cost.
func (o *Outcome) add(r *Result) {
	o.Call, o.Waiting, o.FirstToken, o.Total = r.Call, r.Waiting, r.FirstByte, r.Total
	if r.Provider != "" {
		o.Provider, o.Model = r.Provider, r.Model
	}
	for unit, n := range r.Usage {
		o.Usage[unit] += n
	}
	o.Estimated = o.Estimated || r.Estimated
	o.Cost += r.Cost
	if r.Unpriced != "" {
		o.Unpriced = r.Unpriced
	}
}

// Endpoints are those that a task can call, with the path below /v1. What they answer is text, or small.
func Endpoints() []adapters.Endpoint {
	return []adapters.Endpoint{adapters.ChatCompletions, adapters.Responses, adapters.Completions, adapters.Embeddings, adapters.Moderations}
}

// streams tells whether the answer of an endpoint comes token by token.
func streams(e adapters.Endpoint) bool {
	return e == adapters.ChatCompletions || e == adapters.Responses || e == adapters.Completions
}

// followed tells whether the answer of the task comes token by token, so that it can be followed. That of an item of a batch is
// looked at when it is there.
func (t *Task) followed() bool { return streams(t.Endpoint) && t.Batch == "" }

// job wakes a worker for the task as it is.
func (t *Task) job() Job {
	return Job{Kind: RunTask, ID: t.ID, Org: t.Org, Rev: t.Rev, Due: t.Due, Priority: t.Priority}
}

// Job wakes a worker for the task as it is.
func (t *Task) Job() Job { return t.job() }

// tags are those of the calls that are made for the task: what it says itself, and whose it is.
func (t *Task) tags() []string {
	tags := make([]string, 0, len(t.Labels)+1)
	for key, value := range t.Labels {
		tags = append(tags, key+"="+value)
	}
	slices.Sort(tags)
	if t.Agent != "" {
		tags = append(tags, "agent="+string(t.Agent))
	}
	return tags
}

// attemptKey is the Idempotency-Key for the provider. A try that was interrupted is the same one when it is made again; one that
// failed is another.
func (t *Task) attemptKey() string { return string(t.ID) + "-" + strconv.Itoa(t.Failures+1) }
