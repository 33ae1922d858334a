package admin

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Provider is what the API shows of one, with the settings of the file beside what stands here. Its key leaves in no form.
type Provider struct {
	Object
	HasKey   bool                   `json:"has_key" doc:"It has a key. One that was never given, or was taken away, leaves its targets out."`
	KeyHint  *string                `json:"key_hint" doc:"The last characters of a long key; null: none is shown."`
	Problem  *string                `json:"problem" doc:"What keeps it from being in force on the node that answers; null: nothing."`
	Settings routing.ProviderConfig `json:"-"`
}

// TransformSchema adds the settings.
func (Provider) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s = withSettings[routing.ProviderConfig](s)
	delete(s.Properties, "api_key")
	return s
}

// MarshalJSON encodes the provider without its key.
func (p Provider) MarshalJSON() ([]byte, error) {
	type head Provider
	return joinSettings(head(p), &p.Settings)
}

// UnmarshalJSON decodes it.
func (p *Provider) UnmarshalJSON(text []byte) error {
	type head Provider
	_, err := splitSettings(text, (*head)(p), &p.Settings)
	return err
}

// ProviderBody makes or changes a provider, with the settings of the file beside what stands here.
type ProviderBody struct {
	Name     string                 `json:"name" minLength:"1" maxLength:"64" doc:"What routes call it: letters, digits, dots, dashes and underscores. It never changes."`
	APIKey   sentKey                `json:"api_key,omitzero" doc:"The key itself. Left out of a change that sends it nowhere else, it stays; null takes it away; the word none is for a server that wants no key."`
	Settings routing.ProviderConfig `json:"-"`
	empty    []string               // settings that are null
}

// TransformSchema adds the settings.
func (ProviderBody) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return withSettings[routing.ProviderConfig](s)
}

// MarshalJSON encodes the body as it came.
func (b ProviderBody) MarshalJSON() ([]byte, error) {
	type head ProviderBody
	return joinSettings(head(b), &b.Settings)
}

// UnmarshalJSON decodes it.
func (b *ProviderBody) UnmarshalJSON(text []byte) (err error) {
	type head ProviderBody
	b.empty, err = splitSettings(text, (*head)(b), &b.Settings)
	return err
}

// Resolve is called by huma when the body has been read.
func (b *ProviderBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	p := routing.ManagedProvider{Meta: tenancy.Meta{Name: b.Name}, Settings: b.Settings}
	if b.APIKey.sent {
		p.Settings.APIKey = &b.APIKey.key
	}
	return faultsAt(at, func(fault func(field, problem string)) {
		p.Validate(func(field, problem, hint string) {
			if field == "name" && b.Name == "" {
				fault(field, tenancy.Empty)
				return
			}
			fault(field, problem+"; "+hint)
		})
		if problem := b.APIKey.problem(); problem != "" {
			fault("api_key", problem)
		}
		for _, field := range b.empty {
			fault(field, isNull)
		}
	})
}

type providerResource = resource[routing.ManagedProvider, ProviderBody, ProviderBody, Provider]

// ofPlatform is the organization of what belongs to the house.
func ofPlatform(*asking, tenancy.ID) (tenancy.ID, error) { return tenancy.Platform, nil }

func (s *Server) serveProviders() {
	r := providerResource{
		s: s, one: "provider", many: "providers", tag: "Providers", filters: []string{"name"},
		store: s.ProviderStore, meta: func(p *routing.ManagedProvider) *tenancy.Meta { return &p.Meta }, view: s.viewProvider, org: ofPlatform,
		fill: func(ctx context.Context, _ *asking, p *routing.ManagedProvider, b *ProviderBody) error {
			p.ID, p.Name, p.Settings = tenancy.NewID("provider"), b.Name, b.Settings
			if !b.APIKey.sent {
				return faulty(Fault{"body.api_key", "is missing; null is for a key that comes later, the word none for a server that wants no key"})
			}
			p.SetKey(s.Keyring, b.APIKey.key)
			return s.areOrganizations(ctx, &p.Settings)
		},
		edit: func(ctx context.Context, _ *asking, p *routing.ManagedProvider, b *ProviderBody) error {
			if b.Name != p.Name {
				return faulty(Fault{"body.name", "can not change: routes and what the provider keeps go by it"})
			}
			if !b.APIKey.sent && !p.Sealed.IsZero() && !sameWay(&p.Settings, &b.Settings) {
				return faulty(Fault{"body.api_key", "is missing; where kind, base_url, proxy or tls change it is sent again: nobody who does not know it sends it elsewhere"})
			}
			p.Settings = b.Settings
			if b.APIKey.sent {
				p.SetKey(s.Keyring, b.APIKey.key)
			}
			return s.areOrganizations(ctx, &p.Settings)
		},
	}
	r.register()
	add(s, huma.Operation{
		OperationID: "test-provider", Method: http.MethodPost, Path: "/api/providers/{id}/test", Tags: []string{"Providers"},
		Summary:     "Test provider",
		Description: "Asks the provider for its list of models, which costs nothing, and, if a model is named, for a few words of it. It works for those of the configuration file, too. The answer is a 200 whatever is found out.",
	}, func(ctx context.Context, in *testInput) (*testOutput, error) { return test(ctx, &r, in) }, withBody(http.StatusNotFound)...)
}

