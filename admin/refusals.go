package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/tenancy"
)

// What changes something writes its own audit event. This file writes down what changes nothing and is asked for all
// the same: who was refused, whose sign-in failed, and that the admin key was used. No answer waits for it or fails by
// it, and an attacker fills neither memory nor the log: of what is alike only the first few in a minute are written one
// by one, and then how many more there were.

const (
	firstFew    = 5               // refusals of one actor or address that are written one by one in a minute
	mostAMinute = 600             // and of all of them
	mostTallies = 4096            // kinds of refusals that are told apart
	mostQueued  = 2048            // events that wait for the database
	atOnce      = 100             // events in one transaction
	tallyLife   = time.Minute     //
	flushEvery  = time.Second     //
	recordLimit = 5 * time.Second // for one transaction
)

// refusals counts what is alike, and lets Run write it down.
type refusals struct {
	record  func(context.Context, []tenancy.AuditEvent) error
	log     *slog.Logger
	dropped prometheus.Counter
	wake    chan struct{}

	mu      sync.Mutex // guards what follows
	tallies map[alike]*tally
	queue   []tenancy.AuditEvent
	minute  time.Time // when single was counted from
	single  int       // events that were written one by one since
	lost    bool      // something was dropped, and the log does not say so yet
}

// alike is what makes two refusals the same kind.
type alike struct {
	action, outcome, address string
	org, user, key           tenancy.ID
}

// tally counts one kind since a time.
type tally struct {
	since time.Time
	seen  int
	more  int64 // of which nothing is written yet
	last  tenancy.AuditEvent
}

func newRefusals(record func(context.Context, []tenancy.AuditEvent) error, log *slog.Logger, r prometheus.Registerer) *refusals {
	x := &refusals{record: record, log: log, wake: make(chan struct{}, 1), tallies: map[alike]*tally{}}
	x.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "vel_audit_dropped_total", Help: "Refusals and the like that could not be written into the audit log.",
	})
	r.MustRegister(x.dropped)
	return x
}

// add takes an event; few is how many alike are written one by one.
func (x *refusals) add(e tenancy.AuditEvent, few int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	kind := alike{e.Action, e.Outcome, network(e.By.Address), e.Org, e.By.User, e.By.Key}
	if _, known := x.tallies[kind]; !known && len(x.tallies) >= mostTallies {
		kind = alike{action: e.Action, outcome: e.Outcome, org: e.Org} // there are as many of these as there are organizations
		if _, known := x.tallies[kind]; !known && len(x.tallies) >= 2*mostTallies {
			x.drop(1)
			return
		}
	}
	t, known := x.tallies[kind]
	if !known {
		t = &tally{since: e.Time}
		x.tallies[kind] = t
	}
	if e.Time.Sub(x.minute) >= tallyLife {
		x.minute, x.single = e.Time, 0
	}
	t.seen++
	if t.seen > few || x.single >= mostAMinute {
		t.more++
		t.last = e
		return
	}
	x.single++
	x.put(e)
}

// put lets an event wait for Run. Its caller holds mu.
func (x *refusals) put(e tenancy.AuditEvent) {
	if len(x.queue) >= mostQueued {
		x.drop(1)
		return
	}
	x.queue = append(x.queue, e)
	select {
	case x.wake <- struct{}{}:
	default: // it is awake
	}
}

func (x *refusals) drop(n int) {
	x.dropped.Add(float64(n))
	x.lost = true
}

// sum lets the tallies that are older than a minute, or all of them, wait for Run.
func (x *refusals) sum(now time.Time, all bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for kind, t := range x.tallies {
		if !all && now.Sub(t.since) < tallyLife {
			continue
		}
		delete(x.tallies, kind)
		if t.more > 0 {
			t.last.ID, t.last.Count = tenancy.NewID("event"), t.more
			x.put(t.last)
		}
	}
}

