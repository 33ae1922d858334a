package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/gateway/upstream"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// patience is how long a test waits for what must come soon. Nothing passes by waiting for it.
const patience = 20 * time.Second

// The keys of every test: the client's own, one that may use another model only, and the provider's.
const (
	goodKey   = "sk-vel-good"
	narrowKey = "sk-vel-narrow"
	otherKey  = "sk-vel-other" // of another organization
	ourSecret = "sk-provider-secret-0123456789"
)

// asked is one request as a backend sees it.
type asked struct {
	*net.TCPConn
	http *http.Request
	body string
}

func (a *asked) send(s string) { _, _ = io.WriteString(a, s) }

// gone returns when the gateway has closed the connection.
func (a *asked) gone() { _, _ = io.Copy(io.Discard, a) }

func (a *asked) reset() { _ = a.SetLinger(0); _ = a.Close() }

// backend is a provider that runs a script for every request; false ends the connection.
type backend struct {
	address string
	calls   atomic.Int64
	open    atomic.Int64
}

func newBackend(t testing.TB, script func(*asked) bool) *backend {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{address: ln.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			b.open.Add(1)
			serving.Go(func() {
				defer b.open.Add(-1)
				defer func() { _ = c.Close() }()
				b.serve(c, script)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); serving.Wait() }) // each connection has been closed by the gateway
	return b
}

func (b *backend) serve(c *net.TCPConn, script func(*asked) bool) {
	in := bufio.NewReader(c)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		b.calls.Add(1)
		if !script(&asked{c, r, string(body)}) {
			return
		}
	}
}

// house is a whole gateway with its backends.
type house struct {
	*Server
	t        testing.TB
	state    *routing.State
	registry *prometheus.Registry
	log      *logBuffer
	objects  *shelf
	keeper   *Keeper
	backends []*backend
	config   Config
	routing  routing.Config
	kinds    map[string]*adapters.Adapter
	base     string          // http://address
	before   []func(*Server) // done before the server starts

	keepContent bool // the organization wants its content to be kept
	agreed      map[tenancy.ID]routing.Pricer
}

// plan is what a test changes before the house is built.
type plan func(*house)

func newHouse(t testing.TB, scripts []func(*asked) bool, changes ...plan) *house {
	t.Helper()
	h := &house{t: t, config: Defaults(), routing: routing.Defaults(), log: &logBuffer{}, objects: &shelf{}, registry: prometheus.NewRegistry()}
	h.config.Listen, h.config.Server.Drain = "127.0.0.1:0", 5*time.Second
	h.kinds = map[string]*adapters.Adapter{"openai": openai.New("openai", "http://127.0.0.1:1/v1")}
	h.routing.Defaults.Backoff = []time.Duration{time.Millisecond}
	h.routing.Defaults.Breaker.Failures = new(1000)
	h.routing.Providers = map[string]routing.ProviderConfig{}
	model := routing.ModelConfig{}
	for i, script := range scripts {
		b := newBackend(t, script)
		h.backends = append(h.backends, b)
		name := fmt.Sprintf("p%d", i+1)
		h.routing.Providers[name] = routing.ProviderConfig{
			Kind: "openai", BaseURL: "http://" + b.address + "/v1", APIKey: new(secrets.New(ourSecret)), AllowPrivate: true,
		}
		model.Targets = append(model.Targets, routing.TargetConfig{Provider: name, Model: "upstream-model"})
	}
	h.routing.Models = map[string]routing.ModelConfig{"m": model}
	for _, change := range changes {
		change(h)
	}
	h.start()
	return h
}

