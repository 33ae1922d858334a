package tasks

import (
	"context"
	"sync"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Feed tells readers of a task's history that there is more of it. It carries numbers alone: what is told stands in the rows, so
// that whoever missed something, or comes back later, reads on where they were.
//
// On one node it is enough by itself. Between nodes something must carry the numbers: Redis (Carrier), or else a look into the
// database now and then, one for all readers of the node.
type Feed struct {
	carrier Carrier // nil: there is none
	look    func(ctx context.Context, topics []tenancy.ID) (map[tenancy.ID]int64, error)
	every   time.Duration

	mu     sync.Mutex
	topics map[tenancy.ID]*topic // guarded by mu
}

// topic is a task that somebody on this node reads.
type topic struct {
	seq     int64
	readers map[*Reader]struct{}
}

// Carrier brings numbers to the other nodes. Redis is one.
type Carrier interface {
	// Publish says that a topic has got as far as seq. It does not wait for the network.
	Publish(topic tenancy.ID, seq int64)
	// Receive calls told for everything that nodes publish, until ctx ends. Some of it may be lost.
	Receive(ctx context.Context, told func(topic tenancy.ID, seq int64))
}

// Looking is how a feed hears of what other nodes write: Look gives the last numbers of tasks, and is called this often. A
// database that no other node has needs none.
type Looking struct {
	Look  func(ctx context.Context, topics []tenancy.ID) (map[tenancy.ID]int64, error)
	Every time.Duration
}

// NewFeed makes one.
func NewFeed(carrier Carrier, l Looking) *Feed {
	return &Feed{carrier: carrier, look: l.Look, every: l.Every, topics: map[tenancy.ID]*topic{}}
}

// Run hears of the other nodes until ctx ends.
func (f *Feed) Run(ctx context.Context) {
	var hearing sync.WaitGroup
	defer hearing.Wait()
	if f.carrier != nil {
		hearing.Go(func() { f.carrier.Receive(ctx, f.tell) })
	}
	if f.look == nil {
		return
	}
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if topics := f.read(); len(topics) > 0 {
			seqs, err := f.look(ctx, topics)
			if err != nil {
				continue // the next look may see
			}
			for id, seq := range seqs {
				f.tell(id, seq)
			}
		}
	}
}

// read are the topics that somebody reads here.
func (f *Feed) read() []tenancy.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := make([]tenancy.ID, 0, len(f.topics))
	for id := range f.topics {
		ids = append(ids, id)
	}
	return ids
}

// Publish says, after the commit, how far a task's history has got.
func (f *Feed) Publish(id tenancy.ID, seq int64) {
	f.tell(id, seq)
	if f.carrier != nil {
		f.carrier.Publish(id, seq)
	}
}

// tell wakes the readers of a task that have not heard of seq yet.
func (f *Feed) tell(id tenancy.ID, seq int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[id]
	if t == nil || t.seq >= seq {
		return
	}
	t.seq = seq
	for r := range t.readers {
		select {
		case r.More <- struct{}{}:
		default: // it has not looked since it was woken last
		}
	}
}

// Reader is woken when there is more to read of a task.
type Reader struct {
	More chan struct{}

	feed *Feed
	id   tenancy.ID
}

// Read makes a reader of a task. It must be closed.
func (f *Feed) Read(id tenancy.ID) *Reader {
	r := &Reader{More: make(chan struct{}, 1), feed: f, id: id}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[id]
	if t == nil {
		t = &topic{readers: map[*Reader]struct{}{}}
		f.topics[id] = t
	}
	t.readers[r] = struct{}{}
	return r
}

// Close ends the reader.
func (r *Reader) Close() {
	f := r.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.topics[r.id]
	delete(t.readers, r)
	if len(t.readers) == 0 {
		delete(f.topics, r.id)
	}
}
