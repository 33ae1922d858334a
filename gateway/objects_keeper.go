package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// ObjectStore remembers for all nodes who made what a provider keeps. An error that says that the database is away is a
// *tenancy.Unavailable.
type ObjectStore interface {
	// ObjectOwners tells for each of the ids that the organization made which provider holds it.
	ObjectOwners(ctx context.Context, org tenancy.ID, ids []string) (map[string]string, error)
	// Objects gives a page; ErrNotFound if the organization never made p.After.
	Objects(ctx context.Context, p routing.ObjectPage) ([]routing.StoredObject, error)
	// KeepObjects remembers objects, and gives back those that another organization made.
	KeepObjects(ctx context.Context, made []routing.StoredObject) (others []routing.StoredObject, err error)
	// ForgetObjects forgets objects that are gone.
	ForgetObjects(ctx context.Context, gone []routing.StoredObject) error
}

const (
	objectsWaiting = 1 << 16 // changes that wait for the database at most
	objectsKnown   = 1 << 16 // owners that a node remembers at least, those used last
	objectsBatch   = 500     // changes that are written together

	objectsPause  = 50 * time.Millisecond  // from one batch to the next; the first of a busy time is written at once
	objectsRetry  = time.Second            // from a failure to the next try
	objectsOnWay  = 100 * time.Millisecond // after which what another node has made is surely written
	objectsAnswer = 5 * time.Second        // for the database to answer
)

// Keeper knows which organization made what a provider keeps. What passes here is known at once and written behind the
// calls' backs, so that no call ever waits for the database to remember something, and what was made here can be used
// here while the database is away.
//
// What waits lies in memory and is lost with the process. The spool of records will carry it once there is one.
type Keeper struct {
	store   ObjectStore
	shared  bool // other nodes write to the store, too
	metrics *Metrics
	log     *slog.Logger

	mu         sync.Mutex // guards all below
	young, old map[objectKey]string
	queue      []objectChange
	taken      int64         // changes that were ever queued
	over       int64         // those of them that are written or given up
	moved      chan struct{} // closed and replaced when over grows
	away       bool          // the last try found no database
	full       bool          // the queue was full since the last batch

	wake  chan struct{} // the queue is no longer empty
	stop  chan struct{}
	ended chan struct{}
}

type objectKey struct {
	org tenancy.ID
	id  string
}

type objectChange struct {
	routing.StoredObject
	gone bool
}

// NewKeeper makes a keeper over a store; shared tells whether other nodes write to it, too. Start begins its work.
func NewKeeper(store ObjectStore, shared bool, metrics *Metrics, log *slog.Logger) *Keeper {
	return &Keeper{
		store: store, shared: shared, metrics: metrics, log: log,
		young: map[objectKey]string{}, moved: make(chan struct{}),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
}

// Start begins to write.
func (k *Keeper) Start() { go k.run() }

// Stop writes what waits, if the database answers, and ends. No call may be under way.
func (k *Keeper) Stop() error {
	close(k.stop)
	<-k.ended
	return nil
}

// Keep remembers an object. It never blocks.
func (k *Keeper) Keep(o routing.StoredObject) {
	o.ID = strings.Clone(o.ID) // it may be a part of a body
	k.mu.Lock()
	defer k.mu.Unlock()
	key := objectKey{o.Org, o.ID}
	if _, ok := k.known(key); ok {
		return
	}
	k.learn(key, o.Provider)
	k.enqueue(objectChange{StoredObject: o})
}

// Forget forgets an object that is gone at its provider. It never blocks.
func (k *Keeper) Forget(o routing.StoredObject) {
	o.ID = strings.Clone(o.ID)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.unlearn(objectKey{o.Org, o.ID})
	k.enqueue(objectChange{o, true})
}

// enqueue takes a change for the database. The caller holds mu.
func (k *Keeper) enqueue(c objectChange) {
	if len(k.queue) == objectsWaiting {
		if k.metrics.objectsLost.Inc(); !k.full {
			k.full = true
			k.log.Error("who made some objects could not be written", slog.String("reason", "too many wait for the database"))
		}
		return
	}
	k.queue = append(k.queue, c)
	k.taken++
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// known looks an owner up in memory. Two generations make a memory of what was used last: what is found in the old one
// moves to the young one. The caller holds mu.
func (k *Keeper) known(key objectKey) (provider string, ok bool) {
	if provider, ok = k.young[key]; ok {
		return provider, true
	}
	if provider, ok = k.old[key]; ok {
		k.learn(key, provider)
	}
	return provider, ok
}

func (k *Keeper) learn(key objectKey, provider string) {
	if len(k.young) >= objectsKnown {
		k.young, k.old = map[objectKey]string{}, k.young
	}
	k.young[key] = provider
}

func (k *Keeper) unlearn(key objectKey) {
	delete(k.young, key)
	delete(k.old, key)
}

// Owners tells for each of the ids that the organization made which provider holds it. It asks the store only for what
// this node does not know.
func (k *Keeper) Owners(org tenancy.ID, ids []string) (map[string]string, error) {
	holders := make(map[string]string, len(ids))
	ids = k.fromMemory(holders, org, ids)
	if len(ids) == 0 {
		return holders, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), objectsAnswer)
	defer cancel()
	found, err := k.store.ObjectOwners(ctx, org, ids)
	if err == nil && len(found) < len(ids) && k.shared {
		// A client that made something through one node and names it at another is faster than the two of them.
		select {
		case <-time.After(objectsOnWay):
			found, err = k.store.ObjectOwners(ctx, org, ids)
		case <-k.stop:
		}
	}
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, provider := range found {
		holders[id] = provider
		k.learn(objectKey{org, strings.Clone(id)}, provider)
	}
	return holders, nil
}

// fromMemory fills in what this node knows and gives the rest.
func (k *Keeper) fromMemory(holders map[string]string, org tenancy.ID, ids []string) (rest []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		if provider, ok := k.known(objectKey{org, id}); ok {
			holders[id] = provider
		} else {
			rest = append(rest, id)
		}
	}
	return rest
}