// sameWay tells whether a key goes to the same place by the same way with both settings.
func sameWay(a, b *routing.ProviderConfig) bool {
	return a.Kind == b.Kind && a.BaseURL == b.BaseURL && a.Proxy == b.Proxy && a.TLS == b.TLS
}

// areOrganizations refuses ids that are those of no organization.
func (s *Server) areOrganizations(ctx context.Context, of *routing.ProviderConfig) error {
	named := map[string]tenancy.ID{}
	for i, id := range of.Organizations {
		named["organizations["+strconv.Itoa(i)+"]"] = id
	}
	for model, price := range of.Prices {
		for id := range price.Organizations {
			named["prices."+model+".organizations."+string(id)] = id
		}
	}
	var faults []Fault
	for _, at := range slices.Sorted(maps.Keys(named)) {
		if _, err := s.Orgs.Get(ctx, named[at], named[at]); errors.Is(err, tenancy.ErrNotFound) {
			faults = append(faults, Fault{"body." + at, "there is no such organization; send its id"})
		} else if err != nil {
			return err
		}
	}
	if len(faults) > 0 {
		return faulty(faults...)
	}
	return nil
}

func (s *Server) viewProvider(p *routing.ManagedProvider) Provider {
	return Provider{
		Object: objectOf(&p.Meta), HasKey: p.HasKey(), KeyHint: textOf(p.Hint), Problem: textOf(s.problemOf(&p.Meta, p.Problem)), Settings: p.Settings,
	}
}

// problemOf is what is wrong with an object of the database.
func (s *Server) problemOf(m *tenancy.Meta, read string) string {
	if read != "" || m.ManagedBy != tenancy.ByAPI {
		return read
	}
	return s.Problem(m.ID)
}

// textOf is a text as the API shows it: null for none.
func textOf(text string) *string {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	return &text
}

type testInput struct {
	Asked
	ID   Ref `path:"id" doc:"The provider's id."`
	Body *TestBody
}

// TestBody says what to try.
type TestBody struct {
	Model string `json:"model,omitempty" nullable:"true" maxLength:"256" doc:"The provider's name of a model that chats or embeds: a call of a few tokens is made. Without it only the key is tried."`
}

// Test is what a try of a provider found out.
type Test struct {
	OK    bool     `json:"ok" doc:"Nothing that was tried fails."`
	Key   Finding  `json:"key" doc:"Whether the provider takes the key."`
	Model *Finding `json:"model,omitempty" doc:"Whether it answers for the model; left out if none was named."`
}

// Finding is how one request ended.
type Finding struct {
	Verdict string  `json:"verdict" enum:"works,fails,unproven,not_tried" doc:"unproven: it was answered, and would have been whatever the key."`
	Class   *string `json:"class" doc:"The class of the failure, as in the log: credential, rate_limit, quota, timeout, overloaded, server, connect, reset, garbage, invalid."`
	Status  *int    `json:"status" doc:"The status of the provider's answer; null: there was none."`
	Message string  `json:"message" doc:"What it means."`
	Said    *string `json:"provider_says" doc:"The provider's own words, or those of the network, without the key."`
	Latency float64 `json:"latency_ms" doc:"With a new connection, to the end of the answer."`
}

type testOutput struct{ Body Test }

func test(ctx context.Context, r *providerResource, in *testInput) (*testOutput, error) {
	p, err := r.store.Get(ctx, tenancy.Platform, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	model := ""
	if in.Body != nil {
		model = in.Body.Model
	}
	t := r.s.Prober.Probe(ctx, &p, model)
	out := &testOutput{Test{OK: t.Key.Verdict != routing.Fails && t.Model.Verdict != routing.Fails, Key: viewFinding(&t.Key)}}
	if model != "" {
		f := viewFinding(&t.Model)
		out.Body.Model = &f
	}
	return out, nil
}

func viewFinding(f *routing.Finding) Finding {
	v := Finding{Verdict: f.Verdict.String(), Message: f.Message, Said: textOf(f.Said), Latency: float64(f.Took/time.Microsecond) / 1000}
	if f.Class != 0 {
		class := f.Class.String()
		v.Class = &class
	}
	if f.Status != 0 {
		v.Status = &f.Status
	}
	return v
}
