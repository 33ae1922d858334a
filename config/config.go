// Package config turns one file and the environment into a checked Config, or into one error that lists every
// fault with its path, its line and what to do about it.
//
// Every room owns the struct of its part, its defaults and its checks; this package composes them, joins what
// one block says to several rooms, and names the parts that are written but not enforced yet. It starts
// nothing and publishes nothing: who loads again on a change decides what becomes of the result.
//
//	vel.yaml ──▶ tree ◀── VEL__…, DATABASE_URL, REDIS_URL
//	              │ decode: strict, keeps going
//	              ▼
//	            file ──▶ well-known providers, PORT ──▶ Validate of every room ──▶ Config, or Faults
package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/admin"
	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"

	"go.yaml.in/yaml/v3"
)

// Config is what one file and the environment say, checked. It is not changed after Load, but for the base
// URL of the simulated provider, which is known only once the simulator listens.
type Config struct {
	Path      string // of the file; empty: there is none
	Gateway   gateway.Config
	Routing   routing.Config // Organizations of a provider hold ids
	Tenancy   tenancy.Config
	SignOn    admin.OIDC
	Database  Database
	Redis     secrets.Secret // its URLs, separated by commas; no secret: there is none
	Direct    secrets.Secret // Postgres without the pooler; no secret: there is none
	MaxAge    time.Duration  // how long keys of the database are believed while it is away
	Retention Retention
	Tasks     tasks.Config
	Webhooks  tasks.WebhookConfig
	Spool     Spool
	Cache     Cache
	SecretKey secrets.Secret   // what encrypts secrets at rest; no secret: it is not set
	OldKeys   []secrets.Secret // what else may have encrypted them
	AdminKey  secrets.Secret   // what opens the control plane to whoever runs the house; no secret: it is not set
	Log       Log
	OTel      OTel
	Offered   []string // models that well-known providers have and the file does not name
	Simulated bool     // no provider is configured: the routes of SimulatorProvider exist instead

	Secrets     []secrets.Secret // every one that was read, for the redactor
	Warnings    []Notice         // what does not prevent a start
	NotEnforced []Part           // what is written but would be ignored: a start is refused
	Accepted    []Part           // what is written and has no effect yet that anybody could miss: listed at a start
}

// Load reads the file at path and the environment, as os.Environ gives it. Without a path there is no file.
// The error is Faults unless the file can not be read at all.
func Load(path string, environ []string) (*Config, error) {
	var text []byte
	if path != "" {
		var err error
		if text, err = readBounded(path, maxFile); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	return parse(path, text, newEnvironment(environ))
}

func parse(path string, text []byte, env environment) (*Config, error) {
	d := &decoder{name: path, env: env, from: map[*yaml.Node]string{}, at: map[string]*yaml.Node{}}
	root, err := parseTree(text)
	if err != nil {
		return nil, Faults{syntaxFault(path, err)}
	}
	if root.Kind == yaml.MappingNode {
		env.overlay(root, d.from)
	}
	f := defaults()
	d.decode(root, "", reflect.ValueOf(&f).Elem())
	d.port(&f)
	simulated := d.wellKnown(&f.Routing)
	c := &Config{
		Path: path, Gateway: f.Config, Routing: f.Routing, Tenancy: f.Tenancy, SignOn: f.Admin.OIDC, Database: f.Database, MaxAge: f.SnapshotMaxAge,
		Retention: f.Retention, Tasks: f.Tasks, Webhooks: f.Webhooks, Log: f.Log, OTel: f.OTel, Simulated: simulated, Offered: d.offered,
		SecretKey: d.variable("VEL_SECRET_KEY", 32), OldKeys: d.variables("VEL_SECRET_KEY_OLD", 32), AdminKey: d.variable("VEL_ADMIN_KEY", 24),
	}
	c.Gateway.AdminListen = f.Admin.Listen
	c.Redis = f.Redis.URLs()
	c.Direct, _ = f.DatabaseDirect.Postgres()
	c.Spool, c.Cache = d.spool(&f), f.Cache
	d.validate(&f, c)
	if len(d.faults) > 0 {
		d.faults.sort()
		return nil, d.faults
	}
	ownProviders(c.Routing.Providers)
	c.Secrets = append(d.secrets, passwords(f.Database.url, c.Direct, f.Redis.urls, f.Cache.Redis.urls)...)
	c.NotEnforced, c.Accepted = d.parts(&f)
	c.Warnings = d.warnings
	return c, nil
}

// syntaxFault is the only fault of a file that is no YAML: nothing in it can be told apart.
func syntaxFault(path string, err error) Fault {
	f := Fault{File: path, Problem: strings.TrimPrefix(err.Error(), "yaml: "), Hint: "check colons, quotes and indentation there"}
	if errors.Is(err, errDocuments) {
		f.Hint = "remove what follows the line ---"
	}
	return f
}

// port lets PORT replace the port of listen, and only that. An address that is none is left to Validate.
func (d *decoder) port(f *file) {
	if d.env["PORT"] == "" {
		return
	}
	listen, ok := withPort(f.Listen, d.env["PORT"])
	if !ok {
		return
	}
	f.Listen = listen
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: listen}
	d.from[n], d.at["listen"] = "PORT", n
}

