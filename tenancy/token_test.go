package tenancy

import "testing"

func TestHideSecrets(t *testing.T) {
	t.Parallel()
	key, token := NewKeySecret().Reveal(), NewSessionToken().Reveal()
	for text, want := range map[string]string{
		"/api/keys/" + key + "/rotate":         "/api/keys/sk-vel-***/rotate",
		"/api/keys/" + key[:20]:                "/api/keys/sk-vel-***",
		"/api/users/" + token:                  "/api/users/vs-***",
		"/api/keys/key_0123456789abcdef":       "/api/keys/key_0123456789abcdef",
		"/api/teams/devs-0123456789":           "/api/teams/devs-0123456789",
		"/api/organizations/org:acme/sk-vel-x": "/api/organizations/org:acme/sk-vel-x",
	} {
		if got := HideSecrets(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
