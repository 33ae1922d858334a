package routing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vel-gateway/vel/adapters"
)

// TestClasses pins, for every class of failure, where a call may go next: to another target, to the same one if
// nothing of it was executed, to the same one if it may have been, and that if the route allows to repeat.
func TestClasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		class                          adapters.Class
		other, same, sameSent, allowed bool
	}{
		{adapters.ClassNone, false, false, false, false},
		{adapters.ClassInvalid, false, false, false, false},
		{adapters.ClassCredential, true, false, false, false},
		{adapters.ClassRate, true, true, true, true},
		{adapters.ClassQuota, true, false, false, false},
		{adapters.ClassTimeout, true, true, false, true},
		{adapters.ClassOverloaded, true, true, true, true},
		{adapters.ClassServer, true, true, false, true},
		{adapters.ClassConnect, true, true, true, true},
		{adapters.ClassReset, true, true, false, true},
		{adapters.ClassGarbage, true, true, false, true},
		{adapters.ClassTruncated, true, true, false, true},
		{adapters.ClassGone, false, false, false, false},
		{adapters.ClassDraining, false, false, false, false},
		{adapters.ClassInternal, false, false, false, false},
	} {
		t.Run(c.class.String(), func(t *testing.T) {
			t.Parallel()
			for _, v := range []struct {
				name                   string
				targets                int
				sent, allow, committed bool
				want                   bool
			}{
				{"another target", 2, false, false, false, c.other},
				{"another target after a sent request", 2, true, false, false, c.other},
				{"the same, not sent", 1, false, false, false, c.same},
				{"the same, sent", 1, true, false, false, c.sameSent},
				{"the same, sent, allowed", 1, true, true, false, c.allowed},
				{"another after the head", 2, true, true, true, false},
				{"the same after the head", 1, true, true, true, false},
			} {
				p := planForTest(t, configForTest(v.targets, func(cfg *Config) {
					change(cfg.Models, "m", func(m *ModelConfig) { m.RepeatExecuted = v.allow })
				}), &State{}, epoch)
				first, ok := p.Next(nil, epoch)
				if !ok || first.Target != p.Targets[0] || first.Wait != 0 {
					t.Fatalf("%s: first move %+v, %v", v.name, first, ok)
				}
				move, ok := p.Next(&Outcome{Target: first.Target, Class: c.class, Sent: v.sent, Committed: v.committed}, epoch)
				if ok != v.want {
					t.Errorf("%s: goes on %v, want %v", v.name, ok, v.want)
				}
				if ok && (move.Target != p.Targets[v.targets-1] || (move.Wait == 0) != (v.targets == 2)) {
					t.Errorf("%s: %s after %v", v.name, move.Target.ID, move.Wait)
				}
			}
		})
	}
}

// TestWalk follows whole calls. An outcome is a class, with /sent, /refused or /<Retry-After> behind it; a move is
// the target's number, with ~<wait> of a backoff (which is spread by a fifth), =<wait> that is exact, ! if forced.
func TestWalk(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, outcomes, want string
		targets, attempts    int
		total                time.Duration
	}{
		{"in order, then stop", "server/sent server/sent server/sent", "0 1 2", 3, 5, 0},
		{"round again", "connect connect connect connect connect", "0 1 2 0~98ms 1~1ms 2~1ms", 3, 6, 0},
		{"attempts end a round", "connect connect", "0 1", 3, 2, 0},
		{"one attempt", "connect", "0", 1, 1, 0},
		{"backoff grows, the last one stays", "connect connect connect connect connect", "0 0~100ms 0~200ms 0~400ms 0~400ms 0~400ms", 1, 6, 0},
		{"only the one that was not executed", "server/sent connect connect", "0 1 1~100ms 1~200ms", 2, 4, 0},
		{"retry-after beats the backoff", "rate_limit/3s rate_limit/3s", "0 0=3s 0=3s", 1, 3, 0},
		{"backoff beats retry-after", "rate_limit/1ms", "0 0~100ms", 1, 3, 0},
		{"retry-after that nobody waits for", "rate_limit/5001ms", "0", 1, 3, 0},
		{"retry-after of one, another is due", "rate_limit/1m connect", "0 1 1~100ms", 2, 3, 0},
		{"the one that is due first", "rate_limit/2s connect connect connect connect", "0 1 1~100ms 1~200ms 1~400ms 1~400ms", 2, 6, 0},
		{"a wait beyond the deadline", "rate_limit/2s", "0", 1, 3, 2 * time.Second},
		{"a wait within the deadline", "rate_limit/1900ms", "0 0=1900ms", 1, 3, 2 * time.Second},
		{"a credential is not tried twice", "credential/sent", "0", 1, 3, 0},
		{"the client left", "client_gone/sent", "0", 3, 3, 0},
		{"a refusal is no try", "connect/refused connect/refused connect connect", "0 1 2 2~100ms 2~200ms", 3, 3, 0},
		{"all refused", "connect/refused connect/refused connect", "0 1 0!", 2, 3, 0},
		{"a refused repeat", "connect connect/refused", "0 0~100ms", 1, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := planForTest(t, configForTest(c.targets, func(cfg *Config) {
				if c.total > 0 {
					cfg.Defaults.Timeouts.Total = &c.total
				}
				cfg.Defaults.Attempts = c.attempts
			}), &State{}, epoch)
			outcomes, want := strings.Fields(c.outcomes), strings.Fields(c.want)
			now := epoch
			move, ok := p.Next(nil, now)
			for i, w := range want {
				if !ok {
					t.Fatalf("stopped before move %d (%s)", i, w)
				}
				if fault := matches(p, move, w); fault != "" {
					t.Fatalf("move %d: %s, want %s", i, fault, w)
				}
				now = now.Add(move.Wait + time.Millisecond)
				if i == len(outcomes) {
					return // the walk could go on; the case does not follow it further
				}
				move, ok = p.Next(outcome(t, move.Target, outcomes[i]), now)
			}
			if ok {
				t.Fatalf("went on to %s after %v, want stop", move.Target.ID, move.Wait)
			}
		})
	}
}

