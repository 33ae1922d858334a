package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Part is one part of the file and what becomes of it.
type Part struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// String is the part on one line.
func (p Part) String() string { return p.Path + ": " + p.Why }

// effect is what a part of the file does in this version.
type effect uint8

const (
	later    effect = iota // nothing: refused at a start unless it is off
	accepted               // nothing that anybody could miss: listed at a start
	enforced               // what it says
)

// treatment is what becomes of everything at and below a path. In a path * is any name and [] any entry.
type treatment struct {
	path   string
	effect effect
	why    string
	off    string // a value besides the default that asks for nothing
}

// treatments is the one table of what this version does with the file. A part is off, and not worth a word,
// while it has the value that it has without a file: an operator who writes the defaults down asks for nothing
// new. What no line covers counts as not enforced, so that a new key can not be forgotten here and ignored.
var treatments = [...]treatment{
	{path: "listen", effect: enforced},
	{path: "server", effect: enforced},
	{path: "log", effect: enforced},
	{path: "admin.listen", effect: enforced},
	{path: "admin.oidc", effect: enforced},
	{path: "database", effect: enforced},
	{path: "database_direct", effect: enforced},
	{path: "snapshot_max_age", effect: enforced},
	{path: "redis", effect: enforced},
	{path: "spool", effect: enforced},
	{path: "cache", effect: enforced},
	{path: "otel", effect: enforced},
	{path: "retention", effect: enforced},
	{path: "tasks", effect: enforced},
	{path: "webhooks", effect: enforced},

	{path: "defaults.timeouts", effect: enforced},
	{path: "defaults.attempts", effect: enforced},
	{path: "defaults.backoff", effect: enforced},
	{path: "defaults.unpriced", effect: enforced},
	{path: "defaults.unpriced_hold", effect: enforced},
	{path: "defaults.breaker", effect: accepted, why: "kept by each process for itself, not shared by nodes"},

	{path: "providers.*.kind", effect: enforced},
	{path: "providers.*.base_url", effect: enforced},
	{path: "providers.*.api_key", effect: enforced},
	{path: "providers.*.api", effect: enforced},
	{path: "providers.*.allow_private", effect: enforced},
	{path: "providers.*.organizations", effect: enforced},
	{path: "providers.*.timeouts", effect: enforced},
	{path: "providers.*.breaker", effect: accepted, why: "kept by each process for itself, not shared by nodes"},
	{path: "providers.*.tls", effect: enforced},
	{path: "providers.*.proxy", effect: enforced},
	{path: "providers.*.limits", effect: enforced},
	{path: "providers.*.probe", effect: enforced},
	{path: "providers.*.prices", effect: enforced},

	{path: "models.*.targets[].provider", effect: enforced},
	{path: "models.*.targets[].model", effect: enforced},
	{path: "models.*.targets[].weight", effect: enforced},
	{path: "models.*.targets[].quality", effect: enforced},
	{path: "models.*.strategy", effect: enforced},
	{path: "models.*.optimize", effect: enforced},
	{path: "models.*.sticky", effect: accepted, why: "kept by each process for itself, not shared by nodes"},
	{path: "models.*.hedge", effect: accepted, why: "what second attempts may cost is kept by each process for itself, not shared by nodes"},
	{path: "models.*.cache", effect: enforced},
	{path: "models.*.mirror", effect: enforced},
	{path: "models.*.rules", effect: enforced},
	{path: "models.*.timeouts", effect: enforced},
	{path: "models.*.attempts", effect: enforced},
	{path: "models.*.backoff", effect: enforced},
	{path: "models.*.repeat_executed", effect: enforced},
	{path: "models.*.strict", effect: enforced},

	{path: "organizations.*.keep_content", effect: enforced},
	{path: "organizations.*.limits", effect: enforced},
	{path: "organizations.*.budget", effect: enforced},
	{path: "organizations.*.budgets", effect: enforced},
	{path: "organizations.*.keys.*.key", effect: enforced},
	{path: "organizations.*.keys.*.models", effect: enforced},
	{path: "organizations.*.keys.*.expires", effect: enforced},
	{path: "organizations.*.keys.*.disabled", effect: enforced},
	{path: "organizations.*.keys.*.limits", effect: enforced},
	{path: "organizations.*.keys.*.budget", effect: enforced},
	{path: "organizations.*.keys.*.budgets", effect: enforced},
}

// parts walks the file and sorts out what is written and not off.
func (d *decoder) parts(f *file) (notEnforced, listed []Part) {
	std := defaults()
	walk(reflect.ValueOf(f).Elem(), reflect.ValueOf(&std).Elem(), "", "", func(path string, t treatment, v, standard reflect.Value) {
		_, written := d.at[path]
		switch {
		case t.effect == accepted && written && !isPart(notEnforced, path):
			listed = append(listed, Part{path, t.why})
		case t.effect == later && !isOff(v, standard, t.off):
			notEnforced = append(notEnforced, Part{path, t.why})
		}
	})
	return notEnforced, listed
}

func isPart(parts []Part, path string) bool {
	return slices.ContainsFunc(parts, func(p Part) bool { return p.Path == path })
}

// walk visits the highest parts of the file that the table speaks of, and every value that it does not.
// standard is the value without a file, or invalid where there is none.
func walk(v, standard reflect.Value, path, pattern string, visit func(path string, t treatment, v, standard reflect.Value)) {
	if t, ok := treat(pattern); ok {
		visit(path, t, v, standard)
		return
	}
	inner := v
	for inner.Kind() == reflect.Pointer && !inner.IsNil() {
		inner = inner.Elem()
	}
	_, leaf := shapes[inner.Type()]
	switch {
	case !leaf && inner.Kind() == reflect.Struct:
		within := map[string]reflect.Value{}
		if standard.IsValid() && standard.Kind() == reflect.Struct {
			fields(standard, func(name string, field reflect.Value, _ reflect.StructField) { within[name] = field })
		}
		fields(inner, func(name string, field reflect.Value, _ reflect.StructField) {
			walk(field, within[name], join(path, name), join(pattern, name), visit)
		})
	case inner.Kind() == reflect.Map:
		byName := map[string]reflect.Value{}
		for _, key := range inner.MapKeys() {
			byName[key.String()] = inner.MapIndex(key)
		}
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			walk(byName[name], reflect.Value{}, join(path, name), join(pattern, "*"), visit)
		}
	case inner.Kind() == reflect.Slice:
		for i := range inner.Len() {
			walk(inner.Index(i), reflect.Value{}, fmt.Sprintf("%s[%d]", path, i), pattern+"[]", visit)
		}
	default:
		visit(path, treatment{path: pattern, why: "it has no effect yet"}, v, standard)
	}
}

func treat(pattern string) (treatment, bool) {
	for _, t := range treatments {
		if t.path == pattern {
			return t, true
		}
	}
	return treatment{}, false
}

// isOff tells whether a part asks for nothing: it is as it is without a file, empty, or a value that says so.
// What stands behind a pointer was written on purpose, even if it is 0.
func isOff(v, standard reflect.Value, off string) bool {
	switch {
	case standard.IsValid() && reflect.DeepEqual(v.Interface(), standard.Interface()):
		return true
	case v.Kind() == reflect.Map || v.Kind() == reflect.Slice:
		return v.Len() == 0
	case v.Kind() == reflect.String && off != "" && v.String() == off:
		return true
	}
	return v.IsZero()
}
