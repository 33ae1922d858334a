package tasks

import (
	"context"
	"errors"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// end is what came of one try.
type end struct {
	made   *Result
	failed *adapters.Error // nil: it went well
	why    error           // it was ended from outside
	rest   []Progress      // what came last, and is not written down yet
	answer *answer
}

// stopLonger is how long a node that stops still waits for the database to take what became of its tasks.
const stopLonger = 5 * time.Second

// conclude writes down what became of a task by a try.
func (r *Runner) conclude(ctx context.Context, t *Task, e *end) error {
	if ctx.Err() != nil { // the node stops: that is written all the same
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), stopLonger)
		defer cancel()
	}
	happened, text := r.outcome(t, e, time.Now())
	answer := ""
	if len(text) > 0 {
		answer = SealContent(r.vault, t.Org, t.ID, text)
	}
	done, err := r.advance(ctx, t, append(e.rest, happened), answer)
	if err == nil && done {
		r.ended.WithLabelValues(string(t.State)).Inc()
	}
	return err
}

// outcome decides what becomes of a task, and gives the answer that is kept.
func (r *Runner) outcome(t *Task, e *end, now time.Time) (Progress, []byte) {
	t.Outcome.add(e.made)
	t.Outcome.Class, t.Outcome.Code, t.Outcome.Message = adapters.ClassNone, "", ""
	told := tried(t, e.made, e.failed)
	switch {
	case e.failed == nil:
		t.State, t.Ended = Succeeded, now
		return t.happens(HasSucceeded, now, told), e.answer.body(true)
	case errors.Is(e.why, errStopped):
		t.State, t.Ended, t.Outcome.Partial = Cancelled, now, true
		return t.happens(WasCancelled, now, tried(t, e.made, nil)), e.answer.body(false)
	case errors.Is(e.why, errLate):
		late := t.tooLate()
		t.fails(late, now)
		t.Outcome.Partial = true
		told.Class, told.Code, told.Message = late.Class.String(), late.Code, late.Message
		return t.happens(HasFailed, now, told), e.answer.body(false)
	case e.why != nil || e.failed.Class == adapters.ClassDraining: // the node stops
		return t.interrupted(now, told), nil
	}
	t.Failures++
	if wait, again := t.Retry.next(t.Failures, e.failed); again && !t.late(now.Add(wait)) {
		t.State, t.Due = Pending, now.Add(wait)
		told.Due = &t.Due
		return t.happens(WasPutOff, now, told), nil
	}
	t.fails(e.failed, now)
	t.Outcome.Partial = true
	return t.happens(HasFailed, now, told), e.answer.body(false)
}

// happens makes the next line of the task's history.
func (t *Task) happens(kind Happened, now time.Time, d detail) Progress {
	t.Seq++
	return Progress{Seq: t.Seq, At: now, Kind: kind, Detail: d.text()}
}

// fails ends a task.
func (t *Task) fails(why *adapters.Error, now time.Time) {
	t.State, t.Ended = Failed, now
	t.Outcome.Class, t.Outcome.Code, t.Outcome.Message = why.Class, why.Code, why.Message
}

// interrupted gives a task back whose node ends: it is begun anew at once, somewhere.
func (t *Task) interrupted(now time.Time, d detail) Progress {
	if t.Interrupted++; t.Interrupted > mostInterrupted {
		why := &adapters.Error{Class: adapters.ClassInternal, Code: "interrupted", Message: "The task was interrupted too often: its nodes ended while it ran."}
		t.fails(why, now)
		return t.happens(HasFailed, now, detail{Try: t.Tries, Class: why.Class.String(), Code: why.Code, Message: why.Message})
	}
	t.State, t.Due = Pending, now
	return t.happens(WasInterrupted, now, d)
}

// Interrupt is how a task that ran on a node which is gone goes on. It gives what is to be written of it.
func (t *Task) Interrupt(now time.Time) Progress {
	return t.interrupted(now, detail{Try: t.Tries, Node: string(t.Node)})
}

// StopBy is what becomes of a task that is asked to end: one that waits ends at once; one that runs is ended by its node. It gives
// what is to be written of it; false: it has ended, or was asked before.
func (t *Task) StopBy(now time.Time) (Progress, bool) {
	switch {
	case t.State == Pending:
		t.State, t.Ended, t.Stopping = Cancelled, now, now
		return t.happens(WasCancelled, now, detail{}), true
	case t.State == Running && t.Stopping.IsZero():
		t.Stopping = now
		return Progress{}, true
	}
	return Progress{}, false
}

// Expire ends a task that waits and whose deadline is over.
func (t *Task) Expire(now time.Time) Progress {
	why := t.tooLate()
	t.fails(why, now)
	return t.happens(HasFailed, now, detail{Class: why.Class.String(), Code: why.Code, Message: why.Message})
}

// late tells whether the deadline is over.
func (t *Task) late(now time.Time) bool { return !t.Deadline.IsZero() && !now.Before(t.Deadline) }

func (t *Task) tooLate() *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassTimeout, Code: "deadline_exceeded", Message: "The task had not ended at its deadline, " + t.Deadline.UTC().Format(time.RFC3339) + ".",
	}
}
