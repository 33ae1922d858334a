package routing

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Providers and routes as people manage them: the file declares some, the database keeps others. They belong to the
// platform, whoever may use them.

// ManagedProvider is a provider with its settings. Where the file declares it, its key is among them; where the
// database keeps it, the key is sealed and lies apart.
type ManagedProvider struct {
	tenancy.Meta
	Settings ProviderConfig
	Sealed   secrets.Secret // the key as a keyring sealed it; no secret: there is no key
	Hint     string         // the end of a long key, by which people know it again
	Problem  string         // why nothing can be made of what is kept; empty: it can be read
}

// ManagedRoute is a public model name and where its calls go.
type ManagedRoute struct {
	tenancy.Meta
	Settings ModelConfig
	Problem  string // as a provider's
}

// idForm are names that can be part of an id as they are.
var idForm = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,128}$`)

// declaredID is the id of what stands under a name in the file, equal on every node.
func declaredID(kind, name string) tenancy.ID {
	if !idForm.MatchString(name) {
		sum := sha256.Sum256([]byte(name))
		name = hex.EncodeToString(sum[:16])
	}
	return tenancy.ID(kind + ":" + name)
}

// ManagedProviders are the providers of a configuration, by whom it is said, in the order of their ids.
func (c *Config) ManagedProviders(by tenancy.Manager) []ManagedProvider {
	list := make([]ManagedProvider, 0, len(c.Providers))
	for name, p := range c.Providers {
		m := ManagedProvider{Meta: declared("provider", name, by), Settings: p}
		if p.APIKey != nil {
			m.Hint = hint(*p.APIKey)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b ManagedProvider) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// ManagedRoutes are the routes of a configuration, by whom it is said, in the order of their ids.
func (c *Config) ManagedRoutes(by tenancy.Manager) []ManagedRoute {
	list := make([]ManagedRoute, 0, len(c.Models))
	for name, m := range c.Models {
		list = append(list, ManagedRoute{Meta: declared("route", name, by), Settings: m})
	}
	slices.SortFunc(list, func(a, b ManagedRoute) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func declared(kind, name string, by tenancy.Manager) tenancy.Meta {
	return tenancy.Meta{ID: declaredID(kind, name), Org: tenancy.Platform, Name: name, ManagedBy: by}
}

// place is what the sealed key of a provider is bound to: elsewhere it does not open.
func (p *ManagedProvider) place() []string { return []string{"providers", string(p.ID), string(p.Org)} }

// SetKey seals a key for the provider, whose id is set; no secret takes the key away.
func (p *ManagedProvider) SetKey(with *secrets.Keyring, key secrets.Secret) {
	p.Sealed, p.Hint = secrets.Secret{}, hint(key)
	if !key.IsZero() {
		p.Sealed = secrets.New(with.Seal([]byte(key.Reveal()), p.place()...))
	}
}

// Key is the provider's key; no secret: it has none. The error wraps secrets.ErrSealed.
func (p *ManagedProvider) Key(with *secrets.Keyring) (secrets.Secret, error) {
	switch {
	case p.Settings.APIKey != nil:
		return *p.Settings.APIKey, nil
	case p.Sealed.IsZero():
		return secrets.Secret{}, nil
	}
	sealed := p.Sealed.Reveal()
	key, err := with.Open(sealed, p.place()...)
	if err != nil {
		return secrets.Secret{}, fmt.Errorf("its key was sealed with %s, and this node has %s: %w",
			secrets.SealedBy(sealed), strings.Join(with.IDs(), ", "), err)
	}
	return secrets.New(string(key)), nil
}

// HasKey tells whether the provider has a key, which this node may or may not be able to open.
func (p *ManagedProvider) HasKey() bool {
	return !p.Sealed.IsZero() || p.Settings.APIKey != nil && !p.Settings.APIKey.IsZero()
}

// hint is the end of a key that is so long that its end tells little.
func hint(key secrets.Secret) string {
	const long, shown = 20, 4
	if text := key.Reveal(); len(text) > long {
		return text[len(text)-shown:]
	}
	return ""
}

// Validate reports every fault as Config.Validate would, and what can not be enforced yet; a field is its path within the
// provider, or name. Whether there is a key is not asked.
func (p *ManagedProvider) Validate(fault func(field, problem, hint string)) {
	settings := p.Settings
	if settings.APIKey == nil {
		settings.APIKey = &secrets.Secret{}
	}
	cfg := Config{Providers: map[string]ProviderConfig{p.Name: settings}}
	k := checker{&cfg, within("providers."+p.Name, fault)}
	k.provider("providers."+p.Name, p.Name, &settings)
}

// Validate reports every fault as Config.Validate would, and what can not be enforced yet; a field is its path within the
// route, or name. providers are the names that targets may use, others the models that rules may lead to.
func (r *ManagedRoute) Validate(providers []string, others map[string]ModelConfig, fault func(field, problem, hint string)) {
	alone := map[string]ModelConfig{r.Name: r.Settings}
	cfg := Config{Models: maps.Clone(others), Providers: make(map[string]ProviderConfig, len(providers))}
	if cfg.Models == nil {
		cfg.Models = alone
	}
	cfg.Models[r.Name] = r.Settings
	for _, name := range providers {
		cfg.Providers[name] = ProviderConfig{}
	}
	k := checker{&cfg, within("models."+r.Name, fault)}
	k.model("models."+r.Name, r.Name, &r.Settings)
}

// Circular are the models whose rules lead back to themselves, in order: where nobody has looked at all models together, a
// call might never end.
func (c *Config) Circular() (names []string) {
	k := checker{cfg: c}
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		if k.leadsTo(name, name, map[string]bool{}) {
			names = append(names, name)
		}
	}
	return names
}

// within gives a way to report faults by their paths within one object.
func within(object string, fault func(field, problem, hint string)) func(path, problem, hint string) {
	return func(path, problem, hint string) {
		fault(cmp.Or(strings.TrimPrefix(strings.TrimPrefix(path, object), "."), "name"), problem, hint)
	}
}
