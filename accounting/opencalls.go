package accounting

import (
	"hash/maphash"
	"sync"

	"github.com/vel-gateway/vel/tenancy"
)

// openCalls are the calls of this process that have begun and not ended. Of each there is only a hash of its id: if two
// ever had the same, a beginning would stay in its segment a little longer, and nothing else.
type openCalls struct {
	seed   maphash.Seed
	shards [64]openShard // calls begin and end on many processors at once
}

type openShard struct {
	mu    sync.Mutex // guards calls, and keeps a call open during during
	calls map[uint64]struct{}
	_     [48]byte // no other shard in the same cache line
}

func newOpenCalls() *openCalls {
	o := &openCalls{seed: maphash.MakeSeed()}
	for i := range o.shards {
		o.shards[i].calls = map[uint64]struct{}{}
	}
	return o
}

func (o *openCalls) shard(hash uint64) *openShard { return &o.shards[hash%uint64(len(o.shards))] }

func (o *openCalls) add(id tenancy.ID) {
	hash := maphash.String(o.seed, string(id))
	s := o.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[hash] = struct{}{}
}

func (o *openCalls) remove(id tenancy.ID) {
	hash := maphash.String(o.seed, string(id))
	s := o.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, hash)
}

// during runs f if the call is open, which it stays meanwhile.
func (o *openCalls) during(id []byte, f func() error) (open bool, err error) {
	hash := maphash.Bytes(o.seed, id)
	s := o.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.calls[hash]; !open {
		return false, nil
	}
	return true, f()
}
