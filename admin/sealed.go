package admin

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// SealedStore knows what is sealed in the database.
type SealedStore interface {
	// SealedBy counts what each key has sealed, by the key's id.
	SealedBy(ctx context.Context) (map[string]int64, error)
	// Reseal seals with the keyring's first key what its other keys have sealed.
	Reseal(ctx context.Context, by tenancy.Actor, with *secrets.Keyring) (resealed, broken int64, err error)
}

// SecretKey is one key that has sealed something, or could.
type SecretKey struct {
	ID     string `json:"id" doc:"Made from the key, and tells nothing about it."`
	State  string `json:"state" enum:"current,old,missing" doc:"current: it seals. old: it opens what it has sealed. missing: the node that answers does not have it, and can not open what it has sealed."`
	Sealed int64  `json:"sealed" doc:"How many secrets in the database it has sealed."`
}

// Secrets says with which keys the secrets in the database are sealed.
type Secrets struct {
	Keys []SecretKey `json:"keys" nullable:"false" doc:"The current one first."`
}

// Rotation is what a rotation has done.
type Rotation struct {
	Resealed int64 `json:"resealed" doc:"How many secrets were sealed anew."`
	Broken   int64 `json:"broken" doc:"How many do not open although their key is there: they were changed by somebody else."`
	Secrets
}

type secretsInput struct{ Asked }

type secretsOutput struct{ Body Secrets }

type rotationOutput struct{ Body Rotation }

// rotationTurn is how long one request works on a rotation.
const rotationTurn = 15 * time.Second

func (s *Server) serveSecrets() {
	add(s, huma.Operation{
		OperationID: "get-secrets", Method: http.MethodGet, Path: "/api/secrets", Tags: []string{"Secrets"},
		Summary: "Count sealed secrets", Description: "By the key that has sealed them.",
	}, func(ctx context.Context, _ *secretsInput) (*secretsOutput, error) {
		found, err := s.countSecrets(ctx)
		return &secretsOutput{found}, err
	})
	add(s, huma.Operation{
		OperationID: "rotate-secrets", Method: http.MethodPost, Path: "/api/secrets/rotate", Tags: []string{"Secrets"},
		Summary: "Rotate secrets", Description: "Seals anew, with VEL_SECRET_KEY, what the keys of VEL_SECRET_KEY_OLD have sealed. It ends after some seconds: make it again while there is something sealed with an old key.",
	}, func(ctx context.Context, in *secretsInput) (*rotationOutput, error) {
		var out rotationOutput
		var err error
		working, cancel := context.WithTimeout(ctx, rotationTurn)
		defer cancel()
		out.Body.Resealed, out.Body.Broken, err = s.Sealed.Reseal(working, in.ask.by, s.Keyring)
		if err != nil && (working.Err() == nil || out.Body.Resealed == 0) {
			return nil, err
		}
		out.Body.Secrets, err = s.countSecrets(ctx)
		return &out, err
	})
}

func (s *Server) countSecrets(ctx context.Context) (Secrets, error) {
	counts, err := s.Sealed.SealedBy(ctx)
	list := Secrets{Keys: []SecretKey{}}
	for i, id := range s.Keyring.IDs() {
		state := "old"
		if i == 0 {
			state = "current"
		}
		list.Keys = append(list.Keys, SecretKey{id, state, counts[id]})
		delete(counts, id)
	}
	known := len(list.Keys)
	for id, n := range counts {
		list.Keys = append(list.Keys, SecretKey{id, "missing", n})
	}
	slices.SortFunc(list.Keys[known:], func(a, b SecretKey) int { return cmp.Compare(a.ID, b.ID) })
	return list, err
}
