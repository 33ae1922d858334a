package ratelimit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"
)

// Redis counts in Redis, together with all nodes that use it. The keys of a tag are on one node of a cluster, and each
// Take is one script there. Redis's clock counts.
//
// It has two goroutines, one that delivers what was settled and one that tells the others that this node lives. Close
// ends both.
type Redis struct {
	client  redis.UniversalClient
	o       RedisOptions
	scripts scripts
	breaker *gobreaker.CircuitBreaker[any]

	calendar calendar
	ahead    atomic.Int64 // by how many milliseconds Redis's clock is ahead of ours
	nodes    atomic.Int64 // that live, as last heard; 0: never
	policy   atomic.Pointer[string]

	queue   chan *job
	waiting atomic.Int64 // settlements that have not arrived
	lost    atomic.Int64 // those that never will: there was no place in the queue, or Redis refuses them

	closing sync.Once
	quit    chan struct{}
	ctx     context.Context // of the goroutines; cancelled when Close waits no longer
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// RedisOptions say how to use Redis. The zero value of each has a meaning.
type RedisOptions struct {
	Node    string           // this node's name among those that are alive; empty: it is not counted
	Prefix  string           // of all keys; empty: vel
	Timeout time.Duration    // of an answer that a call waits for; 0: 50 ms
	Queue   int              // settlements that may wait for Redis; 0: 16,384
	Log     *slog.Logger     // nil: nothing is said
	Clock   func() time.Time // instead of Redis's, for tests; nil: Redis's
}

const (
	deliverTimeout  = time.Second     // of an answer that nobody waits for
	failures        = 3               // in a row open the breaker
	cooldown        = time.Second     // until one call tries again
	beatEvery       = 5 * time.Second // a node says that it lives
	beatLives       = 15 * time.Second
	defaultTimeout  = 50 * time.Millisecond
	defaultQueue    = 16 << 10
	defaultPrefix   = "vel"
	windowTries     = 3 // the clocks need at most one try to agree
	holdsTogether   = 200
	argumentsBefore = 3
	argumentsOfTake = 7
)

// NewRedis makes a limiter that uses a client, see Options. The client stays the caller's, who closes it after Close.
func NewRedis(client redis.UniversalClient, o RedisOptions) *Redis {
	o.Prefix, o.Timeout, o.Queue = cmp.Or(o.Prefix, defaultPrefix), cmp.Or(o.Timeout, defaultTimeout), cmp.Or(o.Queue, defaultQueue)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Redis{client: client, o: o, scripts: newScripts(), queue: make(chan *job, o.Queue), quit: make(chan struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.breaker = gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		MaxRequests:   1,
		Timeout:       cooldown,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failures },
		IsSuccessful:  func(err error) bool { return err == nil },
		IsExcluded:    func(err error) bool { return errors.Is(err, context.Canceled) || moving(err) },
		OnStateChange: func(_ string, from, to gobreaker.State) { r.say(from, to) },
	})
	r.done.Go(r.deliver)
	r.done.Go(r.beat)
	return r
}

// Close delivers what was settled, or gives up when ctx ends, and ends the goroutines.
func (r *Redis) Close(ctx context.Context) error {
	r.closing.Do(func() { close(r.quit) })
	stop := context.AfterFunc(ctx, r.cancel)
	r.done.Wait()
	defer r.cancel()
	if !stop() {
		return fmt.Errorf("deliver what was settled to Redis: %w", ctx.Err())
	}
	return nil
}

func (r *Redis) say(from, to gobreaker.State) {
	if to == gobreaker.StateOpen && from == gobreaker.StateClosed {
		r.o.Log.Warn("redis is away: limits are decided without it")
	}
	if to == gobreaker.StateClosed {
		r.o.Log.Info("redis is back: limits are decided by it")
	}
}

// RedisStatus is how it stands, for health and metrics.
type RedisStatus struct {
	Away    bool
	Waiting int    // settlements that have not arrived
	Lost    int64  // settlements since the start
	Nodes   int    // that live, as last heard; 0: never
	Policy  string // what Redis does when its memory is full; anything but noeviction may forget budgets; empty: not known
}

// Status says how it stands.
func (r *Redis) Status() RedisStatus {
	s := RedisStatus{r.breaker.State() != gobreaker.StateClosed, int(r.waiting.Load()), r.lost.Load(), r.Nodes(), ""}
	if p := r.policy.Load(); p != nil {
		s.Policy = *p
	}
	return s
}

