package gateway

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// Metrics is what the data plane counts. A label is a route, a provider or a model of the configuration, never a
// key, a user or a text of the client's, so that the number of series is bounded by the file.
type Metrics struct {
	calls      *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	firstToken *prometheus.HistogramVec
	tokens     *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	tries      *prometheus.HistogramVec
	fallbacks  *prometheus.CounterVec
	repeats    *prometheus.CounterVec
	inFlight   prometheus.Gauge
	errors     *prometheus.CounterVec
	breakers   *prometheus.GaugeVec
	changes    *prometheus.CounterVec
	streams    prometheus.Gauge
	panics     prometheus.Counter
	refused    prometheus.Counter
	broken     *prometheus.CounterVec
	cost       *prometheus.CounterVec
	unpriced   *prometheus.CounterVec
	estimated  *prometheus.CounterVec
	guessed    prometheus.Counter
	recalls    *prometheus.CounterVec
	saved      *prometheus.CounterVec
	copies     *prometheus.CounterVec
	hedges     *prometheus.CounterVec

	objectsLost prometheus.Counter

	mu     sync.RWMutex // guards the three maps of children: looking one up by its labels costs ten times as much
	byCall map[callLabels]*callSeries
	byTry  map[tryLabels]*trySeries
	byCost map[*routing.Target]*costSeries
}

type callLabels struct {
	route, provider, model, endpoint string
	status                           statusClass
}

type callSeries struct {
	calls               prometheus.Counter
	seconds, firstToken observer
}

type tryLabels struct {
	target *routing.Target
	class  adapters.Class
}

type trySeries struct {
	attempts, errors prometheus.Counter
	seconds          prometheus.Observer
}

// costSeries is of one target, which belongs to one route.
type costSeries struct{ cost, tokensIn, tokensOut, noPrice, noUsage, estimated prometheus.Counter }

type statusClass uint8

const status2xx statusClass = 1

var statusNames = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx", "499"}

func classOfStatus(status int) statusClass {
	if status == statusGone {
		return 5
	}
	return statusClass(min(max(status/100-1, 0), 4))
}

// From 1 ms, which is our own part, to the quarter of an hour that a reasoning model may take.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900}

// NewMetrics registers the data plane's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	call := []string{"route", "provider", "model", "endpoint", "status"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
		}, labels)
		r.MustRegister(v)
		return v
	}
	m := &Metrics{
		broken:     counter("vel_broken_answers_total", "Answers that had begun and did not reach their end, by reason.", "provider", "model", "class"),
		calls:      counter("vel_calls_total", "Calls that ended, by the status that the client saw; 499: the client left.", call...),
		seconds:    histogram("vel_call_seconds", "From the request to the end of the answer.", call...),
		firstToken: histogram("vel_first_token_seconds", "From the request to the first byte of the answer's body.", call...),
		tokens:     counter("vel_tokens_total", "Tokens of executed attempts, as providers told them or as they were counted here.", "route", "provider", "model", "kind"),
		hedges:     counter("vel_hedges_total", "Second attempts beside a slow first one: won, lost, failed, refused by the target's limits, or capped by the share of cost.", "route", "result"),
		attempts:   counter("vel_attempts_total", "Attempts that ended, by what became of them.", "provider", "model", "outcome"),
		tries:      histogram("vel_attempt_seconds", "From the beginning of an attempt to its end, by what became of it.", "provider", "model", "outcome"),
		fallbacks:  counter("vel_fallbacks_total", "Attempts at another target than the attempt before, by where they went.", "route", "provider", "model"),
		repeats:    counter("vel_repeats_total", "Attempts at the same target as the attempt before.", "route", "provider", "model"),
		errors:     counter("vel_upstream_errors_total", "Attempts that the provider failed, by class.", "provider", "model", "class"),
		cost:       counter("vel_cost_dollars_total", "What calls cost, as far as it is known.", "route", "provider", "model"),
		unpriced:   counter("vel_unpriced_calls_total", "Executed attempts of which the cost is not known, or not all of it.", "provider", "model", "reason"),
		estimated:  counter("vel_estimated_attempts_total", "Executed attempts whose provider did not tell what was used, so that it was counted here.", "provider", "model"),
		recalls:    counter("vel_cache_lookups_total", "Calls on routes with a cache, by what became of the look into it: hit, miss, bypassed because the client wants that, failed because nobody could look.", "route", "result"),
		saved:      counter("vel_cache_saved_dollars_total", "What the calls cost whose answers were given again.", "route"),
		copies:     counter("vel_mirrors_total", "Copies of calls for another target, by what became of them: answered, failed, over_budget, nowhere because the target can not be asked, dropped because too many wait.", "route", "result"),
		guessed:    prometheus.NewCounter(prometheus.CounterOpts{Name: "vel_guessed_calls_total", Help: "Calls whose usage was estimated by length, because too many waited to be counted, or a place was not to wait for it."}),
		changes:    counter("vel_breaker_changes_total", "Changes of the targets' breakers, by what they changed to: closed, open or half-open.", "target", "to"),
		breakers:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "vel_breaker_open", Help: "1 while the target's breaker is open or half-open."}, []string{"target"}),
		streams:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_open_streams", Help: "Streams that are relayed now."}),
		inFlight:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_calls_in_flight", Help: "Calls that have begun and not ended."}),
		panics:     prometheus.NewCounter(prometheus.CounterOpts{Name: "vel_panics_total", Help: "Calls and other requests that ended in a panic; each is a bug."}),
		refused:    prometheus.NewCounter(prometheus.CounterOpts{Name: "vel_refused_total", Help: "Requests refused before a call began: no key, a bad path, a bad head."}),

		objectsLost: prometheus.NewCounter(prometheus.CounterOpts{Name: "vel_objects_lost_total", Help: "Objects of which could not be written down who made them."}),

		byCall: map[callLabels]*callSeries{}, byTry: map[tryLabels]*trySeries{}, byCost: map[*routing.Target]*costSeries{},
	}
	r.MustRegister(m.breakers, m.streams, m.inFlight, m.panics, m.refused, m.guessed, m.objectsLost)
	return m
}

