package issuer

import (
	"fmt"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Identity is somebody for whom the issuer vouches.
type Identity struct {
	Issuer  string // the URL of the configuration
	Subject string // never changes, and never becomes another person's
	Email   string // empty unless the issuer says that it is theirs
	Name    string // may be empty
	claims  map[string]any
}

// identify reads a token that was verified.
func identify(issuer string, token *oidc.IDToken) (*Identity, error) {
	id := &Identity{Issuer: issuer, Subject: token.Subject}
	if err := token.Claims(&id.claims); err != nil {
		return nil, &Refused{fmt.Sprintf("the ID token has claims of a wrong form: %T", err)}
	}
	if id.vouched() {
		id.Email, _ = id.claims["email"].(string)
	}
	for _, claim := range []string{"name", "preferred_username"} {
		if name, _ := id.claims[claim].(string); id.Name == "" {
			id.Name = strings.TrimSpace(name)
		}
	}
	return id, nil
}

// vouched tells whether the address is known to be the person's: email_verified of OpenID Connect, which some issuers
// write as text, or xms_edov of Entra, which has no other.
func (id *Identity) vouched() bool {
	for _, claim := range []string{"email_verified", "xms_edov"} {
		switch v := id.claims[claim].(type) {
		case bool:
			if v {
				return true
			}
		case string:
			if v == "true" || claim == "xms_edov" && v == "1" {
				return true
			}
		}
	}
	return false
}

// mostWords bounds how many groups of a person are looked at.
const mostWords = 1000

// Words are the texts of a claim: one, or a list of them. The name may be a path through objects, such as
// realm_access.roles, if no claim has it as it stands.
func (id *Identity) Words(claim string) []string {
	switch v := id.find(claim).(type) {
	case string:
		return []string{v}
	case []any:
		var words []string
		for _, one := range v[:min(len(v), mostWords)] {
			if word, ok := one.(string); ok {
				words = append(words, word)
			}
		}
		return words
	}
	return nil
}

func (id *Identity) find(claim string) any {
	if v, ok := id.claims[claim]; ok {
		return v
	}
	var at any = id.claims
	for step := range strings.SplitSeq(claim, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[step]
	}
	return at
}
