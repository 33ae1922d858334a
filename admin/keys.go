package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Key is what the API shows of a virtual key.
type Key struct {
	Object
	Team     *tenancy.ID `json:"team" doc:"The team that it belongs to."`
	User     *tenancy.ID `json:"user" doc:"The user that it belongs to."`
	Models   []string    `json:"models" nullable:"false" doc:"The public model names that it may use; none listed: all."`
	Role     *tenancy.ID `json:"role" doc:"What it may do in this API; null: nothing."`
	Expires  *time.Time  `json:"expires" doc:"When it stops working; null: never."`
	Disabled bool        `json:"disabled" doc:"It is kept but opens nothing."`
	OldUntil *time.Time  `json:"old_secret_until" doc:"Until when the secret before the last rotation works too."`
	LastUsed *time.Time  `json:"last_used" doc:"To the minute; null: never."`
	Secret   string      `json:"secret,omitempty" doc:"What clients send. It is shown once, in the answer that made it, and stored nowhere."`
}

// KeyBody changes a key.
type KeyBody struct {
	Name     string     `json:"name" minLength:"1" maxLength:"64" doc:"For people; unique within the organization."`
	Team     Ref        `json:"team,omitempty" nullable:"true" doc:"The team that it belongs to."`
	User     Ref        `json:"user,omitempty" nullable:"true" doc:"The user that it belongs to."`
	Models   []string   `json:"models,omitempty" nullable:"true" maxItems:"200" minLength:"1" maxLength:"200" doc:"The public model names that it may use; none: all."`
	Role     Ref        `json:"role,omitempty" nullable:"true" doc:"What it may do in this API: at most what you may."`
	Expires  *time.Time `json:"expires,omitempty" nullable:"true" doc:"When it stops working; never if it is left out."`
	Disabled bool       `json:"disabled,omitempty" nullable:"true" doc:"It is kept but opens nothing."`
}

// NewKey makes a key.
type NewKey struct {
	NewIn
	KeyBody
	secret secrets.Secret
}

func (b *KeyBody) to(k *tenancy.APIKey) {
	k.Name, k.Team, k.User, k.Models, k.Role, k.Disabled = strings.TrimSpace(b.Name), tenancy.ID(b.Team), tenancy.ID(b.User), b.Models, tenancy.ID(b.Role), b.Disabled
	k.Expires = time.Time{}
	if b.Expires != nil {
		k.Expires = *b.Expires
		if k.Expires.IsZero() {
			k.Expires = time.Unix(0, 0) // a date as any other, which Validate refuses; zero would be never
		}
	}
}

// Resolve is called by huma when the body has been read.
func (b *KeyBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	var k tenancy.APIKey
	b.to(&k)
	return faultsAt(at, k.Validate)
}

// Resolve is called by huma when the body has been read.
func (b *NewKey) Resolve(ctx huma.Context, at *huma.PathBuffer) []error {
	var k tenancy.APIKey
	b.to(&k)
	return append(b.KeyBody.Resolve(ctx, at), faultsAt(at, func(fault func(string, string)) {
		k.ValidateExpiry(askingOf(ctx).now, fault)
	})...)
}

func viewKey(k *tenancy.APIKey) Key {
	return Key{
		Object: objectOf(&k.Meta), Team: idOf(k.Team), User: idOf(k.User), Models: append([]string{}, k.Models...), Role: idOf(k.Role),
		Expires: timeOf(k.Expires), Disabled: k.Disabled, OldUntil: timeOf(k.OldUntil), LastUsed: timeOf(k.LastUsed),
	}
}

func (s *Server) serveKeys() {
	r := resource[tenancy.APIKey, NewKey, KeyBody, Key]{
		s: s, one: "key", many: "keys", tag: "Keys", filters: []string{"organization", "name", "team", "user"},
		store: s.Keys, meta: func(k *tenancy.APIKey) *tenancy.Meta { return &k.Meta }, view: viewKey,
		guard: func(ctx context.Context, a *asking, k *tenancy.APIKey) error {
			may, err := s.allowed(ctx, k.Org, k.Role)
			if err != nil {
				return err
			}
			return outranked(a, may)
		},
		fill: func(ctx context.Context, a *asking, k *tenancy.APIKey, b *NewKey) error {
			b.secret = tenancy.NewKeySecret()
			b.to(k)
			k.Hash = tenancy.HashKey([]byte(b.secret.Reveal()))
			return s.grantsOne(ctx, a, k)
		},
		edit: func(ctx context.Context, a *asking, k *tenancy.APIKey, b *KeyBody) error {
			b.to(k)
			return s.grantsOne(ctx, a, k)
		},
		reveal: func(view *Key, b *NewKey) { view.Secret = b.secret.Reveal() },
		inBody: func(b *NewKey) Ref { return b.Organization },
	}
	r.register()
	add(s, huma.Operation{
		OperationID: "rotate-key", Method: http.MethodPost, Path: "/api/keys/{id}/rotate", Tags: []string{"Keys"},
		Summary: "Rotate key", Description: "Gives the key a new secret, which the answer shows once. The old one works for a while longer.",
	}, func(ctx context.Context, in *rotateInput) (*createOutput[Key], error) { return rotate(ctx, &r, in) },
		withBody(http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)...)
}

// grantsOne refuses a role of a key that allows more than the actor may.
func (s *Server) grantsOne(ctx context.Context, a *asking, k *tenancy.APIKey) error {
	if k.Role == "" {
		return nil
	}
	return s.grants(ctx, a, k.Org, "role", k.Role)
}

// RotateBody says how long the old secret goes on.
type RotateBody struct {
	OverlapSeconds *int64 `json:"overlap_seconds,omitempty" nullable:"true" minimum:"0" maximum:"2592000" doc:"How long the old secret works too: 24 hours if it is left out, at most 30 days."`
}

// overlap is how long the old secret of a key works if nothing is said.
const overlap = 24 * time.Hour

type rotateInput struct {
	Asked
	Item
	Conditional
	Idempotent
	Body *RotateBody
}

type keyResource = resource[tenancy.APIKey, NewKey, KeyBody, Key]

func rotate(ctx context.Context, r *keyResource, in *rotateInput) (*createOutput[Key], error) {
	return once(ctx, r.s, in.ask, in.IdempotencyKey, []any{"rotate", in.ID, in.Organization, in.Body}, func() (*createOutput[Key], error) {
		old := in.ask.now.Add(overlap)
		if in.Body != nil && in.Body.OverlapSeconds != nil {
			old = in.ask.now.Add(time.Duration(*in.Body.OverlapSeconds) * time.Second)
		}
		if !old.After(in.ask.now) {
			old = time.Time{} // it ends at once
		}
		secret := tenancy.NewKeySecret()
		var rotated tenancy.APIKey
		err := r.touch(ctx, in.ask, &in.Item, &in.Conditional, func(k *tenancy.APIKey) (err error) {
			rotated, err = r.s.Rotator.RotateKey(ctx, in.ask.by, k.Org, k.ID, k.Rev, tenancy.HashKey([]byte(secret.Reveal())), old)
			return err
		})
		if err != nil {
			return nil, err
		}
		out := &createOutput[Key]{ETag: etag(rotated.Rev), Body: viewKey(&rotated)}
		out.Body.Secret = secret.Reveal()
		return out, nil
	})
}
