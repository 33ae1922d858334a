package storage

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q turns
		if err := q.take(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		var order []string // guarded by the turn itself
		wait := func(name string, ctx context.Context, background bool) {
			go func() {
				if err := q.take(ctx, background); err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					return
				}
				order = append(order, name)
				q.give()
			}()
			synctest.Wait() // it stands in its line
		}
		leaves, leave := context.WithCancel(t.Context())
		wait("background 1", t.Context(), true)
		wait("urgent 1", t.Context(), false)
		wait("gone", leaves, false)
		wait("background gone", leaves, true)
		wait("background 2", t.Context(), true)
		wait("urgent 2", t.Context(), false)
		leave()
		synctest.Wait()
		if !q.giveUrgent() {
			t.Error("nobody waits for an answer")
		}
		synctest.Wait()
		if want := []string{"urgent 1", "urgent 2", "background 1", "background 2"}; !slices.Equal(order, want) {
			t.Errorf("the turns were %q, want %q", order, want)
		}
		if err := q.take(t.Context(), true); err != nil {
			t.Fatal(err) // nobody has it, so nobody waits
		}
		wait("background 3", t.Context(), true)
		if q.giveUrgent() {
			t.Error("a turn went to one who waits for no answer")
		}
		q.give()
	})
}

// TestTurnThatNobodyTakes gives turns up in the moment in which they come: none may be lost.
func TestTurnThatNobodyTakes(t *testing.T) {
	t.Parallel()
	var q turns
	for range 1000 {
		if err := q.take(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			if err := q.take(ctx, false); err == nil {
				q.give()
			}
		}()
		go cancel()
		q.give()
		<-waited
	}
	if q.taken || len(q.waiting[0]) > 0 {
		t.Error("a turn was lost")
	}
}
