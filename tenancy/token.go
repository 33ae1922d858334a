package tenancy

import (
	"crypto/rand"
	"encoding/base64"
	"regexp"
	"strings"

	"github.com/vel-gateway/vel/secrets"
)

// How the secrets that Vel makes begin, so that people and scanners of source code know them.
const (
	sessionPrefix = "vs-"
	keyPrefix     = "sk-vel-"
)

// NewSessionToken makes the token of a session: 256 random bits, vs- and 43 characters. Only its HashKey is kept.
func NewSessionToken() secrets.Secret { return randomSecret(sessionPrefix) }

// NewKeySecret makes the secret of a key: 256 random bits, sk-vel- and 43 characters. Only its HashKey is kept.
func NewKeySecret() secrets.Secret { return randomSecret(keyPrefix) }

// secretForm is what the secrets that Vel makes look like, whole or cut.
var secretForm = regexp.MustCompile(`\b(` + sessionPrefix + `|` + keyPrefix + `)[A-Za-z0-9_-]{8,}`)

// HideSecrets is text without what looks like a secret that Vel has made: people take a key's secret for its id.
func HideSecrets(text string) string { return secretForm.ReplaceAllString(text, "$1***") }

// IsSessionToken tells whether a credential is that of a session, and not a key.
func IsSessionToken(credential string) bool { return strings.HasPrefix(credential, sessionPrefix) }

func randomSecret(prefix string) secrets.Secret {
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	return secrets.New(prefix + base64.RawURLEncoding.EncodeToString(random[:]))
}
