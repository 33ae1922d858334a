package config

import (
	"encoding"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/secrets"

	"go.yaml.in/yaml/v3"
)

// decoder fills the rooms' structs from the tree. It is strict and never stops at a fault: a value that does
// not fit is reported and leaves the default, so that what stands beside it is still checked.
//
// It is written by hand because a decoder that goes through map[string]any has lost what is asked of it here:
// the line, the second of two equal keys, the digits of 0.10, and that 2.5 is no number of attempts.
type decoder struct {
	name     string                // of the file
	env      environment           // for env: references
	from     map[*yaml.Node]string // values that a variable set
	at       map[string]*yaml.Node // every path that was written, and its value
	values   int                   // visited so far
	faults   Faults
	warnings []Notice
	secrets  []secrets.Secret
	offered  []string // models that the file does not name
	sealed   bool     // no reference to a secret is followed
}

// shapes says how to write the types that are text in the file.
var shapes = map[reflect.Type]struct{ noun, example string }{
	reflect.TypeFor[time.Duration]():  {"a duration", "write a number with a unit, such as 100ms, 30s, 15m, 24h or 30d"},
	reflect.TypeFor[gateway.Size]():   {"a size", "write a whole number with a unit, such as 64MiB"},
	reflect.TypeFor[Share]():          {"a size or a share", "write it as 10GiB or 20%"},
	reflect.TypeFor[netip.Prefix]():   {"a network", "write it as 10.0.0.0/8; a single address as 192.0.2.1/32"},
	reflect.TypeFor[time.Time]():      {"a time", "write it as 2027-01-31T00:00:00Z"},
	reflect.TypeFor[Database]():       {"a database", "write sqlite:PATH or postgres://user:password@host/name"},
	reflect.TypeFor[Redis]():          {"a Redis", "write redis://host:6379, several nodes of a cluster separated by commas"},
	reflect.TypeFor[secrets.Secret](): {"a secret", "write env:NAME or file:PATH"},
}

func (d *decoder) decode(n *yaml.Node, path string, v reflect.Value) {
	written := n
	if n = resolve(n); n == nil {
		d.fault(path, written, "is an alias that leads to itself", "write the value in its place")
		return
	}
	if d.values++; d.values > maxValues {
		if d.values == maxValues+1 {
			d.fault(path, written, fmt.Sprintf("is more than %d values", maxValues), "aliases of aliases multiply; write less")
		}
		return
	}
	d.at[path] = written
	if isNull(n) {
		return // a key without a value is as good as not written
	}
	if v.Kind() == reflect.Pointer {
		if v.Type() == reflect.TypeFor[*secrets.Secret]() && n.Kind == yaml.ScalarNode && n.Value == "" {
			return // an empty credential is none
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.decode(written, path, v.Elem())
		return
	}
	if shape, ok := shapes[v.Type()]; ok {
		d.shaped(n, path, v, shape.noun, shape.example)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v)
	case reflect.Map:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	default:
		d.scalar(n, path, v)
	}
}

// structure decodes a block whose keys are known.
func (d *decoder) structure(n *yaml.Node, path string, v reflect.Value) {
	known := map[string]reflect.Value{}
	fields(v, func(name string, field reflect.Value, _ reflect.StructField) { known[name] = field })
	d.each(n, path, func(key, value *yaml.Node) {
		if field, ok := known[key.Value]; ok {
			d.decode(value, join(path, key.Value), field)
			return
		}
		names, hint := make([]string, 0, len(known)), ""
		for name := range known {
			names = append(names, name)
		}
		slices.Sort(names)
		if meant := suggest(key.Value, names); meant != "" {
			hint = fmt.Sprintf("did you mean %q?", meant)
		} else {
			hint = "known are " + strings.Join(names, ", ")
		}
		d.fault(join(path, key.Value), key, "is not a known key", hint)
	})
}

// mapping decodes a block whose keys are names that the operator chose.
func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value) {
	d.each(n, path, func(key, value *yaml.Node) {
		if key.Value == "" {
			d.fault(path, key, "has an empty name", "give it a name")
			return
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, join(path, key.Value), elem)
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), elem)
	})
}

// each calls visit for every key of a block that is written once.
func (d *decoder) each(n *yaml.Node, path string, visit func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.fault(path, n, "must be a block of keys, not "+describe(n), "write it as {key: value}, or indented below")
		return
	}
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		switch {
		case key == nil || key.Kind != yaml.ScalarNode:
			d.fault(path, n.Content[i], "has a key that is no name", "write the key as plain text")
		case key.ShortTag() == "!!merge":
			d.fault(path, key, "uses a merge key", "write the values out; what all share belongs under defaults")
		case first[key.Value] != nil:
			d.fault(join(path, key.Value), key, fmt.Sprintf("is written twice, first on line %d", first[key.Value].Line), "remove one of the two")
		default:
			first[key.Value] = key
			visit(key, value)
		}
	}
}

