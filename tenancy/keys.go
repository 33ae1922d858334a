package tenancy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"
	"time"
)

// Why a key opens nothing. The data plane answers all of them with the same 401, so that a stranger learns
// nothing; the log tells them apart.
var (
	ErrUnknownKey  = errors.New("unknown key")
	ErrKeyDisabled = errors.New("key is disabled")
	ErrKeyExpired  = errors.New("key has expired")
)

// ErrKeyStale says that a key is known but no longer believed: the database that would know of its revocation has been
// away for too long. It is no refusal, and is answered with a 503.
var ErrKeyStale = errors.New("the database has been away for too long to trust the key")

// Hash is what is kept of a key: SHA-256 of the text that the caller sends. A key has 256 random bits, so
// a plain hash is enough and costs about 100 ns.
type Hash = [sha256.Size]byte

// HashKey hashes a key as it came from the wire.
func HashKey(key []byte) Hash { return sha256.Sum256(key) }

// APIKey is one virtual key.
type APIKey struct {
	Meta
	Team, User ID
	Hash       Hash
	OldHash    Hash      // of the secret before the last rotation
	OldUntil   time.Time // until when that one opens too
	Models     []string  // public route names; empty: all
	Role       ID        // what it may do at /api; empty: nothing
	Expires    time.Time // zero: never
	Disabled   bool
	Shut       bool      // its user is disabled: until they are not, it opens nothing
	LastUsed   time.Time // zero: never; known to the minute

	KeepContent bool // of its organization: an index of keys knows no organizations; nowhere stored
}

// KeyIndex finds the principal of a key, in memory and without a lock: it is immutable and is replaced as a
// whole with the snapshot.
type KeyIndex struct {
	byHash map[Hash]entry
	byID   map[ID]*indexed
	stale  bool        // the database has been away for too long: what it said is no longer believed
	keeps  map[ID]bool // organizations that want what their calls say to be kept
}

// entry is one secret of a key.
type entry struct {
	*indexed
	until time.Time // the old secret ends here; zero: the current one
}

// indexed is one key.
type indexed struct {
	principal     Principal
	hash, oldHash Hash
	expires       time.Time
	disabled      bool
	stored        bool // it came from the database
}

// NewKeyIndex indexes keys. Two keys with the same secret are a fault of the configuration.
func NewKeyIndex(keys []APIKey) (*KeyIndex, error) {
	x := &KeyIndex{byHash: make(map[Hash]entry, len(keys)), byID: make(map[ID]*indexed, len(keys))}
	for i := range keys {
		k := &keys[i]
		if other, ok := x.byHash[k.Hash]; ok {
			return nil, fmt.Errorf("keys %s and %s are the same secret", other.principal.Key, k.ID)
		}
		x.put(k)
	}
	return x, nil
}

// With returns an index in which the changed keys replace those with the same id, and deleted ones are gone. A secret
// that another key has stays that key's.
func (x *KeyIndex) With(changed []APIKey) *KeyIndex {
	y := &KeyIndex{maps.Clone(x.byHash), maps.Clone(x.byID), x.stale, x.keeps}
	for i := range changed {
		k := &changed[i]
		old, ok := y.byID[k.ID]
		if ok {
			delete(y.byHash, old.hash)
			delete(y.byHash, old.oldHash)
			delete(y.byID, k.ID)
		}
		if _, taken := y.byHash[k.Hash]; taken || k.Deleted {
			continue
		}
		if e := y.put(k); ok {
			e.principal.used = old.principal.used
		}
	}
	return y
}

// UsesOf makes an index that nobody reads yet know of the uses that another one has noted.
func (x *KeyIndex) UsesOf(other *KeyIndex) *KeyIndex {
	for id, e := range x.byID {
		if o, ok := other.byID[id]; ok {
			e.principal.used = o.principal.used
		}
	}
	return x
}

// Stale returns the index as it is while the database has been away for too long, or as it is once it is back.
func (x *KeyIndex) Stale(stale bool) *KeyIndex {
	return &KeyIndex{x.byHash, x.byID, stale, x.keeps}
}

// Keeping returns the index as one of organizations of which these want what their calls say to be kept, for who calls without a key.
func (x *KeyIndex) Keeping(orgs map[ID]bool) *KeyIndex {
	return &KeyIndex{x.byHash, x.byID, x.stale, orgs}
}

func (x *KeyIndex) put(k *APIKey) *indexed {
	e := &indexed{
		principal: Principal{
			Identity: Identity{k.Org, k.Team, k.User, k.ID}, Name: k.Name, Role: k.Role, KeepContent: k.KeepContent, used: new(atomic.Int64),
		},
		hash: k.Hash, oldHash: k.OldHash, expires: k.Expires, disabled: k.Disabled || k.Shut, stored: k.ManagedBy == ByAPI,
	}
	if len(k.Models) > 0 || k.Org == Platform {
		e.principal.models = make(map[string]struct{}, len(k.Models))
		for _, m := range k.Models {
			e.principal.models[m] = struct{}{}
		}
	}
	x.byHash[k.Hash], x.byID[k.ID] = entry{indexed: e}, e
	if !k.OldUntil.IsZero() {
		x.byHash[k.OldHash] = entry{e, k.OldUntil}
	}
	return e
}

// Lookup finds who calls with the key of this hash.
func (x *KeyIndex) Lookup(hash Hash, now time.Time) (*Principal, error) {
	e, ok := x.byHash[hash]
	switch {
	case !ok:
		return nil, ErrUnknownKey
	case !e.until.IsZero() && !now.Before(e.until):
		return nil, ErrKeyExpired
	}
	return e.open(now, x.stale)
}

// Resolve finds the principal of a stored identity again, as of now. A person who had signed in has no key: whether they still
// may is known where people are kept, and is asked there before.
func (x *KeyIndex) Resolve(id Identity, now time.Time) (*Principal, error) {
	if id.Key == "" && id.User != "" && id.Org != Platform {
		return &Principal{Identity: id, KeepContent: x.keeps[id.Org]}, nil
	}
	e, ok := x.byID[id.Key]
	if !ok {
		return nil, ErrUnknownKey
	}
	return e.open(now, x.stale)
}

func (e *indexed) open(now time.Time, stale bool) (*Principal, error) {
	switch {
	case e.disabled:
		return nil, ErrKeyDisabled
	case !e.expires.IsZero() && !now.Before(e.expires):
		return nil, ErrKeyExpired
	case stale && e.stored:
		return nil, ErrKeyStale
	}
	return &e.principal, nil
}

// Len is the number of keys.
func (x *KeyIndex) Len() int { return len(x.byID) }

// UsedSince gives the stored keys that were used after a time, with their last use.
func (x *KeyIndex) UsedSince(after time.Time) map[ID]time.Time {
	used := map[ID]time.Time{}
	for id, e := range x.byID {
		if at := e.principal.used.Load(); e.stored && at > max(0, after.Unix()) {
			used[id] = time.Unix(at, 0)
		}
	}
	return used
}