// spool lies beside a SQLite file unless it is said where: what a node must keep is in one directory.
func (d *decoder) spool(f *file) Spool {
	s := f.Spool
	if path, ok := f.Database.SQLite(); ok && d.at["spool.dir"] == nil {
		s.Dir = filepath.Join(filepath.Dir(path), "spool")
	}
	return s
}

// validate lets every room check its part and then checks what two rooms say about each other. What can not
// be decoded is not complained of twice.
func (d *decoder) validate(f *file, c *Config) {
	decoded := make(map[string]bool, len(d.faults))
	for _, f := range d.faults {
		decoded[f.Path] = f.Path != ""
	}
	fault := func(path, problem, hint string) {
		for at := path; at != ""; at = above(at) {
			if decoded[at] {
				return
			}
		}
		d.fault(path, d.nearest(path), problem, hint)
	}
	c.Gateway.Validate(fault)
	f.validate(fault)
	c.Routing.Validate(fault)
	c.Tenancy.Validate(fault)
	c.validateJoins(fault)
}

// nearest is the value at a path, or the block around it that is written.
func (d *decoder) nearest(path string) *yaml.Node {
	for at := path; at != ""; at = above(at) {
		if n, ok := d.at[at]; ok {
			return n
		}
	}
	return d.at[""]
}

// above is the path without its last step. A name with dots has more steps than blocks; those in between are
// nowhere written, so nothing is found at them.
func above(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// validateJoins checks the names by which one room's part refers to another's.
func (c *Config) validateJoins(fault func(path, problem, hint string)) {
	orgs := slices.Sorted(maps.Keys(c.Tenancy.Organizations))
	for _, name := range slices.Sorted(maps.Keys(c.Routing.Providers)) {
		for i, org := range c.Routing.Providers[name].Organizations {
			exists(string(org), "organization", orgs, fmt.Sprintf("providers.%s.organizations[%d]", name, i), fault)
		}
		for _, model := range slices.Sorted(maps.Keys(c.Routing.Providers[name].Prices)) {
			for _, org := range slices.Sorted(maps.Keys(c.Routing.Providers[name].Prices[model].Organizations)) {
				exists(string(org), "organization", orgs, fmt.Sprintf("providers.%s.prices.%s.organizations.%s", name, model, org), fault)
			}
		}
	}
	models := slices.Sorted(maps.Keys(c.Routing.Models))
	for _, org := range orgs {
		for _, key := range slices.Sorted(maps.Keys(c.Tenancy.Organizations[org].Keys)) {
			for i, model := range c.Tenancy.Organizations[org].Keys[key].Models {
				exists(model, "model", models, fmt.Sprintf("organizations.%s.keys.%s.models[%d]", org, key, i), fault)
			}
		}
	}
}

func exists(name, what string, known []string, path string, fault func(path, problem, hint string)) {
	if slices.Contains(known, name) {
		return
	}
	hint := "declare it under " + what + "s"
	if meant := suggest(name, known); meant != "" {
		hint = fmt.Sprintf("did you mean %q?", meant)
	}
	fault(path, fmt.Sprintf("there is no %s %s", what, quote(name)), hint)
}

// ownProviders puts ids in place of the names by which the file says who may use a provider, and who pays what.
func ownProviders(providers map[string]routing.ProviderConfig) {
	for _, p := range providers {
		for i, org := range p.Organizations {
			p.Organizations[i] = tenancy.OrgID(string(org))
		}
		for model, price := range p.Prices {
			byID := make(map[tenancy.ID]routing.TermsConfig, len(price.Organizations))
			for org, terms := range price.Organizations {
				byID[tenancy.OrgID(string(org))] = terms
			}
			price.Organizations = byID
			p.Prices[model] = price
		}
	}
}