// Page gives a page of what an organization has made, with everything that it made through this node before.
func (k *Keeper) Page(p routing.ObjectPage) ([]routing.StoredObject, error) {
	ctx, cancel := context.WithTimeout(context.Background(), objectsAnswer)
	defer cancel()
	if err := k.written(ctx); err != nil {
		return nil, err
	}
	return k.store.Objects(ctx, p)
}

// written waits until what is queued now is over.
func (k *Keeper) written(ctx context.Context) error {
	k.mu.Lock()
	upTo := k.taken
	k.mu.Unlock()
	for {
		k.mu.Lock()
		over, moved, away := k.over, k.moved, k.away
		k.mu.Unlock()
		switch {
		case over >= upTo:
			return nil
		case away:
			return &tenancy.Unavailable{Cause: errors.New("what was made before is not written yet")}
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return &tenancy.Unavailable{Cause: ctx.Err()}
		}
	}
}

// run writes until the end. It alone takes from the queue.
func (k *Keeper) run() {
	defer close(k.ended)
	for {
		select {
		case <-k.wake:
		case <-k.stop:
			k.last()
			return
		}
		for more := true; more; {
			pause := objectsPause
			var ok bool
			if ok, more = k.write(context.Background()); !ok {
				pause = objectsRetry
			}
			select {
			case <-time.After(pause):
			case <-k.stop:
				k.last()
				return
			}
		}
	}
}

// last writes what is left when the process stops.
func (k *Keeper) last() {
	ctx, cancel := context.WithTimeout(context.Background(), objectsAnswer)
	defer cancel()
	for more := true; more; {
		var ok bool
		if ok, more = k.write(ctx); ok {
			continue
		}
		k.mu.Lock()
		lost := len(k.queue)
		k.mu.Unlock()
		k.metrics.objectsLost.Add(float64(lost))
		k.log.Error("who made some objects could not be written", slog.Int("lost", lost))
		return
	}
}

// write writes one batch. It is not ok if the database was away: then the batch stays where it is.
func (k *Keeper) write(ctx context.Context) (ok, more bool) {
	k.mu.Lock()
	batch := append([]objectChange(nil), k.queue[:min(len(k.queue), objectsBatch)]...)
	k.mu.Unlock()
	if len(batch) == 0 {
		return true, false
	}
	others, err := k.bring(ctx, batch)
	away, isAway := errors.AsType[*tenancy.Unavailable](err)

	k.mu.Lock()
	defer k.mu.Unlock()
	if isAway && !k.away {
		k.log.Warn("who made which object waits for the database", slog.Any("reason", away))
	}
	switch k.away = isAway; {
	case isAway:
		k.tell()
		return false, true
	case err != nil: // it would be the same the next time
		k.metrics.objectsLost.Add(float64(len(batch)))
		k.log.Error("who made some objects could not be written", slog.Int("lost", len(batch)), slog.Any("reason", err))
	}
	for _, o := range others {
		k.unlearn(objectKey{o.Org, o.ID})
		k.log.Warn("a provider gave the id of one organization's object to another", slog.String("provider", o.Provider), slog.String("org", string(o.Org)))
	}
	k.queue = append(k.queue[:0], k.queue[len(batch):]...)
	k.over, k.full = k.over+int64(len(batch)), false
	k.tell()
	return true, len(k.queue) > 0
}

// tell wakes those who wait for the queue. The caller holds mu.
func (k *Keeper) tell() {
	close(k.moved)
	k.moved = make(chan struct{})
}

// bring brings a batch to the store.
func (k *Keeper) bring(ctx context.Context, batch []objectChange) (others []routing.StoredObject, err error) {
	ctx, cancel := context.WithTimeout(ctx, objectsAnswer)
	defer cancel()
	var made, gone []routing.StoredObject
	for i := range batch {
		if batch[i].gone {
			gone = append(gone, batch[i].StoredObject)
		} else {
			made = append(made, batch[i].StoredObject)
		}
	}
	if len(made) > 0 {
		if others, err = k.store.KeepObjects(ctx, made); err != nil {
			return nil, err
		}
	}
	if len(gone) > 0 {
		err = k.store.ForgetObjects(ctx, gone)
	}
	return others, err
}
