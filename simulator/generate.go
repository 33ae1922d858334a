package simulator

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Bounds of a generated value: a schema that refers to itself would have no end.
const (
	maxValueDepth = 8    // deeper, only what is required is written and the shortest alternative is taken
	maxValueNodes = 5000 // beyond, null
	maxItems      = 100
)

// generator writes one JSON value that satisfies a schema: type, properties, required, enum, const, items,
// prefixItems, anyOf, oneOf, allOf, $ref, $defs, the bounds of strings, numbers and arrays, and formats.
// Patterns are not honoured.
type generator struct {
	root  *schemaNode
	word  string // what free strings say: taken from the prompt, so that the value is about something
	nodes int
	out   []byte
}

// generate returns a value for a schema; for a nil schema an empty object.
func generate(schema *schemaNode, word string) string {
	if schema == nil {
		return "{}"
	}
	g := &generator{root: schema, word: word}
	g.value(schema, 0)
	return string(g.out)
}

func (g *generator) value(s *schemaNode, depth int) {
	g.nodes++
	if s == nil || s.members == nil || g.nodes > maxValueNodes || depth > maxSchemaDepth {
		g.out = append(g.out, "null"...)
		return
	}
	for _, fixed := range []string{"const", "default"} {
		if v := s.at(fixed); v != nil {
			g.out = append(g.out, v.raw...)
			return
		}
	}
	if enum := s.at("enum"); enum != nil && len(enum.items) > 0 {
		g.out = append(g.out, g.pick(enum.items).raw...)
		return
	}
	if ref := s.at("$ref"); ref != nil {
		g.value(g.root.resolve(ref.text()), depth+1)
		return
	}
	for _, any := range []string{"anyOf", "oneOf"} {
		if v := s.at(any); v != nil && len(v.items) > 0 {
			g.value(g.alternative(v.items, depth), depth+1)
			return
		}
	}
	if all := s.at("allOf"); all != nil && len(all.items) > 0 {
		if len(all.items) == 1 && s.at("properties") == nil {
			g.value(all.items[0], depth+1) // a reference with a description beside it, of any type
			return
		}
		g.object(g.merge(s, all.items), depth)
		return
	}
	g.typed(s, depth)
}

// pick takes the entry that the prompt names, else the first.
func (g *generator) pick(enum []*schemaNode) *schemaNode {
	for _, e := range enum {
		if t := e.text(); t != "" && strings.EqualFold(t, g.word) {
			return e
		}
	}
	return enum[0]
}

// alternative takes the first, but where the value is deep already one that ends at once.
func (g *generator) alternative(all []*schemaNode, depth int) *schemaNode {
	if depth > maxValueDepth {
		for _, a := range all {
			if t := a.at("type").text(); t != "" && t != "object" && t != "array" {
				return a
			}
		}
	}
	return all[0]
}

// merge joins the properties and the required names of a schema and its allOf parts.
func (g *generator) merge(s *schemaNode, parts []*schemaNode) *schemaNode {
	properties := &schemaNode{raw: json.RawMessage("{}")}
	required := &schemaNode{raw: json.RawMessage("[]")}
	for _, p := range append([]*schemaNode{s}, parts...) {
		if ref := p.at("$ref"); ref != nil {
			p = g.root.resolve(ref.text())
		}
		if from := p.at("properties"); from != nil {
			for _, name := range from.names {
				properties.put(name, from.members[name])
			}
		}
		if from := p.at("required"); from != nil {
			required.items = append(required.items, from.items...)
		}
	}
	merged := &schemaNode{raw: json.RawMessage("{}")}
	merged.put("properties", properties)
	merged.put("required", required)
	return merged
}

