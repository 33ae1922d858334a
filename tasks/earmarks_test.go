package tasks

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/vel-gateway/vel/money"
)

// What is kept for a batch follows what is left of it, is tried again where it was refused, and is given back when it has ended.
func TestEarmarks(t *testing.T) {
	t.Parallel()
	kept, full := map[string]money.Nano{}, false
	e := NewEarmarks(func(_ context.Context, b *Batch, worth money.Nano) (func(), error) {
		if full {
			return nil, errors.New("no room")
		}
		if kept[b.Name] != 0 {
			t.Errorf("%s is kept for twice", b.Name)
		}
		kept[b.Name] = worth
		return func() { delete(kept, b.Name) }, nil
	})
	a := Batch{ID: "batch_1", Name: "a", Total: 100, Estimate: 1000, Parallel: 10}
	look := func(want money.Nano, running ...Batch) {
		t.Helper()
		e.Keep(t.Context(), running)
		if kept["a"] != want {
			t.Errorf("after %d: %d are kept, want %d", a.Done(), kept["a"], want)
		}
	}
	look(900, a) // ten may run
	look(900, a)
	a.Succeeded, a.Failed = 15, 5
	look(300, a) // ten run, and twenty that ended may become forty more until the next look
	look(700, a) // but did not
	full = true
	a.Cancelled = 1
	look(0, a)
	full = false
	look(690, a, Batch{ID: "batch_2", Name: "b", Total: 2, Estimate: 4, Parallel: 1})
	if kept["b"] != 2 {
		t.Errorf("%d are kept for another one", kept["b"])
	}
	a.Succeeded = 95
	look(0, a)
	look(0)
	if len(kept) > 0 {
		t.Errorf("%v is kept for nothing", kept)
	}
}

func TestOutstanding(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		b                    Batch
		soon                 int64
		outstanding, toRetry money.Nano
	}{
		"nothing priced":  {Batch{Total: 5}, 0, 0, 0},
		"no items":        {Batch{}, 0, 0, 0},
		"all":             {Batch{Total: 3, Estimate: 10}, 0, 10, 0},
		"most of it runs": {Batch{Total: 3, Estimate: 10, Failed: 1}, 5, 0, 3},
		"more than fits":  {Batch{Total: MostItems, Estimate: math.MaxInt64, Cancelled: MostItems / 2}, 0, math.MaxInt64 / 2, math.MaxInt64 / 2},
	} {
		if got, again := c.b.Outstanding(c.soon), c.b.ToRetry(); got != c.outstanding || again != c.toRetry {
			t.Errorf("%s: %d and %d, want %d and %d", name, got, again, c.outstanding, c.toRetry)
		}
	}
}
