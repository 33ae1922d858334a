// Package storm lets thousands of clients leave Vel at random moments in every phase of a call, under the race
// detector, and checks that nothing stays behind and that nobody ever reads another's bytes. It is a package of its
// own so that the storm does not disturb tests that measure time.
package storm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

const (
	clients  = 3000
	atOnce   = 150
	key      = "sk-vel-canary-storm-0123456789abcdefghijklmnopqr"
	simKey   = "sk-sim-canary-storm-0123456789abcdefghijklmnopqr"
	patience = 60 * time.Second
)

// TestStorm runs all clients, then waits for Vel and the provider to be as they were.
func TestStorm(t *testing.T) {
	t.Parallel()
	sim := startSimulator(t)
	p := vel.Start(t, vel.Options{
		Build: vel.Race,
		Config: `
log: {level: error}
defaults: {attempts: 3, backoff: [20ms], timeouts: {first_byte: 5s, idle: 2s, total: 20s}, breaker: {failures: 1000000}}
providers:
  sim: {kind: openai, base_url: "` + sim.URL() + `/v1", api_key: env:SIM_KEY, allow_private: true}
models:
  sim-echo: {targets: [{provider: sim}]}
organizations:
  acme: {keys: {storm: {key: env:STORM_KEY}}}
`,
		Env:      []string{"SIM_KEY=" + simKey, "STORM_KEY=" + key},
		Canaries: []string{key, simKey},
	})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := &storm{addr: p.Addr()}

	// What a Vel that has worked looks like at rest.
	for n := range 20 {
		s.visit(t, &visitor{n: n, random: rand.New(rand.NewPCG(seed, uint64(n))), phase: whole})
	}
	before := rest(t, p, sim, state{goroutines: 48, fds: 30})

	next := atomic.Int64{}
	next.Store(1000) // numbers of the warm-up stay out
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for n := int(next.Add(1)); n <= 1000+clients; n = int(next.Add(1)) {
				random := rand.New(rand.NewPCG(seed, uint64(n)))
				s.visit(t, &visitor{n: n, random: random, phase: phase(random.IntN(int(phases)))})
			}
		})
	}
	running.Wait()

	after := rest(t, p, sim, state{goroutines: before.goroutines + slack, fds: before.fds + slack})
	t.Logf("before %v, after %v, %d answers read whole", before, after, s.read.Load())
	if s.read.Load() < clients/10 {
		t.Errorf("only %d clients read an answer to its end: the storm proved little", s.read.Load())
	}
	// Once more: a Vel that was damaged answers wrongly now.
	for n := range 50 {
		s.visit(t, &visitor{n: n, random: rand.New(rand.NewPCG(seed, uint64(n))), phase: whole})
	}
}

// phase is where a client leaves.
type phase int

const (
	inHead         phase = iota // while it sends the request's head
	inBody                      // while it sends the body
	beforeFirst                 // before the first byte of the answer
	inBackoff                   // while Vel waits to ask a failing provider again
	inStream                    // in the middle of the answer
	inFaultyStream              // in the middle of an answer that the provider breaks off
	whole                       // after the whole answer
	wholeKeepAlive              // after two whole answers on one connection
	behindTwo                   // after an answer behind which the provider sent another one
	phases                      // how many there are
)

type visitor struct {
	n      int
	random *rand.Rand
	phase  phase
}

type storm struct {
	addr string
	read atomic.Int64 // answers read to their end
}

// mark is what only this visitor says; the simulator's model repeats it in every event. Eight characters are one
// token, so no event cuts it.
func (v *visitor) mark() string { return fmt.Sprintf("<%06x>", v.n) }

var marks = regexp.MustCompile(`<[0-9a-f]{6}>`)

// words are the faults that the visitor asks the provider for.
func (v *visitor) words() string {
	chunks := fmt.Sprintf("chunks=%d delay=%dms", 5+v.random.IntN(40), v.random.IntN(4))
	switch v.phase {
	case beforeFirst:
		return "latency=4s " + chunks
	case inBackoff:
		return "status=503"
	case inFaultyStream:
		faults := []string{"die=3", "cut=3", "half=3", "stall=3", "error_mid=3", "garbage", "truncate", "die=0", "error_first"}
		return chunks + " " + faults[v.random.IntN(len(faults))]
	case behindTwo:
		return chunks + " two_answers"
	}
	return chunks
}

// request is the visitor's request, head and body.
func (v *visitor) request() (head, body []byte) {
	stream := ""
	if v.random.IntN(3) > 0 {
		stream = `,"stream":true`
	}
	padding := bytes.Repeat([]byte("x"), v.random.IntN(100_000))
	b := fmt.Sprintf(`{"model":"sim-echo","messages":[{"role":"system","content":"%s"},{"role":"user","content":"[[%s]] %s"}]%s}`,
		padding, v.words(), v.mark()+v.mark(), stream)
	last := "" // so that a client who looks at the answer sees its end
	if v.phase == inStream || v.phase == inFaultyStream {
		last = "Connection: close\r\n"
	}
	h := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer %s\r\n%s"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", key, last, len(b))
	return []byte(h), []byte(b)
}

