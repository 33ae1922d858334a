package chain

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Key is what verifies signatures: an Ed25519 public key in base64. It is no secret.
type Key string

// ParseKey reads a key that a person gives.
func ParseKey(text string) (Key, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return "", fmt.Errorf("%q is no key: it is %d bytes in base64", text, ed25519.PublicKeySize)
	}
	return Key(text), nil
}

// verifies tells whether a signature is one of this text by the key.
func (k Key) verifies(text []byte, signature string) bool {
	key, err := base64.StdEncoding.DecodeString(string(k))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return false
	}
	raw, err := base64.StdEncoding.DecodeString(signature)
	return err == nil && ed25519.Verify(key, text, raw)
}

// Signer signs heads, checkpoints and exports.
type Signer struct{ key ed25519.PrivateKey }

// NewSigner signs with a private key.
func NewSigner(key ed25519.PrivateKey) Signer { return Signer{key} }

// Key is what verifies what the signer signs.
func (s Signer) Key() Key {
	return Key(base64.StdEncoding.EncodeToString(s.key.Public().(ed25519.PublicKey)))
}

func (s Signer) sign(text []byte) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, text))
}

// Checkpoint says, signed, how far a chain has come. The head of a chain is one, and so are those that are kept.
type Checkpoint struct {
	Org       tenancy.ID
	Number    int64     // how many were kept up to this one, itself among them if it was; so those that are kept count from 1
	Time      time.Time // when it was signed
	Seal      int64     // the number of the last seal
	Hash      string    // of the last seal
	KeptFrom  time.Time // the beginning of the first day whose events are kept; zero: none was removed
	Key       Key
	Signature string
}

func (c *Checkpoint) text() []byte {
	return text(domainCheckpoint, string(c.Org), number(c.Number), moment(c.Time), number(c.Seal), c.Hash, moment(c.KeptFrom), string(c.Key))
}

// Sign signs a checkpoint as it is now.
func (s Signer) Sign(c *Checkpoint, now time.Time) {
	c.Time, c.Key = now.UTC().Truncate(time.Microsecond), s.Key()
	c.Signature = s.sign(c.text())
}

// signed tells whether the signature is that of the key it names.
func (c *Checkpoint) signed() bool { return c.Key.verifies(c.text(), c.Signature) }