// list decodes a list, which replaces the default's as a whole.
func (d *decoder) list(n *yaml.Node, path string, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.fault(path, n, "must be a list, not "+describe(n), "write it as [a, b], or with a dash for every entry")
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, min(len(n.Content), 1024))
	for i, value := range n.Content {
		elem, at := reflect.New(v.Type().Elem()).Elem(), fmt.Sprintf("%s[%d]", path, i)
		if r := resolve(value); r != nil && isNull(r) {
			d.fault(at, value, "is empty", "remove the entry or give it a value")
		} else {
			d.decode(value, at, elem)
		}
		out = reflect.Append(out, elem)
	}
	v.Set(out)
}

// shaped decodes a type that is text in the file.
func (d *decoder) shaped(n *yaml.Node, path string, v reflect.Value, noun, example string) {
	if n.Kind != yaml.ScalarNode {
		d.fault(path, n, "must be "+noun+", not "+describe(n), example)
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *secrets.Secret:
		*p = d.secret(n, path)
	case *time.Duration:
		t, ok := parseDuration(n.Value)
		if !ok {
			d.fault(path, n, quote(n.Value)+" is not "+noun, example)
			return
		}
		*p = t
	case *Database, *Redis: // their text may hold a password
		if err := p.(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
			d.fault(path, n, err.Error(), example)
		}
	case encoding.TextUnmarshaler:
		if err := p.UnmarshalText([]byte(n.Value)); err != nil {
			d.fault(path, n, quote(n.Value)+" is not "+noun, example)
		}
	}
}

// scalar decodes text, numbers and truth. Text in the file keeps its digits; a variable is always text.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode {
		tag = "" // never what is wanted
	} else if _, ok := d.from[n]; ok && v.Kind() == reflect.String {
		tag = "!!str"
	}
	var ok bool
	var wanted, hint string
	switch v.Kind() {
	case reflect.String:
		wanted, hint = "text", "put it in quotes"
		if ok = tag == "!!str" || tag == "!!int" || tag == "!!float" || tag == "!!timestamp"; ok {
			v.SetString(n.Value)
		}
	case reflect.Bool:
		wanted, hint = "true or false", "write true or false"
		if ok = n.Value == "true" || n.Value == "false"; ok && tag != "" {
			v.SetBool(n.Value == "true")
		}
	case reflect.Int, reflect.Int64:
		wanted, hint = "a whole number", "write digits only, without quotes"
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if ok = err == nil && tag == "!!int"; ok {
			v.SetInt(i)
		}
	case reflect.Float64:
		wanted, hint = "a number", "write it as 0.5"
		f, err := strconv.ParseFloat(n.Value, 64)
		if ok = err == nil && (tag == "!!int" || tag == "!!float") && !math.IsInf(f, 0) && !math.IsNaN(f); ok {
			v.SetFloat(f)
		}
	default:
		panic("config: no way to decode " + v.Type().String()) // a field that no test has read back
	}
	if !ok {
		found := describe(n)
		if n.Kind != yaml.ScalarNode {
			hint = "write one value"
		}
		if n.Kind == yaml.ScalarNode && wanted != "text" {
			found = quote(n.Value)
		}
		d.fault(path, n, "must be "+wanted+", not "+found, hint)
	}
}

// fault reports what is wrong at a path, and where that stands.
func (d *decoder) fault(path string, n *yaml.Node, problem, hint string) {
	f := Fault{Path: path, Problem: problem, Hint: hint}
	if name, ok := d.from[n]; ok {
		f.Env = name
	} else if n != nil && n.Line > 0 {
		f.File, f.Line = d.name, n.Line
	} else {
		f.File = d.name
	}
	d.faults = append(d.faults, f)
}

// fields visits the fields of a struct by their names in the file, those of inlined structs as its own.
func fields(v reflect.Value, visit func(name string, field reflect.Value, f reflect.StructField)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch name := f.Tag.Get("yaml"); name {
		case "", "-":
		case ",inline":
			fields(v.Field(i), visit)
		default:
			visit(name, v.Field(i), f)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// parseDuration reads what time.ParseDuration does, and whole days. Nothing in the file is negative.
func parseDuration(text string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * day, err == nil
	}
	t, err := time.ParseDuration(text)
	return t, err == nil && t >= 0
}

// quote shows a value that is no secret, cut where it would flood the screen.
func quote(text string) string {
	if r := []rune(text); len(r) > 40 {
		text = string(r[:40]) + "…"
	}
	return strconv.Quote(text)
}
