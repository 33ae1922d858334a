package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/gateway/replay"
	"github.com/vel-gateway/vel/tenancy"
)

// Requests remembers for all nodes which requests with an Idempotency-Key were made. storage.DB is one.
type Requests interface {
	// Claim takes an id for a request: true. Or it was taken, and Kept is by what: without a status, that one still runs. What
	// nobody holds for 20 s can be claimed again.
	Claim(ctx context.Context, org tenancy.ID, id, request string) (tenancy.Kept, bool, error)
	HoldClaim(ctx context.Context, org tenancy.ID, id string) error
	Keep(ctx context.Context, org tenancy.ID, id string, status int, answer string) error
	Unclaim(ctx context.Context, org tenancy.ID, id string) error
}

// Marker knows data again without keeping it, and encrypts for a place. secrets.Keyring is one.
type Marker interface {
	Mark(data []byte) string
	Marked(mark string, data []byte) (bool, error)
	Seal(text []byte, place ...string) string
	Open(sealed string, place ...string) ([]byte, error)
}

// Once makes calls with an Idempotency-Key once, and gives those that repeat them the same answer.
//
//	claim ──▶ ours: the call is made; its answer is written down when it has ended well, else the claim is given back
//	      ──▶ it runs here: a stream is followed, another answer waited for
//	      ──▶ it runs elsewhere: it is waited for, for a while
//	      ──▶ it was made: its answer is given again
type Once struct {
	requests Requests
	ring     Marker
	longest  int // bytes of an answer that is kept
	log      *slog.Logger

	mu      sync.Mutex
	running map[claim]*tape // of this node; guarded by mu
	writing sync.WaitGroup  // answers on their way to the store
}

// claim is a request that is made once.
type claim struct {
	org tenancy.ID
	id  string
}

const (
	longestKey    = 255             // bytes
	claimAnswer   = 5 * time.Second // for the store to answer
	claimHold     = 5 * time.Second
	waitElsewhere = 10 * time.Second       // for a call that runs on another node
	lookElsewhere = 250 * time.Millisecond // how often to look for its end
)

// NewOnce makes one. Hold must run while calls are made.
func NewOnce(requests Requests, ring Marker, longest Size, log *slog.Logger) *Once {
	return &Once{requests: requests, ring: ring, longest: int(longest), log: log, running: map[claim]*tape{}}
}

// MakeOnce makes the pipeline heed Idempotency-Key. It is called before the first call; without it the key passes to the
// provider, and means what it means there.
func (p *Pipeline) MakeOnce(o *Once) { p.once = o }

// Hold keeps the claims of this node while their calls run, until ctx ends; then it waits for what is being written.
func (o *Once) Hold(ctx context.Context) {
	tick := time.NewTicker(claimHold)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			o.holdAll(ctx)
		case <-ctx.Done():
			o.writing.Wait()
			return
		}
	}
}

func (o *Once) holdAll(ctx context.Context) {
	o.mu.Lock()
	all := make([]claim, 0, len(o.running))
	for c := range o.running {
		all = append(all, c)
	}
	o.mu.Unlock()
	for _, c := range all {
		within, cancel := context.WithTimeout(ctx, claimAnswer)
		if err := o.requests.HoldClaim(within, c.org, c.id); err != nil && !errors.Is(err, tenancy.ErrNotFound) && ctx.Err() == nil {
			o.log.Warn("a claim could not be held", slog.Any("reason", err))
		}
		cancel()
	}
}

// claim finds out whether the call was made before, and makes it ours if not.
func (p *Pipeline) claim(c *Call) error {
	if p.once == nil || c.Header == nil || c.Content.Endpoint == adapters.Objects || c.Content.Boundary != nil {
		return nil
	}
	key := c.Header.Peek("Idempotency-Key")
	if len(key) == 0 {
		return nil
	}
	if len(key) > longestKey {
		return errLongKey
	}
	sum := sha256.Sum256([]byte("call\x00" + string(c.Who.User) + "\x00" + string(c.Who.Key) + "\x00" + string(key)))
	return p.once.claim(c, claim{c.Who.Org, hex.EncodeToString(sum[:])})
}

// claim tries until the call is ours, or its answer is there.
func (o *Once) claim(c *Call, of claim) error {
	name := c.nameExactly()
	mark := o.ring.Mark(name[:])
	for began := time.Now(); ; {
		within, cancel := context.WithTimeout(context.Background(), claimAnswer)
		kept, ours, err := o.requests.Claim(within, of.org, of.id, mark)
		cancel()
		if err != nil {
			return errUnclaimed(err)
		}
		if ours {
			o.begin(c, of)
			return nil
		}
		if same, err := o.ring.Marked(kept.Request, name[:]); err != nil {
			return errAnswerLost
		} else if !same {
			return errKeyReused
		}
		if kept.Status != 0 {
			return o.recall(c, of, &kept)
		}
		if done, err := o.await(c, of, began); done || err != nil {
			return err
		}
	}
}

