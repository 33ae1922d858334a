package tenancy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"time"
)

// Why a key opens nothing. The data plane answers all of them with the same 401, so that a stranger learns
// nothing; the log tells them apart.
var (
	ErrUnknownKey  = errors.New("unknown key")
	ErrKeyDisabled = errors.New("key is disabled")
	ErrKeyExpired  = errors.New("key has expired")
)

// Hash is what is kept of a key: SHA-256 of the text that the caller sends. A key has 256 random bits, so
// a plain hash is enough and costs about 100 ns.
type Hash = [sha256.Size]byte

// HashKey hashes a key as it came from the wire.
func HashKey(key []byte) Hash { return sha256.Sum256(key) }

// APIKey is one virtual key.
type APIKey struct {
	ID, Org, Team, User ID
	Name                string
	Hash                Hash
	Models              []string  // public route names; empty: all
	Expires             time.Time // zero: never
	Disabled            bool
}

// KeyIndex finds the principal of a key, in memory and without a lock: it is immutable and is replaced as a
// whole with the snapshot.
type KeyIndex struct {
	byHash map[Hash]*entry
	byID   map[ID]*entry
}

type entry struct {
	principal Principal
	hash      Hash
	expires   time.Time
	disabled  bool
}

// NewKeyIndex indexes keys. Two keys with the same secret are a fault of the configuration.
func NewKeyIndex(keys []APIKey) (*KeyIndex, error) {
	x := &KeyIndex{make(map[Hash]*entry, len(keys)), make(map[ID]*entry, len(keys))}
	for i := range keys {
		k := &keys[i]
		if other, ok := x.byHash[k.Hash]; ok {
			return nil, fmt.Errorf("keys %s and %s are the same secret", other.principal.Key, k.ID)
		}
		x.put(k)
	}
	return x, nil
}

// With returns an index in which the changed keys replace those with the same id.
func (x *KeyIndex) With(changed []APIKey) *KeyIndex {
	y := &KeyIndex{maps.Clone(x.byHash), maps.Clone(x.byID)}
	for i := range changed {
		if old, ok := y.byID[changed[i].ID]; ok {
			delete(y.byHash, old.hash)
		}
		y.put(&changed[i])
	}
	return y
}

func (x *KeyIndex) put(k *APIKey) {
	e := &entry{
		principal: Principal{Identity: Identity{k.Org, k.Team, k.User, k.ID}, Name: k.Name},
		hash:      k.Hash, expires: k.Expires, disabled: k.Disabled,
	}
	if len(k.Models) > 0 {
		e.principal.models = make(map[string]struct{}, len(k.Models))
		for _, m := range k.Models {
			e.principal.models[m] = struct{}{}
		}
	}
	x.byHash[k.Hash], x.byID[k.ID] = e, e
}

// Lookup finds who calls with the key of this hash.
func (x *KeyIndex) Lookup(hash Hash, now time.Time) (*Principal, error) {
	return x.byHash[hash].open(now)
}

// Resolve finds the principal of a stored identity again, as of now.
func (x *KeyIndex) Resolve(id Identity, now time.Time) (*Principal, error) {
	return x.byID[id.Key].open(now)
}

func (e *entry) open(now time.Time) (*Principal, error) {
	switch {
	case e == nil:
		return nil, ErrUnknownKey
	case e.disabled:
		return nil, ErrKeyDisabled
	case !e.expires.IsZero() && !now.Before(e.expires):
		return nil, ErrKeyExpired
	}
	return &e.principal, nil
}

// Len is the number of keys.
func (x *KeyIndex) Len() int { return len(x.byHash) }
