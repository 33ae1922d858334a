package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// shortestSeed is the length in characters below which what a keyring is made of could be guessed.
const shortestSeed = 32

// ErrSealed says that a text can not be opened: no key of the keyring sealed it for this place.
var ErrSealed = errors.New("no key of the keyring sealed this text for this place")

// Keyring seals what must lie in a database and be read again, by AES-256-GCM. The first key seals, all of them open.
// It is immutable and safe for concurrent use.
//
//	sealed text   ID.BASE64URL(nonce, ciphertext, tag)
//	ID            8 hex digits that say which key it was
//	bound to      the place where it lies, such as table, row and organization: elsewhere it does not open
type Keyring struct{ keys []ringKey }

type ringKey struct {
	id   string
	aead cipher.AEAD
	mac  []byte
	sign ed25519.PrivateKey
}

// NewKeyring makes a keyring of the secrets that operators give, at least 32 characters each, the current one first.
func NewKeyring(seeds ...Secret) (*Keyring, error) {
	if len(seeds) == 0 {
		return nil, errors.New("a keyring needs a key")
	}
	k := &Keyring{}
	for _, seed := range seeds {
		if len(seed.Reveal()) < shortestSeed {
			return nil, fmt.Errorf("a key of the keyring has fewer than %d characters", shortestSeed)
		}
		key, err := newRingKey(seed)
		if err != nil {
			return nil, err
		}
		if known, _ := k.find(key.id); known == nil { // the same key twice is one
			k.keys = append(k.keys, key)
		}
	}
	return k, nil
}

func newRingKey(seed Secret) (ringKey, error) {
	derived := map[string][]byte{}
	for _, use := range []string{"id", "seal", "mark", "sign"} {
		key, err := hkdf.Key(sha256.New, []byte(seed.Reveal()), nil, "vel "+use, 32)
		if err != nil {
			return ringKey{}, fmt.Errorf("derive a key: %w", err)
		}
		derived[use] = key
	}
	block, err := aes.NewCipher(derived["seal"])
	if err != nil {
		return ringKey{}, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return ringKey{}, fmt.Errorf("make a cipher: %w", err)
	}
	return ringKey{hex.EncodeToString(derived["id"][:4]), aead, derived["mark"], ed25519.NewKeyFromSeed(derived["sign"])}, nil
}

// IDs are those of the keys, the one that seals first. They tell nothing about the keys.
func (k *Keyring) IDs() []string {
	ids := make([]string, len(k.keys))
	for i := range k.keys {
		ids[i] = k.keys[i].id
	}
	return ids
}

// SealedBy is the id of the key that a sealed text says it was sealed with.
func SealedBy(sealed string) string {
	id, _, _ := strings.Cut(sealed, ".")
	return id
}

// Seal encrypts text for a place.
func (k *Keyring) Seal(text []byte, place ...string) string {
	key := &k.keys[0]
	return key.id + "." + base64.RawURLEncoding.EncodeToString(key.aead.Seal(nil, nil, text, bound(place)))
}

// Open decrypts what Seal made for the same place. The error is ErrSealed.
func (k *Keyring) Open(sealed string, place ...string) ([]byte, error) {
	key, rest := k.find(sealed)
	if key == nil {
		return nil, ErrSealed
	}
	text, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil {
		return nil, ErrSealed
	}
	text, err = key.aead.Open(nil, nil, text, bound(place))
	if err != nil {
		return nil, ErrSealed
	}
	return text, nil
}

// SigningKey signs what others must be able to check. Its public half is no secret; it changes with the current key.
func (k *Keyring) SigningKey() ed25519.PrivateKey { return k.keys[0].sign }

// Mark makes a short text by which data is known again and not found out, also if it could be guessed.
func (k *Keyring) Mark(data []byte) string { return k.keys[0].mark(data) }

// Marked tells whether Mark made the mark of this data. The error is ErrSealed: it was made by another keyring.
func (k *Keyring) Marked(mark string, data []byte) (bool, error) {
	key, _ := k.find(mark)
	if key == nil {
		return false, ErrSealed
	}
	return hmac.Equal([]byte(mark), []byte(key.mark(data))), nil
}

func (k *ringKey) mark(data []byte) string {
	mac := hmac.New(sha256.New, k.mac)
	_, _ = mac.Write(data) // it never fails
	return k.id + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (k *Keyring) find(text string) (key *ringKey, rest string) {
	id, rest, _ := strings.Cut(text, ".")
	for i := range k.keys {
		if k.keys[i].id == id {
			return &k.keys[i], rest
		}
	}
	return nil, ""
}

// bound joins the parts of a place so that no two places are the same bytes.
func bound(place []string) []byte {
	var b []byte
	for _, part := range place {
		b = append(b, part...)
		b = append(b, 0) // no id and no name of a table has one
	}
	return b
}
