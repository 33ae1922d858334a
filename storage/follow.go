package storage

import (
	"context"
	"time"
)

// Follower is told of what changes, by one call at a time.
type Follower struct {
	// Changed gets what changed since the call before.
	Changed func(Changes)
	// Away says that the database does not answer, and since when nothing is known of it. It is called once, until Back
	// says that what was told is up to date again.
	Away func(since time.Time, cause error)
	Back func()
}

// How often a follower asks by itself, how long it waits for the answer, and how long it lets pass between two questions,
// so that a burst of changes is told at once: nine times as long as the last one took it and those who were told, within
// bounds. So a node with very many keys is at work on their changes for a tenth of its time at most.
const (
	pollEvery = time.Second
	pollMost  = 3 * time.Second
	pollGap   = 10 * time.Millisecond
	pollPause = 9
	mostGap   = pollEvery / 2
)

// Follow tells of what changes after a revision, and after 0 first of everything, until ctx ends. It is woken by what
// this process changes and by what Postgres tells of others, and asks every second besides, so that a revoked key is
// known within two seconds while the database answers. When the database was away, it tells everything anew.
func (db *DB) Follow(ctx context.Context, from int64, f Follower) {
	ctx, cancel := context.WithCancel(ctx)
	heard, deaf := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(deaf)
		db.hear(ctx, heard)
	}()
	defer func() {
		cancel()
		<-deaf
	}()
	w := follower{Follower: f, rev: from, known: time.Now()}
	for ctx.Err() == nil {
		news := db.news.next() // before we ask: what comes from here on wakes us
		began := time.Now()
		w.ask(ctx, db)
		gap := min(max(pollGap, pollPause*time.Since(began)), mostGap)
		select {
		case <-ctx.Done():
			return
		case <-time.After(gap):
		}
		select {
		case <-ctx.Done():
		case <-news:
		case <-heard:
		case <-time.After(pollEvery - gap):
		}
	}
}

// follower is how far a Follower has come.
type follower struct {
	Follower
	rev   int64     // what was told up to
	known time.Time // when the database was last asked and answered
	away  bool
}

// ask asks what is new, and tells it.
func (w *follower) ask(ctx context.Context, db *DB) {
	asked, after := time.Now(), w.rev
	if w.away {
		after = 0 // it may have come back as an older copy of itself
	}
	limit := pollMost
	if after == 0 {
		limit = patience // there may be much to read
	}
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := db.Changes(asking, after)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		if !w.away {
			w.away = true
			w.Away(w.known, err)
		}
		return
	case c.Whole || c.Rev != after:
		w.Changed(c)
	}
	w.rev, w.known = c.Rev, asked
	if w.away {
		w.away = false
		w.Back()
	}
}
