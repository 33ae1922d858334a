package main

import (
	"context"

	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/gateway/upstream"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
)

// prober tries providers for the control plane, as they are managed: also those that are not in force.
type prober struct {
	pool     *upstream.Pool
	keyring  *secrets.Keyring
	defaults func() routing.DefaultsConfig
}

// Probe builds the provider alone and tries it.
func (p *prober) Probe(ctx context.Context, m *routing.ManagedProvider, model string) routing.Trial {
	provider, err := p.build(m)
	if err != nil {
		return routing.Trial{Key: routing.Finding{Verdict: routing.Fails, Message: "Nothing can be made of the provider: " + err.Error() + "."}}
	}
	return gateway.Probe(ctx, p.pool, provider, model)
}

func (p *prober) build(m *routing.ManagedProvider) (*routing.Provider, error) {
	key, err := m.Key(p.keyring)
	if err != nil {
		return nil, err
	}
	settings := m.Settings
	settings.APIKey = &key
	return build(m.Name, settings, p.defaults(), kinds())
}