// visit is the life of one client.
func (s *storm) visit(t *testing.T, v *visitor) {
	c, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		t.Errorf("client %d: %v", v.n, err)
		return
	}
	tcp := c.(*net.TCPConn)
	defer v.leave(tcp)
	if err := tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Errorf("client %d: %v", v.n, err)
		return
	}
	head, body := v.request()
	switch v.phase {
	case inHead:
		_, _ = tcp.Write(head[:v.random.IntN(len(head))])
		return
	case inBody:
		_, _ = tcp.Write(append(head, body[:v.random.IntN(len(body))]...))
		return
	}
	if _, err := tcp.Write(append(head, body...)); err != nil {
		t.Errorf("client %d could not send its request: %v", v.n, err)
		return
	}
	switch v.phase {
	case beforeFirst, inBackoff:
		s.look(t, v, tcp, 1<<20, time.Duration(v.random.IntN(60))*time.Millisecond)
	case inStream, inFaultyStream:
		s.look(t, v, tcp, v.random.IntN(6000), patience)
	case whole, behindTwo:
		s.readAnswer(t, v, tcp)
	case wholeKeepAlive:
		if s.readAnswer(t, v, tcp) {
			head, body = v.request()
			if _, err := tcp.Write(append(head, body...)); err == nil {
				s.readAnswer(t, v, tcp)
			}
		}
	}
}

// leave closes the connection in one of the ways that clients have.
func (v *visitor) leave(c *net.TCPConn) {
	switch v.random.IntN(3) {
	case 0:
		_ = c.SetLinger(0) // a reset
	case 1:
		_ = c.CloseWrite()
	}
	_ = c.Close()
}

// look reads up to n bytes for at most d and checks whose they are.
func (s *storm) look(t *testing.T, v *visitor, c net.Conn, n int, d time.Duration) {
	_ = c.SetReadDeadline(time.Now().Add(d))
	got, _ := io.ReadAll(io.LimitReader(c, int64(n))) // however it ends: the client leaves now
	s.check(t, v, got)
}

// readAnswer reads one whole answer and checks whose it is; false if the connection can not be used again.
func (s *storm) readAnswer(t *testing.T, v *visitor, c net.Conn) bool {
	got, keep, err := readAnswer(c)
	if err != nil {
		t.Errorf("client %d could not read its answer: %v\n%s", v.n, err, got)
		return false
	}
	s.check(t, v, got)
	if !bytes.Contains(got, []byte(v.mark())) {
		t.Errorf("client %d got an answer that is not its own:\n%s", v.n, got)
	}
	s.read.Add(1)
	return keep
}

// check fails if a foreign mark stands in the bytes.
func (s *storm) check(t *testing.T, v *visitor, got []byte) {
	for _, m := range marks.FindAll(got, -1) {
		if string(m) != v.mark() {
			t.Errorf("client %s read bytes of %s", v.mark(), m)
			return
		}
	}
}

// state is what must come back to where it was.
type state struct{ goroutines, fds, streams, connections float64 }

// rest waits until nothing is under way, then until Vel's goroutines and files have settled, and returns them.
// Connections that wait in Vel's pool for the next call to the provider are not counted.
func rest(t *testing.T, p *vel.Process, sim *simulator.Server, most state) state {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if s, err := sim.Await(ctx, func(s simulator.Stats) bool { return s.Open == 0 }); err != nil {
		t.Fatalf("%d calls are still open at the provider: %v", s.Open, err)
	}
	var now state
	err := vel.Poll(ctx, "vel to come to rest", func() (bool, error) {
		m, err := p.Metrics(ctx)
		if err != nil {
			return false, err
		}
		pooled := float64(sim.Stats().Connections.Open)
		now = state{m.Sum("go_goroutines"), m.Sum("process_open_fds") - pooled, m.Sum("vel_open_streams"), m.Sum("vel_open_connections")}
		return now.streams == 0 && now.connections <= 1 && now.goroutines <= most.goroutines && now.fds <= most.fds, nil
	})
	if err != nil {
		t.Errorf("%v: %+v", err, now)
	}
	return now
}

// slack is what may come and go by itself, such as the runtime's own goroutines: far below one per client.
const slack = 8

func startSimulator(t *testing.T) *simulator.Server {
	t.Helper()
	sim, err := simulator.Start(simulator.Config{Provider: simulator.Provider{Key: simKey}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = sim.Stop(ended)
	})
	return sim
}
