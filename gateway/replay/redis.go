package replay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Sealer encrypts an answer for the place where it lies, and opens it there. secrets.Keyring is one.
type Sealer interface {
	Seal(text []byte, place ...string) string
	Open(sealed string, place ...string) ([]byte, error)
}

// How long Redis may take before a call goes on without it, how long it is left alone after that, and how often a node
// looks for what others purged.
const (
	patience = 50 * time.Millisecond
	rest     = time.Second
	lookOut  = time.Second

	skew    = time.Second // by which the clocks of nodes may differ: so long after a purge nothing is given, either
	waiting = 64          // answers that wait to be kept at most
)

// Longest is how long an answer can be kept, and so how long it must be remembered that it was purged.
const Longest = 31 * 24 * time.Hour

const (
	answerPrefix = "vel:answer:"
	purgedKey    = "vel:answers:purged"
)

// ErrAway says that Redis does not answer now.
var ErrAway = errors.New("the shelf of answers does not answer")

var errBusy = errors.New("too many answers wait to be kept")

// Redis is a shelf that nodes share. What is purged stays there until its time is over, but is not given any more: a
// purge is a mark with a time, which every node reads each second, and is held against what was kept before it.
type Redis struct {
	client redis.UniversalClient
	sealer Sealer
	log    *slog.Logger
	queue  chan kept
	marks  atomic.Pointer[[]mark]
	back   atomic.Int64 // when it may be asked again, in nanoseconds; 0: it answers
}

type mark struct {
	Which
	at time.Time
}

// NewRedis makes a shelf, which keeps nothing before Run.
func NewRedis(client redis.UniversalClient, sealer Sealer, log *slog.Logger) *Redis {
	r := &Redis{client: client, sealer: sealer, log: log, queue: make(chan kept, waiting)}
	r.marks.Store(&[]mark{})
	return r
}

// Get is the answer with a name.
func (r *Redis) Get(ctx context.Context, name Name) (a *Answer, err error) {
	var sealed string
	err = r.ask(ctx, func(ctx context.Context) error {
		sealed, err = r.client.Get(ctx, answerPrefix+name.String()).Result()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	text, err := r.sealer.Open(sealed, place(name)...)
	if errors.Is(err, secrets.ErrSealed) {
		return nil, nil // by a keyring that is gone
	} else if err != nil {
		return nil, err
	}
	if a, err = Decode(text); err != nil || r.purged(a) {
		return nil, err
	}
	return a, nil
}

// Put hands an answer to Run, which keeps it. It does not wait.
func (r *Redis) Put(_ context.Context, name Name, a *Answer) error {
	select {
	case r.queue <- kept{name, a}:
		return nil
	default:
		return errBusy
	}
}

// keep keeps an answer, sealed.
func (r *Redis) keep(ctx context.Context, k kept) error {
	text, err := k.answer.Encode()
	if err != nil {
		return err
	}
	sealed := r.sealer.Seal(text, place(k.name)...)
	return r.ask(ctx, func(ctx context.Context) error {
		return r.client.Set(ctx, answerPrefix+k.name.String(), sealed, k.answer.Until.Sub(k.answer.Kept)).Err()
	})
}

// Purge marks answers as taken away. This node heeds it at once, others within a second.
func (r *Redis) Purge(ctx context.Context, which Which) error {
	at := strconv.FormatInt(time.Now().UnixMicro(), 10)
	if err := r.client.HSet(ctx, purgedKey, which.field(), at).Err(); err != nil {
		return fmt.Errorf("purge answers: %w", err)
	}
	return r.Look(ctx)
}

// Look reads what was purged on every node, and forgets what is so old that nothing before it is left.
func (r *Redis) Look(ctx context.Context) error {
	fields, err := r.client.HGetAll(ctx, purgedKey).Result()
	if err != nil {
		return fmt.Errorf("read which answers were purged: %w", err)
	}
	marks, over := []mark{}, []string(nil)
	for field, value := range fields {
		m, ok := readMark(field, value)
		if !ok || time.Since(m.at) > Longest {
			over = append(over, field)
			continue
		}
		marks = append(marks, m)
	}
	r.marks.Store(&marks)
	if len(over) > 0 {
		return r.client.HDel(ctx, purgedKey, over...).Err()
	}
	return nil
}

// Run keeps what was put and looks out for purges until ctx ends. What then still waits is not kept.
func (r *Redis) Run(ctx context.Context) {
	tick := time.NewTicker(lookOut)
	defer tick.Stop()
	for {
		var err error
		select {
		case k := <-r.queue:
			err = r.keep(ctx, k)
		case <-tick.C:
			look, cancel := context.WithTimeout(ctx, lookOut)
			err = r.Look(look)
			cancel()
		case <-ctx.Done():
			return
		}
		if err != nil && !errors.Is(err, ErrAway) && ctx.Err() == nil {
			r.log.Warn("the shelf of answers", slog.Any("reason", err))
		}
	}
}

// purged tells whether an answer was taken away after it was kept.
func (r *Redis) purged(a *Answer) bool {
	for _, m := range *r.marks.Load() {
		if !a.Kept.After(m.at.Add(skew)) && m.Fits(a) {
			return true
		}
	}
	return false
}

// ask asks Redis, but not for long, and not at all shortly after it did not answer.
func (r *Redis) ask(ctx context.Context, do func(context.Context) error) error {
	if back := r.back.Load(); back != 0 && time.Now().UnixNano() < back {
		return ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := do(ctx)
	if err == nil || errors.Is(err, redis.Nil) {
		r.back.Store(0)
		return err
	}
	r.back.Store(time.Now().Add(rest).UnixNano())
	return fmt.Errorf("%w: %w", ErrAway, err)
}

func place(name Name) []string { return []string{"answers", name.String()} }

// field writes what is purged; none of its parts has a line break.
func (w *Which) field() string { return string(w.Org) + "\n" + w.Route + "\n" + w.Tag }

func readMark(field, value string) (m mark, ok bool) {
	parts := strings.Split(field, "\n")
	at, err := strconv.ParseInt(value, 10, 64)
	if err != nil || len(parts) != 3 {
		return m, false
	}
	return mark{Which{tenancy.ID(parts[0]), parts[1], parts[2]}, time.UnixMicro(at)}, true
}
