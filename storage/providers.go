package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Providers keeps providers; their keys come sealed and stay so. One that a route of the database names can not go.
func (db *DB) Providers() tenancy.Store[routing.ManagedProvider] { return db.providers() }

func (db *DB) providers() *table[routing.ManagedProvider, *routing.ManagedProvider] {
	return &table[routing.ManagedProvider, *routing.ManagedProvider]{
		db: db, name: "providers", prefix: "provider", followed: true, filters: []filter{byName},
		columns: []column[routing.ManagedProvider]{
			{name: "settings", open: true, at: func(p *routing.ManagedProvider) any { return settings{&p.Settings, &p.Problem} }},
			{name: "api_key", at: func(p *routing.ManagedProvider) any { return sealed{&p.Sealed} }},
			{name: "key_hint", open: true, at: func(p *routing.ManagedProvider) any { return &p.Hint }},
		},
		clear: func(ctx context.Context, t tx, _ int64, _ *trail, p *routing.ManagedProvider) error {
			var route string
			err := t.one(ctx, []any{&route}, `select name from routes where org_id = $1 and providers like $2 escape '!' and deleted_us = 0 order by name limit 1`,
				p.Org, listing(tenancy.ID(p.Name)))
			if err == nil {
				return &tenancy.InUse{By: "the route " + route}
			}
			if !errors.Is(err, tenancy.ErrNotFound) {
				return err
			}
			_, err = t.exec(ctx, `update providers set api_key = '', key_hint = '' where org_id = $1 and id = $2`, p.Org, p.ID) // its row stays
			return err
		},
	}
}

// Routes keeps routes. Whether the providers that they name exist is asked before: some stand in the file.
func (db *DB) Routes() tenancy.Store[routing.ManagedRoute] { return db.routes() }

func (db *DB) routes() *table[routing.ManagedRoute, *routing.ManagedRoute] {
	return &table[routing.ManagedRoute, *routing.ManagedRoute]{
		db: db, name: "routes", prefix: "route", followed: true, filters: []filter{byName},
		columns: []column[routing.ManagedRoute]{
			{name: "settings", open: true, at: func(r *routing.ManagedRoute) any { return settings{&r.Settings, &r.Problem} }},
			{name: "providers", open: true, at: func(r *routing.ManagedRoute) any { return named{&r.Settings} }},
		},
	}
}

// settings are those of a provider or a route as JSON. What can not be read is a problem of that object and of no other.
type settings struct {
	of      any
	problem *string
}

func (s settings) Value() (driver.Value, error) {
	text, err := routing.EncodeSettings(s.of)
	return string(text), err
}

// MarshalJSON is for the audit log.
func (s settings) MarshalJSON() ([]byte, error) { return routing.EncodeSettings(s.of) }

func (s settings) Scan(src any) error {
	text, err := text(src)
	if err != nil {
		return err
	}
	*s.problem = ""
	switch of := s.of.(type) {
	case *routing.ProviderConfig:
		*of = routing.ProviderConfig{}
	case *routing.ModelConfig:
		*of = routing.ModelConfig{}
	default:
		return fmt.Errorf("%T has no settings", s.of)
	}
	if err := routing.DecodeSettings([]byte(text), s.of); err != nil {
		*s.problem = "this version can not read its settings; a newer one has written them"
	}
	return nil
}

// sealed is a text that a keyring has sealed.
type sealed struct{ of *secrets.Secret }

func (s sealed) Value() (driver.Value, error) { return s.of.Reveal(), nil }

func (s sealed) Scan(src any) error {
	text, err := text(src)
	*s.of = secrets.New(text)
	return err
}

// named are the names of the providers that a route's targets use, to be found by; they are only written.
type named struct{ in *routing.ModelConfig }

func (n named) Value() (driver.Value, error) {
	var names []string
	for i := range n.in.Targets {
		names = append(names, n.in.Targets[i].Provider)
	}
	return list[string]{&names}.Value()
}

// MarshalJSON is for the audit log.
func (n named) MarshalJSON() ([]byte, error) {
	text, err := n.Value()
	if err != nil {
		return nil, err
	}
	return []byte(text.(string)), nil
}

func (named) Scan(any) error { return nil }