func (g *generator) typed(s *schemaNode, depth int) {
	kind := s.at("type").text()
	if t := s.at("type"); t != nil && len(t.items) > 0 {
		kind = t.items[0].text()
	}
	if kind == "" {
		switch {
		case s.at("properties") != nil:
			kind = "object"
		case s.at("items") != nil || s.at("prefixItems") != nil:
			kind = "array"
		default:
			kind = "string"
		}
	}
	switch kind {
	case "object":
		g.object(s, depth)
	case "array":
		g.array(s, depth)
	case "string":
		g.out = appendString(g.out, g.text(s))
	case "integer", "number":
		g.number(s, kind == "integer")
	case "boolean":
		g.out = append(g.out, "true"...)
	default:
		g.out = append(g.out, "null"...)
	}
}

func (g *generator) object(s *schemaNode, depth int) {
	required := map[string]bool{}
	if r := s.at("required"); r != nil {
		for _, name := range r.items {
			required[name.text()] = true
		}
	}
	g.out = append(g.out, '{')
	first := true
	if p := s.at("properties"); p != nil {
		for _, name := range p.names {
			if depth > maxValueDepth && !required[name] {
				continue
			}
			if !first {
				g.out = append(g.out, ',')
			}
			first = false
			g.out = append(appendString(g.out, name), ':')
			g.value(p.members[name], depth+1)
		}
	}
	g.out = append(g.out, '}')
}

func (g *generator) array(s *schemaNode, depth int) {
	items, prefix := s.at("items"), s.at("prefixItems")
	count := 1
	if depth > maxValueDepth {
		count = 0
	}
	if n, ok := s.at("minItems").number(); ok {
		count = max(count, int(min(n, maxItems)))
	}
	if n, ok := s.at("maxItems").number(); ok {
		count = min(count, max(0, int(min(n, maxItems))))
	}
	if prefix != nil {
		count = max(count, len(prefix.items))
	}
	g.out = append(g.out, '[')
	for i := range count {
		if i > 0 {
			g.out = append(g.out, ',')
		}
		one := items
		if prefix != nil && i < len(prefix.items) {
			one = prefix.items[i]
		}
		if one == nil {
			g.out = appendString(g.out, g.word)
			continue
		}
		g.value(one, depth+1)
	}
	g.out = append(g.out, ']')
}

// formats has an example for each format that strict schemas may name.
var formats = map[string]string{
	"date-time": "2025-01-31T12:00:00Z", "date": "2025-01-31", "time": "12:00:00Z", "duration": "PT1H",
	"email": "someone@example.com", "hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
	"uri": "https://example.com/", "uuid": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
}

func (g *generator) text(s *schemaNode) string {
	if example, ok := formats[s.at("format").text()]; ok {
		return example
	}
	text := g.word
	if n, ok := s.at("minLength").number(); ok {
		for missing := int(min(n, 4096)) - len([]rune(text)); missing > 0; missing-- {
			text += "."
		}
	}
	if n, ok := s.at("maxLength").number(); ok && n >= 0 {
		text = clip(text, int(min(n, math.MaxInt32)))
	}
	return text
}

// number writes the smallest number from 1 up that the bounds allow, or the greatest below them.
func (g *generator) number(s *schemaNode, whole bool) {
	v := 1.0
	step, stepped := s.at("multipleOf").number()
	if !stepped || step <= 0 {
		step = 1
	}
	if n, ok := s.at("minimum").number(); ok {
		v = max(v, n)
	}
	if n, ok := s.at("exclusiveMinimum").number(); ok && v <= n {
		v = n + step
	}
	if n, ok := s.at("maximum").number(); ok && v > n {
		v = n
	}
	if n, ok := s.at("exclusiveMaximum").number(); ok && v >= n {
		v = n - step
	}
	if low, ok := s.at("exclusiveMinimum").number(); ok && v <= low {
		high, _ := s.at("exclusiveMaximum").number() // both bounds close together: between them
		v = (low + high) / 2
	}
	if stepped {
		v = math.Ceil(v/step) * step
	}
	if whole {
		v = math.Round(v)
	}
	g.out = strconv.AppendFloat(g.out, v, 'f', -1, 64)
}
