package gateway

import (
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tasks"
)

// counted takes pieces and signals each.
type counted struct {
	n    int
	took chan struct{}
}

func (c *counted) Write(p []byte) (int, error) {
	c.n += len(p)
	c.took <- struct{}{}
	return len(p), nil
}

// A relayed event costs no memory at all, however long the stream is.
func TestRelayAllocatesNothing(t *testing.T) {
	const warm, events = 200, 2000
	next := make(chan struct{})
	event := []byte(chunk(piece))
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		a.send(streamHead)
		for range warm + events {
			<-next
			_, _ = a.Write(event)
		}
		<-next
		a.send(chunk(finish) + chunk(done) + lastChunk)
		return true
	}})
	c := h.pipe.acquire(newID())
	defer h.pipe.release(c)
	c.Key = []byte(goodKey)
	c.Content = adapters.Content{Endpoint: adapters.ChatCompletions, Method: "POST", Body: []byte(streamBody)}
	go func() { next <- struct{}{} }()
	if err := h.pipe.Open(c); err != nil {
		t.Fatal(err)
	}
	out := &counted{took: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { _, err := h.pipe.Relay(c, out); ended <- err }()
	<-out.took // the first one
	pass := func(n int) {
		for range n {
			next <- struct{}{}
			<-out.took
		}
	}
	pass(warm - 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	pass(events)
	runtime.ReadMemStats(&after)
	close(next)
	for err := error(nil); ; {
		select {
		case <-out.took:
			continue
		case err = <-ended:
		}
		if err != nil || out.n != len(piece)*(warm+events)+len(finish)+len(done) {
			t.Fatalf("%d bytes, error %v", out.n, err)
		}
		break
	}
	h.pipe.Settle(c, nil)
	h.settled(1)
	// The runtime itself makes a few for timers and goroutines; one for each event would be all of them.
	limit := uint64(events / 20)
	if racing {
		limit = events * 9 / 10
	}
	if n := after.Mallocs - before.Mallocs; n > limit {
		t.Errorf("%d allocations for %d events", n, events)
	}
}

// deaf is a recorder that encodes nothing.
type deaf struct{ n int }

func (d *deaf) Begin(*accounting.Record) error { d.n++; return nil }
func (d *deaf) End(*accounting.Record)         { d.n++ }

// recordable is a call as it is before its first attempt, with tags, and what a call does for its record from there on.
func recordable(t testing.TB, h *house) (c *Call, record func()) {
	t.Helper()
	c = h.pipe.acquire(newID())
	t.Cleanup(func() { h.pipe.release(c) })
	c.Key, c.Agent, c.Tags = []byte(goodKey), []byte("a client/1.0"), [][]byte{[]byte("team=search, env=prod")}
	c.Content = adapters.Content{Endpoint: adapters.ChatCompletions, Method: "POST", Body: []byte(chatBody)}
	for _, phase := range []func(*Call) error{h.pipe.identify, h.pipe.parse, h.pipe.route} {
		if err := phase(c); err != nil {
			t.Fatal(err)
		}
	}
	to := c.plan.Targets[0]
	return c, func() {
		c.record = accounting.Record{ID: c.record.ID, Begun: c.begun, Route: c.record.Route, Attempts: c.record.Attempts[:0], Tags: c.record.Tags[:0], Decision: c.record.Decision[:0]}
		c.recorded, c.charged = false, false
		if c.readTags() != nil || h.pipe.begin(c, to) != nil {
			t.Error("it can not be recorded")
		}
		c.outcome = routing.Outcome{Target: to}
		c.beginAttempt()
		c.usage = adapters.Usage{adapters.Input: 3, adapters.Output: 5}
		c.charge()
		c.endAttempt()
		c.close(adapters.ClassNone)
		h.pipe.conclude(&c.record, &c.reservation, c.Client, "")
	}
}

// quietLog writes no line of a call.
func quietLog(h *house) { h.pipe.log = slog.New(slog.DiscardHandler) }

// What is recorded of a call costs no memory.
func TestRecordAllocatesNothing(t *testing.T) {
	h := quiet(t, priced)
	quietLog(h)
	d := &deaf{}
	h.pipe.Record(d)
	c, record := recordable(t, h)
	if n := testing.AllocsPerRun(100, record); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if d.n != 2*101 || len(c.record.Tags) != 2 || c.record.Cost == 0 {
		t.Errorf("%d records, the last one %+v", d.n, c.record)
	}
}

// BenchmarkRecord is what a record, its metrics and its price cost, without what a recorder does with it and without the
// line of log.
func BenchmarkRecord(b *testing.B) {
	h := quiet(b, priced)
	quietLog(h)
	h.pipe.Record(&deaf{})
	_, record := recordable(b, h)
	b.ReportAllocs()
	for b.Loop() {
		record()
	}
}

// rawBackend answers every read with the same bytes and allocates nothing, so that a benchmark sees the gateway.
func rawBackend(t testing.TB, answer string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				in, out := make([]byte, 64<<10), []byte(answer)
				for {
					if _, err := c.Read(in); err != nil {
						return
					}
					if _, err := c.Write(out); err != nil {
						return
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

func toRaw(address string) plan {
	return func(h *house) {
		p := h.routing.Providers["p1"]
		p.BaseURL = "http://" + address + "/v1"
		h.routing.Providers["p1"] = p
	}
}

// BenchmarkCall is a whole call over a kept connection: the client, the gateway and the provider.
func BenchmarkCall(b *testing.B) {
	for name, c := range map[string]struct{ body, answer, end string }{
		"json":   {chatBody, jsonAnswer(200, completion), completion},
		"stream": {streamBody, streamHead + chunk(piece+finish+usageEvent+done) + lastChunk, lastChunk},
	} {
		b.Run(name, func(b *testing.B) {
			h := quiet(b, toRaw(rawBackend(b, c.answer)), priced)
			conn, in := h.dial(), make([]byte, 64<<10)
			ask := []byte(request("POST", "/v1/chat/completions", c.body, "Authorization: Bearer "+goodKey, "User-Agent: a client"))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(ask); err != nil {
					b.Fatal(err)
				}
				for n := 0; !strings.HasSuffix(string(in[max(0, n-len(c.end)):n]), c.end); {
					m, err := conn.Read(in[n:])
					if err != nil {
						b.Fatal(err)
					}
					n += m
				}
			}
		})
	}
}

// BenchmarkExecute is the pipeline alone, without a client's connection.
func BenchmarkExecute(b *testing.B) {
	h := quiet(b, toRaw(rawBackend(b, jsonAnswer(200, completion))), priced)
	each := func(p []byte) error { _, err := io.Discard.Write(p); return err }
	r := &tasks.Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(chatBody)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.pipe.Execute(b.Context(), r, each); err != nil {
			b.Fatal(err)
		}
	}
}