func (h *house) start() {
	h.t.Helper()
	watcher, err := upstream.NewWatcher()
	if err != nil {
		h.t.Fatal(err)
	}
	pool := upstream.NewPool(watcher, 128)
	h.state = &routing.State{}
	log := slog.New(slog.NewJSONHandler(h.log, nil))
	metrics := NewMetrics(h.registry)
	h.keeper = NewKeeper(h.objects, false, metrics, log)
	pipe := NewPipeline(h.state, pool, h.keeper, metrics, log)
	h.publish(pipe, goodKey, narrowKey, otherKey)
	h.Server = NewServer(h.config, pipe, h.registry, 256, log)
	for _, prepare := range h.before {
		prepare(h.Server)
	}
	if err := h.Start(watcher, func(err error) { h.t.Error(err) }); err != nil {
		h.t.Fatal(err)
	}
	h.base = "http://" + h.Addr().String()
	h.keeper.Start()
	h.t.Cleanup(func() {
		defer func() {
			if err := h.keeper.Stop(); err != nil {
				h.t.Errorf("stop the keeper: %v", err)
			}
		}()
		if err := h.Stop(); err != nil {
			h.t.Errorf("stop: %v", err)
		}
		if n := h.Connections(); n != 0 {
			h.t.Errorf("%d connections are left", n)
		}
		if n := h.listener.bodies.used.Load(); n != 0 {
			h.t.Errorf("%d bytes are still counted for bodies", n)
		}
		pool.Close()
		if err := watcher.Close(); err != nil {
			h.t.Error(err)
		}
		for _, s := range h.state.Status(time.Now()) {
			if s.Breaker == "half-open" {
				h.t.Errorf("the breaker of %s waits for a probe", s.Target)
			}
		}
		if strings.Contains(h.log.String(), ourSecret) || strings.Contains(h.log.String(), goodKey) {
			h.t.Errorf("a secret is in the log:\n%s", h.log)
		}
	})
}

// publish makes a snapshot in which these keys are known.
func (h *house) publish(p *Pipeline, keys ...string) {
	h.t.Helper()
	table, err := routing.Build(h.routing, h.kinds, 1)
	if err != nil {
		h.t.Fatal(err)
	}
	var known []tenancy.APIKey
	for i, k := range keys {
		key := tenancy.APIKey{Meta: tenancy.Meta{ID: tenancy.ID(fmt.Sprintf("key-%d", i+1)), Org: "org", Name: "a key"}, Hash: tenancy.HashKey([]byte(k))}
		switch k {
		case narrowKey:
			key.Models = []string{"another"}
		case otherKey:
			key.Org = "other"
		}
		known = append(known, key)
	}
	index, err := tenancy.NewKeyIndex(known)
	if err != nil {
		h.t.Fatal(err)
	}
	if who, err := index.Lookup(tenancy.HashKey([]byte(goodKey)), time.Now()); err == nil {
		who.KeepContent = h.keepContent
	}
	table.Price(h.priceOf)
	table.PriceAgreed(func(*routing.Provider, string) map[tenancy.ID]routing.Pricer { return h.agreed })
	use, err := p.pool.Prepare(table.Providers())
	if err != nil {
		h.t.Fatal(err)
	}
	use()
	h.state.Retain(table)
	p.Publish(&Snapshot{Keys: index, Routes: table, Redactor: secrets.NewRedactor(secrets.New(ourSecret)), Rev: 1})
}

// priceOf is what the configuration says.
func (h *house) priceOf(p *routing.Provider, model string) routing.Pricer {
	written, ok := h.routing.Providers[p.Name].Prices[model]
	if !ok {
		return nil
	}
	price, err := accounting.NewPrice(written.Dollars())
	if err != nil {
		h.t.Fatal(err)
	}
	return price
}

// logBuffer is a log that a test reads.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lines are the lines with this message.
func (l *logBuffer) lines(t testing.TB, msg string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if m["msg"] == msg {
			all = append(all, m)
		}
	}
	return all
}

// settled waits for the only call so far to be settled, and returns its line of log.
func (h *house) settled(n int) map[string]any {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("%d calls are settled", n), func() bool { return len(h.log.lines(h.t, "call")) >= n })
	lines := h.log.lines(h.t, "call")
	if len(lines) != n || h.metric("vel_calls_total") != float64(n) {
		h.t.Fatalf("%d lines and %v counted calls, want %d of each", len(lines), h.metric("vel_calls_total"), n)
	}
	return lines[n-1]
}

// metric sums the series of a metric that have these labels, given as name and value in turn.
func (h *house) metric(name string, labels ...string) (sum float64) {
	h.t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.Metric {
			if has(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func has(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, l := range m.Label {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-tick.C
	}
}

func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}
