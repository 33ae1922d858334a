package tests

import (
	"encoding/json"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

// TestDrainFinishes: after SIGTERM open calls come to their own end, new ones are turned away, and Vel exits with 0.
func TestDrainFinishes(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulate(t)
	p := vel.Start(t, options(sim.config(", drain: 20s")))
	open := map[string]*socket{}
	for kind, body := range map[string]string{
		"stream": chat("sim-fast", "[[latency=0s chunks=30 delay=50ms]] hi", streaming),
		"silent": chat("sim-fast", "[[latency=1500ms chunks=3 delay=0s]] hi", streaming),
		"whole":  chat("sim-fast", "[[latency=1500ms]] hi", ""),
	} {
		open[kind] = dial(t, p.Addr())
		open[kind].write(t, w.raw(body))
	}
	idle := dial(t, p.Addr())
	idle.send(t, w.raw(chat("sim-echo", "then idle", ""))).content(t)
	if _, err := sim.Await(deadline(t), func(s simulator.Stats) bool { return s.Open == 3 }); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if rest := idle.rest(t); rest != "" {
		t.Errorf("an idle connection got %q", rest)
	}
	if c, err := net.Dial("tcp", p.Addr()); err == nil { // it may stand in the backlog, but must not be served
		_ = c.Close()
	}
	for kind, x := range open {
		a := x.read(t)
		if kind == "whole" {
			a.content(t)
		} else {
			stream{a, events(a.body)}.whole(t)
		}
	}
	ended(t, p)
}

// TestDrainCuts: what is still open when the drain is over gets an error event and a proper end, not a reset.
func TestDrainCuts(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulate(t)
	p := vel.Start(t, options(sim.config(", drain: 1s")))
	begun := dial(t, p.Addr())
	begun.write(t, w.raw(chat("sim-fast", "[[latency=0s chunks=100000 delay=20ms]] hi", streaming)))
	silent := dial(t, p.Addr())
	silent.write(t, w.raw(chat("sim-fast", "[[latency=10m]] hi", "")))
	if _, err := begun.in.Peek(600); err != nil { // the stream has begun
		t.Fatal(err)
	}
	if _, err := sim.Await(deadline(t), func(s simulator.Stats) bool { return s.Open == 2 }); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	a := begun.read(t)
	stream{a, events(a.body)}.broken(t)
	if a.cut != nil {
		t.Errorf("the stream had no proper end: %v", a.cut)
	}
	silent.read(t).wantError(t, 503, "")
	ended(t, p)
	if s, err := sim.Await(deadline(t), func(s simulator.Stats) bool { return s.Open == 0 && s.Left == 2 }); err != nil {
		t.Errorf("the provider saw %d callers leave and %d stay", s.Left, s.Open)
	}
}

// ended waits for the process and checks its end.
func ended(t *testing.T, p *vel.Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-deadline(t).Done():
		t.Fatal("vel did not exit after its drain")
	}
	if err := p.Stop(); err != nil { // gone already: only says how
		t.Error(err)
	}
}

// TestReload changes the file while streams run: no call is dropped, the new state holds for the next call.
func TestReload(t *testing.T) {
	t.Parallel()
	w := shared(t)
	for _, how := range []string{"SIGHUP", "file change"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			sim := simulate(t)
			p := vel.Start(t, options(sim.config("")))
			x := dial(t, p.Addr())
			x.write(t, w.raw(chat("sim-fast", "[[latency=0s chunks=60 delay=40ms]] hi", streaming)))
			if _, err := x.in.Peek(300); err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(sim.config(""), "models:\n", "models:\n  brand-new: {targets: [{provider: sim, model: sim-echo}]}\n", 1)
			changed = strings.Replace(changed, "  sim-small: {targets: [{provider: sim}]}\n", "", 1)
			write(t, p, changed)
			if how == "SIGHUP" {
				if err := p.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
			}
			waitModel(t, p, "brand-new", true)
			if got := askVel(t, p, chat("brand-new", "hello", "")).content(t); got != "hello" {
				t.Errorf("got %q", got)
			}
			askVel(t, p, chat("sim-small", "hello", "")).wantError(t, 404, "model_not_found")
			a := x.read(t)
			stream{a, events(a.body)}.whole(t)
			// The same connection lives on, with the new state.
			x.send(t, w.raw(chat("sim-small", "hello", ""))).wantError(t, 404, "model_not_found")
		})
	}
}

// TestReloadBroken: a file with faults changes nothing, and the log names them; a mended one is taken.
func TestReloadBroken(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(sim.config("")))
	for fault, broken := range map[string]string{ // one after the other: a file that is replaced at once is never read
		"line 1":  "models: [",
		"modells": strings.Replace(sim.config(""), "models:", "modells:", 1),
		"nobody":  strings.Replace(sim.config(""), "{provider: sim}", "{provider: nobody}", 1),
	} {
		write(t, p, broken)
		if err := p.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Log.Wait(deadline(t), "a complaint about "+fault, func(line string) bool {
			return strings.Contains(line, fault)
		}); err != nil {
			t.Error(err)
		}
	}
	if got := askVel(t, p, chat("sim-echo", "as before", "")).content(t); got != "as before" {
		t.Errorf("got %q", got)
	}
	write(t, p, strings.Replace(sim.config(""), "models:\n", "models:\n  mended: {targets: [{provider: sim, model: sim-echo}]}\n", 1))
	waitModel(t, p, "mended", true)
}

// TestKeyTakenAway: a key that leaves the file stops working at the next reload.
func TestKeyTakenAway(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	p := vel.Start(t, options(sim.config("")))
	askVel(t, p, chat("sim-echo", "hi", "")).content(t)
	write(t, p, strings.Replace(sim.config(""), "      full: {key: env:FULL_KEY}\n", "", 1))
	err := vel.Poll(deadline(t), "the key to stop working", func() (bool, error) {
		return askVel(t, p, chat("sim-echo", "hi", "")).status == 401, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// write replaces the file of a running Vel.
func write(t *testing.T, p *vel.Process, yaml string) {
	t.Helper()
	if err := p.WriteConfig(yaml); err != nil {
		t.Fatal(err)
	}
}

// askVel makes a chat call with the full key.
func askVel(t *testing.T, p *vel.Process, body string) answer {
	t.Helper()
	return ask(t, request(t, "POST", p.URL+"/v1/chat/completions", fullKey, body))
}

// waitModel waits until a model is listed, or not any more.
func waitModel(t *testing.T, p *vel.Process, model string, listed bool) {
	t.Helper()
	err := vel.Poll(deadline(t), "the list of models to change", func() (bool, error) {
		a := ask(t, request(t, "GET", p.URL+"/v1/models", fullKey, ""))
		var list struct{ Data []struct{ ID string } }
		if err := json.Unmarshal(a.body, &list); err != nil {
			return false, err
		}
		for _, m := range list.Data {
			if m.ID == model {
				return listed, nil
			}
		}
		return !listed, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
