package issuer

import (
	"crypto/rand"

	"golang.org/x/oauth2"
)

// Flow is what must be known of a sign-on between its two halves. Whoever keeps it keeps it secret.
type Flow struct {
	State    string `json:"state"`    // comes back with the code: it is the answer to our question
	Nonce    string `json:"nonce"`    // stands in the ID token: it was made for this sign-on
	Verifier string `json:"verifier"` // of PKCE: a code alone is worth nothing
}

// NewFlow makes one of random texts with at least 128 bits each.
func NewFlow() Flow {
	return Flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
}

// Challenge is what a verifier of PKCE is known by before it is shown: S256 of RFC 7636, section 4.2.
func Challenge(verifier string) string { return oauth2.S256ChallengeFromVerifier(verifier) }
