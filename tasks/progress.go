package tasks

import (
	"encoding/json"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// Progress is one line of the history of a task, in its order. Its numbers begin at 1 and have no gaps, so that whoever has read up to one of
// them can read on, on any node.
type Progress struct {
	Seq    int64
	At     time.Time
	Kind   Happened
	Detail string // of a token: its sealed text; of anything else: JSON
	Tokens int64  // of a token: how many there are with it
}

// Happened says what happened.
type Happened string

// What can happen to a task.
const (
	WasCreated     Happened = "created"
	WasBegun       Happened = "begun"       // a try
	WasAnswered    Happened = "tokens"      // some tokens came
	WasInterrupted Happened = "interrupted" // its node ended; it is begun anew
	WasPutOff      Happened = "retry"       // it failed, and is tried again
	WasStopped     Happened = "stopping"    // it was asked to end
	HasSucceeded   Happened = "succeeded"
	HasFailed      Happened = "failed"
	WasCancelled   Happened = "cancelled"
)

// Over tells whether nothing follows.
func (h Happened) Over() bool { return h == HasSucceeded || h == HasFailed || h == WasCancelled }

// detail is what the history keeps of a step. It has no text of the request or the answer.
type detail struct {
	Try        int        `json:"try,omitempty"`
	Node       string     `json:"node,omitempty"`
	Call       string     `json:"call,omitempty"`
	Provider   string     `json:"provider,omitempty"`
	Model      string     `json:"model,omitempty"`
	Class      string     `json:"class,omitempty"`
	Code       string     `json:"code,omitempty"`
	Message    string     `json:"message,omitempty"`
	Due        *time.Time `json:"due,omitempty"`
	FirstToken float64    `json:"first_token_ms,omitempty"`
	Total      float64    `json:"total_ms,omitempty"`
	TokensIn   int64      `json:"tokens_in,omitempty"`
	TokensOut  int64      `json:"tokens_out,omitempty"`
	Cost       string     `json:"cost_usd,omitempty"`
}

func (d detail) text() string {
	b, err := json.Marshal(d)
	if err != nil {
		return "{}"
	}
	return string(b)
}

// tried describes a try that has ended.
func tried(t *Task, r *Result, failed *adapters.Error) detail {
	in, out := r.Usage.Tokens()
	d := detail{
		Try: t.Tries, Call: string(r.Call), Provider: r.Provider, Model: r.Model, FirstToken: milliseconds(r.FirstByte), Total: milliseconds(r.Total),
		TokensIn: in, TokensOut: out, Cost: r.Cost.String(),
	}
	if failed != nil {
		d.Class, d.Code, d.Message = failed.Class.String(), failed.Code, failed.Message
	}
	return d
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
