// Package secrets keeps secrets secret: a value that prints as ***, and a redactor that takes every
// configured secret out of text that is about to leave the process.
//
// It owns how a secret is shown. It does not own where secrets come from (package config) or who may
// use them (the rooms above).
package secrets

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"unsafe"
)

// mask stands wherever a secret would have been printed.
const mask = "***"

// Secret is a string that no formatting verb, logger or encoder reveals. Only Reveal gives the value, so
// that a search for it finds every place where a secret is used.
//
// Inside it is a pointer, because a verb that fmt finds wrong (%p) prints a struct's fields past its methods.
type Secret struct{ value *string }

// New wraps a value. The empty string means "no secret".
func New(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal returns the value itself, to be written to a provider and nowhere else.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// Mask overwrites the secret wherever it stands in p, with as many stars as it has bytes: what was said of p's
// length stays true. A secret that is too short to be told from other text is left alone.
func (s Secret) Mask(p []byte) {
	if s.value == nil || len(*s.value) < shortest {
		return
	}
	secret := unsafe.Slice(unsafe.StringData(*s.value), len(*s.value)) // only compared
	for {
		i := bytes.Index(p, secret)
		if i < 0 {
			return
		}
		for j := range secret {
			p[i+j] = '*'
		}
		p = p[i+len(secret):]
	}
}

// Equal tells whether two secrets have the same value, in a time that says nothing about it.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.value == nil }

// String returns the mask, or nothing for an empty secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return mask
}

// GoString masks the secret for %#v.
func (s Secret) GoString() string { return "secrets.New(" + mask + ")" }

// Format masks the secret for every verb, %x and %q included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText masks the secret in JSON, YAML and every other text encoding.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue masks the secret in slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