// matches compares a move with its text and says what it is if it differs.
func matches(p *Plan, m Move, want string) string {
	is := fmt.Sprintf("%s after %v, forced %v", m.Target.ID, m.Wait, m.Force)
	want, forced := strings.CutSuffix(want, "!")
	low, high := time.Duration(0), time.Duration(0)
	if target, wait, found := strings.Cut(want, "~"); found {
		d, _ := time.ParseDuration(wait)
		want, low, high = target, d-d/5-3*time.Millisecond, d+d/5+20*time.Millisecond
		low = max(low, 0)
	} else if target, wait, found := strings.Cut(want, "="); found {
		d, _ := time.ParseDuration(wait)
		want, low, high = target, d, d
	}
	if p.Targets[want[0]-'0'] != m.Target || m.Force != forced || m.Wait < low || m.Wait > high {
		return is
	}
	return ""
}

func outcome(t *testing.T, target *Target, text string) *Outcome {
	t.Helper()
	parts := strings.Split(text, "/")
	o := &Outcome{Target: target}
	for o.Class.String() != parts[0] {
		if o.Class++; o.Class.String() == "unknown" {
			t.Fatalf("no class %s", parts[0])
		}
	}
	for _, s := range parts[1:] {
		switch s {
		case "sent":
			o.Sent = true
		case "refused":
			o.Refused = true
		default:
			d, err := time.ParseDuration(s)
			if err != nil {
				t.Fatal(err)
			}
			o.RetryAfter = d
		}
	}
	return o
}

func TestNextStops(t *testing.T) {
	t.Parallel()
	p := planForTest(t, configForTest(2, nil), &State{}, epoch)
	if _, ok := p.Next(nil, p.Deadline); ok {
		t.Error("an attempt was begun at the deadline")
	}
	if _, ok := p.Next(&Outcome{Target: &Target{}, Class: adapters.ClassConnect}, epoch); ok {
		t.Error("an outcome of another plan was taken for one of this")
	}
	if _, ok := new(Plan).Next(nil, epoch); ok {
		t.Error("an empty plan has a move")
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	p := planForTest(t, configForTest(3, nil), &State{}, epoch)
	targets, why := p.Targets[:3], p.Why[:3]
	p.Reset()
	if targets[0] != nil || targets[2] != nil || why[1] != (Candidate{}) {
		t.Error("an empty plan keeps its table alive")
	}
	if p.Route != nil || len(p.Targets) != 0 || len(p.steps) != 0 || !p.Deadline.IsZero() {
		t.Errorf("%+v", p)
	}
}

func TestExplanation(t *testing.T) {
	t.Parallel()
	e := Explanation{
		{"openai", "gpt-4o", BreakerOpen, epoch.Add(5 * time.Second), 0},
		{"groq", "llama", Chosen, time.Time{}, 1.5},
		{"local", "x", Reason(99), time.Time{}, 0},
	}
	want := "openai/gpt-4o: breaker open until 2026-11-22T10:00:05Z; groq/llama: chosen (1.5); local/x: unknown"
	if diff := cmp.Diff(want, e.String()); diff != "" {
		t.Error(diff)
	}
}