// Nodes is how many nodes live, as last heard; 0: this was never heard.
func (r *Redis) Nodes() int { return int(r.nodes.Load()) }

// Take is Limiter's.
func (r *Redis) Take(ctx context.Context, h *Hold) (Decision, error) {
	if err := h.check(); err != nil {
		return Decision{}, err
	}
	for range windowTries {
		h.starts = r.calendar.starts(h.starts[:0], h.Takes, r.now())
		h.keys = nil // of another id, perhaps
		keys, args := r.pack(h, "take", nil)
		h.keys = keys
		answer, err := r.ask(ctx, r.scripts.take, keys, args)
		if err != nil {
			if !errors.Is(err, gobreaker.ErrOpenState) && !errors.Is(err, gobreaker.ErrTooManyRequests) {
				r.enqueue(r.job(r.scripts.settle, h, "void", nil)) // it may have been taken
			}
			if ctx.Err() != nil {
				return Decision{}, fmt.Errorf("take %d limits: %w", len(h.Takes), ctx.Err())
			}
			return Decision{}, fmt.Errorf("take %d limits: %w: %w", len(h.Takes), ErrAway, err)
		}
		if answer[0] != takenElsewhen {
			return r.decision(h, answer)
		}
		r.set(answer[1])
	}
	return Decision{}, fmt.Errorf("take %d limits: %w: its clock does not stand still", len(h.Takes), ErrAway)
}

// What a script answers first.
const (
	taken1        = 1
	takenEnded    = -1
	takenSize     = -2
	takenElsewhen = -3
)

// decision reads the answer of take.lua.
func (r *Redis) decision(h *Hold, answer []int64) (Decision, error) {
	switch {
	case answer[0] == takenEnded:
		return Decision{}, ErrEnded
	case answer[0] == takenSize:
		return Decision{}, fmt.Errorf("take more for a hold of %d limits: now it has %d", answer[1], len(h.Takes))
	case len(answer) != 2+3*len(h.Takes):
		return Decision{}, fmt.Errorf("take %d limits: %w: it answered %d numbers", len(h.Takes), ErrAway, len(answer))
	}
	r.set(answer[1])
	d := Decision{Left: h.left[:0]}
	for i := range h.Takes {
		v := answer[2+3*i:]
		d.add(h.Takes[i].Limit, verdict{v[0], v[1], v[2]})
	}
	d.done()
	h.left = d.Left
	if d.OK {
		h.Expires = time.UnixMilli(answer[1] + lifetime)
	}
	return d, nil
}

// ask runs a script that a call waits for, through the breaker.
func (r *Redis) ask(ctx context.Context, s *redis.Script, keys []string, args []any) ([]int64, error) {
	answer, err := r.breaker.Execute(func() (any, error) {
		timed, cancel := context.WithTimeout(ctx, r.o.Timeout)
		defer cancel()
		n, err := run(timed, r.client, s, keys, args).Int64Slice()
		if err != nil && ctx.Err() != nil { // who asked is gone: that says nothing about Redis
			err = fmt.Errorf("%w: %w", context.Canceled, err)
		}
		return n, err
	})
	if err != nil {
		return nil, err
	}
	n := answer.([]int64)
	if len(n) < 2 && (len(n) == 0 || n[0] != takenEnded) {
		return nil, errors.New("it answered nothing")
	}
	return n, nil
}

// run runs a script, and loads it if Redis does not have it.
func run(ctx context.Context, c redis.Scripter, s *redis.Script, keys []string, args []any) *redis.Cmd {
	cmd := s.EvalSha(ctx, c, keys, args...)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		return s.Eval(ctx, c, keys, args...)
	}
	return cmd
}

// moving tells whether Redis said that keys are on their way between its nodes: that says nothing about Redis itself.
func moving(err error) bool {
	return redis.HasErrorPrefix(err, "TRYAGAIN") || redis.HasErrorPrefix(err, "ASK") || redis.HasErrorPrefix(err, "MOVED")
}

// now is what Redis's clock is likely to show.
func (r *Redis) now() int64 {
	if r.o.Clock != nil {
		return r.o.Clock().UnixMilli()
	}
	return time.Now().UnixMilli() + r.ahead.Load()
}

// set learns what Redis's clock showed just now.
func (r *Redis) set(now int64) {
	if r.o.Clock == nil {
		r.ahead.Store(now - time.Now().UnixMilli())
	}
}

