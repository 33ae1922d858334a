package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Idempotent lets a client repeat a request whose answer it has not seen.
type Idempotent struct {
	IdempotencyKey string `header:"Idempotency-Key" minLength:"1" maxLength:"255" doc:"Text of your own, best random. For 24 hours a request with the same one is not made again: its answer is the first one's."`
}

// stillRuns is when a client may ask again for the answer of a request that still runs, and howLong a store may take
// to remember an answer although the client has left.
const (
	stillRuns = time.Second
	howLong   = 5 * time.Second
)

// replayable is an answer that can say that it was kept.
type replayable[O any] interface {
	*O
	setReplayed()
}

// once makes a request, or answers with what the same request was answered before. Whoever repeats it must be the same
// actor; request is everything that makes it the same one. Answers that blame Vel are not kept.
func once[O any, P replayable[O]](ctx context.Context, s *Server, a *asking, key string, request []any, do func() (*O, error)) (*O, error) {
	if key == "" {
		return do()
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode a request: %w", err)
	}
	r := remembered{s, a.by.Org, requestID(a, key)}
	kept, ours, err := s.Requests.Claim(ctx, r.org, r.id, s.Keyring.Mark(text))
	if err != nil {
		return nil, err
	}
	if !ours {
		return replay[O, P](&r, kept, text)
	}
	return first(ctx, &r, do)
}

// requestID is the name under which the request of an actor is remembered.
func requestID(a *asking, key string) string {
	sum := sha256.Sum256([]byte(string(a.by.User) + "\x00" + string(a.by.Key) + "\x00" + key))
	return hex.EncodeToString(sum[:])
}

// remembered is one request that a store knows.
type remembered struct {
	s   *Server
	org tenancy.ID
	id  string
}

// first makes a request that was claimed, and keeps its answer.
func first[O any](ctx context.Context, r *remembered, do func() (*O, error)) (out *O, err error) {
	status, answer := 0, any(nil)
	defer func() { // also after a panic, and when the client has left
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), howLong)
		defer cancel()
		r.settle(ctx, status, answer)
	}()
	out, err = do()
	if err == nil {
		status, answer = http.StatusOK, out
		return out, nil
	}
	p := inWords(err)
	if p.Status < http.StatusInternalServerError {
		status, answer = p.Status, p
	}
	return nil, p
}

// settle keeps an answer, or forgets the request if there is none to keep.
func (r *remembered) settle(ctx context.Context, status int, answer any) {
	if err := r.keep(ctx, status, answer); err != nil {
		r.s.Log.Error("the answer to a request with an Idempotency-Key was not kept", slog.String("org", string(r.org)), slog.Any("err", err))
	}
}

func (r *remembered) keep(ctx context.Context, status int, answer any) error {
	if status == 0 {
		return r.s.Requests.Unclaim(ctx, r.org, r.id)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	return r.s.Requests.Keep(ctx, r.org, r.id, status, r.s.Keyring.Seal(text, r.place()...))
}

func (r *remembered) place() []string { return []string{"idempotency", r.id, string(r.org)} }

// replay answers a request that was made before.
func replay[O any, P replayable[O]](r *remembered, kept tenancy.Kept, request []byte) (*O, error) {
	same, err := r.s.Keyring.Marked(kept.Request, request)
	switch {
	case err != nil:
		return nil, lostAnswer(err)
	case !same:
		return nil, otherRequest.new("This Idempotency-Key was used for another request.", Fault{"header.Idempotency-Key", "belongs to another request"})
	case kept.Status == 0:
		return nil, running.new("The first request with this Idempotency-Key is still running.").after(stillRuns)
	}
	text, err := r.s.Keyring.Open(kept.Answer, r.place()...)
	if err != nil {
		return nil, lostAnswer(err)
	}
	if kept.Status >= http.StatusBadRequest {
		p := &Problem{}
		if err := json.Unmarshal(text, p); err != nil {
			return nil, fmt.Errorf("decode a kept problem: %w", err)
		}
		return nil, p.with("Idempotency-Replayed", "true")
	}
	out := new(O)
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("decode a kept answer: %w", err)
	}
	P(out).setReplayed()
	return out, nil
}

// lostAnswer says that an answer was kept under a key of the keyring that is gone.
func lostAnswer(err error) error {
	if !errors.Is(err, secrets.ErrSealed) {
		return err
	}
	return unreadable.new("The request was made, but its answer can not be read any more. Look at what it made, and use another Idempotency-Key.")
}