// take takes events that wait.
func (x *refusals) take() (some []tenancy.AuditEvent, lost bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := min(len(x.queue), atOnce)
	some = append(some, x.queue[:n]...)
	x.queue = append(x.queue[:0], x.queue[n:]...)
	lost, x.lost = x.lost, false
	return some, lost
}

// giveBack takes events that could not be written and can be later, as far as there is room.
func (x *refusals) giveBack(some []tenancy.AuditEvent) {
	x.mu.Lock()
	defer x.mu.Unlock()
	room := min(len(some), mostQueued-len(x.queue))
	x.queue = append(some[:room:room], x.queue...)
	if room < len(some) {
		x.drop(len(some) - room)
	}
}

// RecordRefusals writes into the audit log who was refused, until ctx ends.
func (s *Server) RecordRefusals(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.refusals.sum(s.Now(), true)
			s.refusals.write(ctx)
			return
		case <-tick.C:
			s.refusals.sum(s.Now(), false)
		case <-s.refusals.wake:
		}
		s.refusals.write(ctx)
	}
}

// write writes everything that waits, unless the database is away. Whoever stops it waits for one transaction.
func (x *refusals) write(ctx context.Context) {
	for {
		some, lost := x.take()
		if lost {
			x.log.Warn("some refusals are not in the audit log: there were too many, or the database was away")
		}
		if len(some) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordLimit)
		err := x.record(ctx, some)
		cancel()
		if errors.As(err, new(*tenancy.Unavailable)) || errors.Is(err, context.DeadlineExceeded) {
			x.giveBack(some)
			return
		}
		if err != nil {
			x.mu.Lock()
			x.drop(len(some))
			x.mu.Unlock()
			x.log.Error("refusals are not in the audit log", slog.Any("reason", err))
		}
	}
}

// trace writes down how a request ended, if an auditor would ask.
func (s *Server) trace(a *answering, r *http.Request) {
	object := tenancy.AuditObject{Kind: a.operation}
	if id := tenancy.ID(r.PathValue("id")); tenancy.IsID(id) { // some send a secret there
		object.ID = id
	}
	org := a.by.Org
	if org == "" {
		org = tenancy.Platform
	}
	event := func(action, outcome string) tenancy.AuditEvent {
		e := tenancy.NewAuditEvent(a.by, org, action, object, s.Now())
		e.Outcome, e.Reason = outcome, tenancy.AuditText(a.detail)
		return e
	}
	switch {
	case len(a.failed) > 0:
		for _, e := range a.failed {
			s.refusals.add(e, firstFew)
		}
	case a.operation == "": // it was no operation: the log of requests has it
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, a.status == http.StatusTooManyRequests, a.status == http.StatusNotFound:
		s.refusals.add(event(tenancy.ActionRefused, tenancy.OutcomeRefused), firstFew)
	case a.adminKey:
		a.detail = ""
		s.refusals.add(event(tenancy.ActionAdminKey, tenancy.OutcomeDone), 1)
	}
}

// failed notes that somebody is not who they say, in the log of everybody whom they may have meant.
func (s *Server) failed(a *asking, email string, meant []tenancy.User, outcome, reason string) {
	note := func(org tenancy.ID, object tenancy.AuditObject) {
		by := a.by
		by.Email = email
		e := tenancy.NewAuditEvent(by, org, tenancy.ActionLoginFailed, object, a.now)
		e.Outcome, e.Reason = outcome, tenancy.AuditText(reason)
		a.answer.failed = append(a.answer.failed, e)
	}
	for i := range meant {
		note(meant[i].Org, tenancy.AuditObject{Kind: "user", ID: meant[i].ID, Name: meant[i].Name})
	}
	if len(meant) > 0 {
		return
	}
	if !tenancy.IsEmail(email) { // some type their password there
		email = ""
	}
	note(tenancy.Platform, tenancy.AuditObject{Kind: "user"})
}
