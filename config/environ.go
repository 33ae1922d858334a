package config

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// prefix begins a variable that sets a value of the file. One underscore is not enough: Kubernetes makes
// VEL_PORT and its like for every service named vel.
const prefix = "VEL__"

// aliases are variables by which every platform hands out an address. They win over the file and over VEL__.
var aliases = map[string]string{"DATABASE_URL": "database", "REDIS_URL": "redis"}

// environment is the process's variables by name.
type environment map[string]string

func newEnvironment(environ []string) environment {
	env := environment{}
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
			env[name] = value
		}
	}
	return env
}

// overlay writes what the environment says into the tree and remembers in from which variable a value came.
func (env environment) overlay(root *yaml.Node, from map[*yaml.Node]string) {
	for _, name := range slices.Sorted(maps.Keys(env)) { // a block before what lies in it
		if path, ok := strings.CutPrefix(name, prefix); ok && path != "" {
			set(root, strings.Split(path, "__"), value(env[name], name, from), name, from)
		}
	}
	for name, key := range aliases {
		if env[name] != "" {
			set(root, []string{key}, value(env[name], name, from), name, from)
		}
	}
}

// value reads a variable: text that begins like a YAML list or block is one, everything else is one value.
func value(text, name string, from map[*yaml.Node]string) *yaml.Node {
	if strings.HasPrefix(text, "[") || strings.HasPrefix(text, "{") {
		if n, err := parseTree([]byte(text)); err == nil {
			mark(n, name, from)
			return n
		}
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	from[n] = name
	return n
}

func mark(n *yaml.Node, name string, from map[*yaml.Node]string) {
	from[n] = name
	for _, child := range n.Content {
		mark(child, name, from)
	}
}

// set puts value at the path below n and makes the blocks on the way. What is in the way and is no block is
// replaced: the environment wins.
func set(n *yaml.Node, path []string, value *yaml.Node, name string, from map[*yaml.Node]string) {
	slot := find(n, path[0])
	if slot == nil {
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.ToLower(path[0])}
		from[key] = name
		n.Content = append(n.Content, key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"})
		slot = &n.Content[len(n.Content)-1]
	}
	if len(path) == 1 {
		*slot = value
		return
	}
	inner := copyOf(resolve(*slot))
	if inner == nil || inner.Kind == yaml.ScalarNode {
		inner = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		from[inner] = name
	}
	*slot = inner
	if inner.Kind == yaml.SequenceNode && find(inner, path[1]) == nil {
		*slot = value // reported where it is decoded: a list has no such key
		return
	}
	set(inner, path[1:], value, name, from)
}

// copyOf makes a block its own, so that a value written through an alias does not appear at the anchor too.
func copyOf(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Content, c.Anchor = slices.Clone(n.Content), ""
	return &c
}

// find is the place of the value of a key, or of an element of a list, or nil. A key is found in any case and
// then with underscores for what no variable's name can hold: VEL__MODELS__GPT_4O is models.gpt-4o.
func find(n *yaml.Node, name string) **yaml.Node {
	if n.Kind == yaml.SequenceNode {
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(n.Content) {
			return nil
		}
		return &n.Content[i]
	}
	for _, same := range []func(key string) bool{
		func(key string) bool { return strings.EqualFold(key, name) },
		func(key string) bool { return shellName(key) == shellName(name) },
	} {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if same(n.Content[i].Value) {
				return &n.Content[i+1]
			}
		}
	}
	return nil
}

// shellName is the name as a variable's name can spell it.
func shellName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, name)
}

// withPort is the address with another port, and whether it was an address.
func withPort(listen, port string) (string, bool) {
	host, _, err := net.SplitHostPort(listen)
	return net.JoinHostPort(host, port), err == nil
}
