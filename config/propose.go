package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"

	"go.yaml.in/yaml/v3"
)

// Proposal is what a file that is not in force says of where calls go. It leads to no secret and to no other file: whoever
// proposes something need not be who may read those of this process.
type Proposal struct {
	routing.Config      // Organizations of a provider hold ids
	defaults       bool // it has some
}

// ReadProposal reads a file, or its defaults, providers and models alone, as YAML or JSON. What else a file has is passed
// over. The error is Faults.
func ReadProposal(text []byte) (*Proposal, error) {
	d := &decoder{env: environment{}, from: map[*yaml.Node]string{}, at: map[string]*yaml.Node{}, sealed: true}
	root, err := parseTree(text)
	if err != nil {
		return nil, Faults{syntaxFault("", err)}
	}
	passOver(root)
	p := &Proposal{Config: routing.Defaults()}
	d.decode(root, "", reflect.ValueOf(&p.Config).Elem())
	if len(d.faults) > 0 {
		d.faults.sort()
		return nil, d.faults
	}
	p.defaults = d.at["defaults"] != nil
	ownProviders(p.Providers)
	return p, nil
}

// passOver takes out of a file what says nothing of where calls go.
func passOver(root *yaml.Node) {
	if root.Kind != yaml.MappingNode {
		return
	}
	others, ours := map[string]bool{}, map[string]bool{}
	fields(reflect.ValueOf(&file{}).Elem(), func(name string, _ reflect.Value, _ reflect.StructField) { others[name] = true })
	fields(reflect.ValueOf(&routing.Config{}).Elem(), func(name string, _ reflect.Value, _ reflect.StructField) { ours[name] = true })
	var kept []*yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		if name := root.Content[i].Value; ours[name] || !others[name] {
			kept = append(kept, root.Content[i], root.Content[i+1])
		}
	}
	root.Content = kept
}

// ModelsAlone tells whether it says nothing of providers and defaults.
func (p *Proposal) ModelsAlone() bool { return !p.defaults && len(p.Providers) == 0 }

// Wrote tells whether a path is of something that the proposal says.
func (p *Proposal) Wrote(path string) bool {
	under := func(block string) bool {
		return path == block || strings.HasPrefix(path, block+".") || strings.HasPrefix(path, block+"[")
	}
	for name := range p.Models {
		if under("models." + name) {
			return true
		}
	}
	for name := range p.Providers {
		if under("providers." + name) {
			return true
		}
	}
	return p.defaults && under("defaults")
}

// Over is where calls would go: what the proposal says in place of what is in force. Providers are put over those of the same
// name, whose keys they have; one that is new is taken to have its key. Models take the place of all that the file declares,
// if the proposal has any; if it is a part only, of those with the same names.
func (p *Proposal) Over(c *Config, part bool) routing.Config {
	now := &c.Routing
	next := routing.Config{Defaults: now.Defaults, Providers: maps.Clone(now.Providers), Models: maps.Clone(now.Models)}
	if p.defaults {
		next.Defaults = p.Defaults
	}
	for name, provider := range p.Providers {
		provider.TLS.CA, provider.Proxy = "", "" // nothing is sent, and no file is read
		if provider.APIKey = now.Providers[name].APIKey; provider.APIKey == nil {
			provider.APIKey = new(secrets.New(none))
		}
		next.Providers[name] = provider
	}
	if len(p.Models) > 0 && !part {
		maps.DeleteFunc(next.Models, func(name string, _ routing.ModelConfig) bool { return !slices.Contains(c.Offered, name) })
	}
	maps.Copy(next.Models, p.Models)
	return next
}
