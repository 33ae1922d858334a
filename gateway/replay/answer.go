package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// Answer is what one call was answered, as its client saw it. It is immutable once it is kept.
type Answer struct {
	Org    tenancy.ID `json:"org"`
	Route  string     `json:"route"`
	Tags   []string   `json:"tags,omitempty"` // k=v, of the call that was answered
	Kept   time.Time  `json:"kept"`
	Until  time.Time  `json:"until"`
	Status int        `json:"status"`

	Type     string     `json:"type"` // its Content-Type
	Stream   bool       `json:"stream,omitempty"`
	Provider string     `json:"provider"`
	Model    string     `json:"model"` // the provider's name of it
	Cost     money.Nano `json:"cost"`  // of the call that was answered
	Body     []byte     `json:"-"`
}

// Shelf keeps answers. Its methods are called by many goroutines.
type Shelf interface {
	// Get is the answer with a name, or nil if there is none that is still good. An error says that nobody can know.
	Get(ctx context.Context, name Name) (*Answer, error)
	// Put keeps an answer until its Until. It takes it over, and does not wait for anybody.
	Put(ctx context.Context, name Name, a *Answer) error
	// Purge takes away what Which means, on every node that shares the shelf.
	Purge(ctx context.Context, which Which) error
}

// Which says which answers are meant: those that fit everything that is said. The zero value means all.
type Which struct {
	Org   tenancy.ID
	Route string
	Tag   string // k=v
}

// Fits tells whether an answer is meant.
func (w *Which) Fits(a *Answer) bool {
	return (w.Org == "" || w.Org == a.Org) && (w.Route == "" || w.Route == a.Route) &&
		(w.Tag == "" || slices.Contains(a.Tags, w.Tag))
}

// size is about how much memory an answer takes.
func (a *Answer) size() int64 {
	n := len(a.Body) + len(a.Org) + len(a.Route) + len(a.Type) + len(a.Provider) + len(a.Model) + overhead
	for _, tag := range a.Tags {
		n += len(tag) + 16
	}
	return int64(n)
}

// overhead is about what an answer takes beside its texts: itself, its name and its place in a list and in a map.
const overhead = 512

// Encode writes an answer as one text: a line about it, then its body as it is.
func (a *Answer) Encode() ([]byte, error) {
	line, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode an answer: %w", err)
	}
	return slices.Concat(line, []byte{'\n'}, a.Body), nil
}

// Decode reads what Encode wrote. The body aliases the text.
func Decode(text []byte) (*Answer, error) {
	line, body, ok := bytes.Cut(text, []byte{'\n'})
	if !ok {
		return nil, errors.New("decode an answer: it has no body")
	}
	a := &Answer{Body: body}
	if err := json.Unmarshal(line, a); err != nil {
		return nil, fmt.Errorf("decode an answer: %w", err)
	}
	return a, nil
}