// clock is the time that a script takes as an argument: 0 says that it is Redis's.
func (r *Redis) clock() int64 {
	if r.o.Clock != nil {
		return r.o.Clock().UnixMilli()
	}
	return 0
}

// pack makes the keys and arguments of a script, with n instead of what the takes of the hold ask for, if it is not nil.
func (r *Redis) pack(h *Hold, mode string, n []int64) ([]string, []any) {
	keys := h.keys
	h.keys = nil // who uses them keeps them
	if len(keys) != 2+len(h.Takes) {
		keys = r.keys(h)
	}
	args := make([]any, 0, argumentsBefore+argumentsOfTake*len(h.Takes))
	args = append(args, h.ID, r.clock(), mode)
	for i := range h.Takes {
		k := &h.Takes[i]
		kind, units := k.Limit.Kind.letter(), k.N
		if mode == "take" && h.decidesApart(i) {
			kind = "-" + kind
		}
		if n != nil {
			units = min(max(n[i], 0), most)
		}
		w := span{start: none}
		if h.starts[i] != none {
			w = span{h.starts[i], r.calendar.window(k.Limit, h.starts[i]).end}
		}
		args = append(args, kind, units, k.Limit.Max, k.Limit.Per.millis(), k.Limit.Burst, w.start, w.end)
	}
	return keys, args
}

// letter stands for the kind in keys and scripts.
func (k Kind) letter() string { return letters[k : k+1] }

const letters = "?rwsa"

// keys are the keys of a hold: its own, that of the expiries, and one of each limit. They are made in one piece.
func (r *Redis) keys(h *Hold) []string {
	var text strings.Builder
	size := len(r.o.Prefix) + len(h.Tag) + len(":{}:x:")
	total := 2*size + len(h.ID)
	for i := range h.Takes {
		total += size + len(h.Takes[i].Limit.Key)
	}
	text.Grow(total)
	keys := make([]string, 0, 2+len(h.Takes))
	add := func(kind, name string) {
		from := text.Len()
		for _, part := range [...]string{r.o.Prefix, ":{", h.Tag, "}:", kind, ":", name} {
			text.WriteString(part)
		}
		keys = append(keys, text.String()[from:])
	}
	add("h", h.ID)
	add("x", "")
	for i := range h.Takes {
		l := h.Takes[i].Limit
		add(l.Kind.letter(), l.Key)
	}
	return keys
}

// Options are those of a client for a URL: redis://[user:password@]host[:port][,host…][/database], or rediss:// for TLS.
// Several hosts are those of a Redis Cluster. A script is not sent twice by the client: Take is, by its id.
func Options(url string) (*redis.UniversalOptions, error) {
	hosts, rest, several := splitHosts(url)
	one, err := redis.ParseURL(rest)
	if err != nil {
		return nil, errors.New("read the URL of Redis: it is not redis://[user:password@]host[:port][,host…][/database]") // without the password
	}
	o := &redis.UniversalOptions{
		Addrs: []string{one.Addr}, DB: one.DB, Username: one.Username, Password: one.Password, TLSConfig: one.TLSConfig,
		MaxRetries: -1, ContextTimeoutEnabled: true, IsClusterMode: several,
		DialTimeout: time.Second, ReadTimeout: deliverTimeout, WriteTimeout: deliverTimeout, DisableIdentity: true,
		DialerRetries:            1,                                                                 // the breaker and the queue try again
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}, // only Redis Cloud has them
	}
	if several {
		if one.DB != 0 {
			return nil, errors.New("read the URL of Redis: a cluster has no database but 0")
		}
		o.Addrs = hosts
	}
	return o, nil
}

// splitHosts takes the hosts but the first one out of a URL.
func splitHosts(url string) (hosts []string, rest string, several bool) {
	scheme, after, ok := strings.Cut(url, "://")
	if !ok {
		return nil, url, false
	}
	end := len(after)
	if i := strings.IndexAny(after, "/?"); i >= 0 {
		end = i
	}
	from := strings.LastIndexByte(after[:end], '@') + 1
	hosts = strings.Split(after[from:end], ",")
	for i, host := range hosts {
		if !strings.Contains(host, ":") {
			hosts[i] = host + ":6379"
		}
	}
	return hosts, scheme + "://" + after[:from] + hosts[0] + after[end:], len(hosts) > 1
}