// begin notes that this call is the one. Its client may leave: who repeats the call gets the answer.
func (o *Once) begin(c *Call, of claim) {
	c.claimed, c.tape = of, &tape{limit: o.longest}
	c.mu.Lock()
	c.outlasts = true
	c.mu.Unlock()
	o.mu.Lock()
	o.running[of] = c.tape
	o.mu.Unlock()
}

// recall takes the answer that was kept.
func (o *Once) recall(c *Call, of claim, kept *tenancy.Kept) error {
	if kept.Answer == "" {
		return errAnswerLarge
	}
	text, err := o.ring.Open(kept.Answer, of.place()...)
	if err != nil {
		return errAnswerLost
	}
	if c.kept, err = replay.Decode(text); err != nil {
		return errAnswerLost
	}
	c.record.Cache = cacheReplay
	return nil
}

func (of claim) place() []string { return []string{"idempotency", of.id, string(of.org)} }

// await waits for a call that is under way; true: its answer is there, or comes while it is relayed.
func (o *Once) await(c *Call, of claim, began time.Time) (done bool, err error) {
	o.mu.Lock()
	t := o.running[of]
	o.mu.Unlock()
	if t == nil {
		if time.Since(began) > waitElsewhere {
			return false, errStillRuns
		}
		if !c.wait(lookElsewhere) {
			return false, endedError(c.endedBy())
		}
		return false, nil
	}
	for {
		a, state, news := t.answer()
		switch state {
		case tapeTorn:
			return false, errAnswerLarge
		case tapeFailed: // it came to nothing: whoever is first makes it
			return false, o.over(c, of, t)
		case tapeRuns:
			c.follows = t
			fallthrough
		case tapeWhole:
			c.kept, c.record.Cache = a, cacheReplay
			return true, nil
		}
		if !c.waitFor(news) {
			return false, endedError(c.endedBy())
		}
	}
}

// over waits until a call that came to nothing has given its claim back.
func (o *Once) over(c *Call, of claim, t *tape) error {
	for {
		o.mu.Lock()
		still := o.running[of] == t
		o.mu.Unlock()
		if !still {
			return nil
		}
		if !c.wait(time.Millisecond) {
			return endedError(c.endedBy())
		}
	}
}

// waitFor waits for news; false means that the call ended meanwhile.
func (c *Call) waitFor(news <-chan struct{}) bool {
	select {
	case <-news:
	case <-c.wake:
	}
	return c.endedBy() == adapters.ClassNone
}

// relayFollowed brings the answer that another call is getting, as it comes.
func (c *Call) relayFollowed() error {
	for at := 0; ; {
		piece, over, torn, news := c.follows.next(at)
		if torn {
			c.failed = errAnswerLarge
			return io.ErrUnexpectedEOF
		}
		n, err := c.to.Write(piece)
		c.written += int64(n)
		if at += n; err != nil {
			c.failed = endedError(adapters.ClassGone)
			return err
		}
		if over {
			c.ended = true
			return nil
		}
		if len(piece) == 0 && !c.waitFor(news) {
			c.failed = endedError(c.endedBy())
			return c.failed
		}
	}
}

// finish writes down what became of a call that was claimed, behind its back: the answer of one that went well, and of others that
// the key is free again.
func (o *Once) finish(c *Call, class adapters.Class) {
	of, t := c.claimed, c.tape
	if of == (claim{}) {
		return
	}
	well := class == adapters.ClassNone && c.ended
	var a *replay.Answer
	switch {
	case well && c.kept != nil: // the cache had it
		a = c.kept
		t.fill(a)
	case well && !t.torn:
		a = c.toKeep()
	}
	t.end(well)
	o.writing.Go(func() {
		within, cancel := context.WithTimeout(context.Background(), claimAnswer)
		defer cancel()
		if err := o.write(within, of, well, a); err != nil {
			o.log.Error("what became of a call with an Idempotency-Key could not be written", slog.String("org", string(of.org)), slog.Any("reason", err))
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.running, of)
	})
}

func (o *Once) write(ctx context.Context, of claim, well bool, a *replay.Answer) error {
	switch {
	case !well:
		return o.requests.Unclaim(ctx, of.org, of.id)
	case a == nil: // too large
		return o.requests.Keep(ctx, of.org, of.id, http.StatusOK, "")
	}
	text, err := a.Encode()
	if err != nil {
		return err
	}
	return o.requests.Keep(ctx, of.org, of.id, a.Status, o.ring.Seal(text, of.place()...))
}

// nameExactly names all that the client has sent.
func (c *Call) nameExactly() replay.Name {
	n := replay.Begin()
	n.Text(c.Content.Endpoint.String())
	n.Text(c.Content.Deployment)
	n.Text(view(c.Content.Query))
	n.JSON(view(c.Content.Body))
	return n.Name()
}