// Breaker shows the state of a target's breaker; it fits routing.State.OnChange.
func (m *Metrics) Breaker(target, _, to string) {
	open := 1.0
	if to == "closed" {
		open = 0
	}
	m.breakers.WithLabelValues(target).Set(open)
	m.changes.WithLabelValues(target, to).Inc()
}

// Forget drops the cached series of targets that a reload replaced.
func (m *Metrics) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.byCall)
	clear(m.byTry)
	clear(m.byCost)
}

// call counts a call that ended with what the client saw.
func (m *Metrics) call(r *accounting.Record, trace string) {
	s := m.ofCall(callLabels{r.Route, r.Provider, r.Model, r.Endpoint.String(), classOfStatus(r.Status)})
	s.calls.Inc()
	s.seconds.observe(r.Total, trace)
	if r.FirstToken == 0 {
		return
	}
	if r.Class != adapters.ClassNone {
		m.broken.WithLabelValues(r.Provider, r.Model, r.Class.String()).Inc()
	}
	if s.firstToken.plain != nil {
		s.firstToken.observe(r.FirstToken, trace)
	}
}

func (m *Metrics) ofCall(l callLabels) *callSeries {
	m.mu.RLock()
	s := m.byCall[l]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	values := []string{l.route, l.provider, l.model, l.endpoint, statusNames[l.status]}
	s = &callSeries{calls: m.calls.WithLabelValues(values...), seconds: observerOf(m.seconds.WithLabelValues(values...))}
	if l.status == status2xx { // nothing else has a first token
		s.firstToken = observerOf(m.firstToken.WithLabelValues(values...))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byCall[l] = s
	return s
}

// attempt counts an attempt that ended.
func (m *Metrics) attempt(t *routing.Target, class adapters.Class, took time.Duration) {
	s := m.ofTry(tryLabels{t, class})
	s.attempts.Inc()
	s.seconds.Observe(took.Seconds())
	if s.errors != nil {
		s.errors.Inc()
	}
}

func (m *Metrics) ofTry(l tryLabels) *trySeries {
	m.mu.RLock()
	s := m.byTry[l]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	provider, model, class := l.target.Provider.Name, l.target.Model, l.class.String()
	outcome := outcomeName(l.class)
	s = &trySeries{attempts: m.attempts.WithLabelValues(provider, model, outcome), seconds: m.tries.WithLabelValues(provider, model, outcome)}
	if l.class.Elsewhere() {
		s.errors = m.errors.WithLabelValues(provider, model, class)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byTry[l] = s
	return s
}

// recalled counts a look for an answer that was kept.
func (m *Metrics) recalled(route, result string) { m.recalls.WithLabelValues(route, result).Inc() }

// hedged counts what became of a second attempt.
func (m *Metrics) hedged(route, result string) { m.hedges.WithLabelValues(route, result).Inc() }

// mirrored counts a copy of a call.
func (m *Metrics) mirrored(of *routing.Mirror, result string) {
	m.copies.WithLabelValues(of.Of, result).Inc()
}

// further counts an attempt that is not its call's first. It is rare, so its series are looked up.
func (m *Metrics) further(c *Call) {
	all := c.record.Attempts
	if len(all) < 2 {
		return
	}
	before, now := &all[len(all)-2], &all[len(all)-1]
	counter := m.fallbacks
	if before.Provider == now.Provider && before.Model == now.Model {
		counter = m.repeats
	}
	counter.WithLabelValues(c.record.Route, now.Provider, now.Model).Inc()
}

func outcomeName(class adapters.Class) string {
	if class == adapters.ClassNone {
		return "answered"
	}
	return class.String()
}

// charge counts what an executed attempt used and what it costs.
func (m *Metrics) charge(route string, t *routing.Target, a *accounting.Attempt) {
	s := m.ofCost(route, t)
	s.cost.Add(a.Cost.Dollars())
	in, out := a.Usage.Tokens()
	s.tokensIn.Add(float64(in))
	s.tokensOut.Add(float64(out))
	switch a.Unpriced {
	case noPrice:
		s.noPrice.Inc()
	case noUsage:
		s.noUsage.Inc()
	}
	if a.Estimated {
		s.estimated.Inc()
	}
}

func (m *Metrics) ofCost(route string, t *routing.Target) *costSeries {
	m.mu.RLock()
	s := m.byCost[t]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	s = &costSeries{
		cost:    m.cost.WithLabelValues(route, t.Provider.Name, t.Model),
		noPrice: m.unpriced.WithLabelValues(t.Provider.Name, t.Model, noPrice),
		noUsage: m.unpriced.WithLabelValues(t.Provider.Name, t.Model, noUsage),

		tokensIn:  m.tokens.WithLabelValues(route, t.Provider.Name, t.Model, "input"),
		tokensOut: m.tokens.WithLabelValues(route, t.Provider.Name, t.Model, "output"),
		estimated: m.estimated.WithLabelValues(t.Provider.Name, t.Model),
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byCost[t] = s
	return s
}
