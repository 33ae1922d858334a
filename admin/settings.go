package admin

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
)

// Providers and routes have the settings of the configuration file, under the same names. Their structs lie in routing,
// and their tags say how the file's schema describes them; here they become members of a body, beside those of the API.

// withSettings adds the settings of a struct to a schema; not those that it has already.
func withSettings[S any](s *huma.Schema) *huma.Schema {
	for name, setting := range settingsOf(reflect.TypeFor[S]()).Properties {
		if _, ours := s.Properties[name]; !ours {
			s.Properties[name] = setting
		}
	}
	return s
}

// settingsOf describes a struct of the file. None of its members is required: routing says what is missing.
func settingsOf(t reflect.Type) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("yaml") == ",inline" { // its settings stand where it does
			maps.Copy(s.Properties, settingsOf(f.Type).Properties)
			continue
		}
		setting := schemaOf(f.Type)
		for tag := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
			describe(setting, tag)
		}
		s.Properties[f.Tag.Get("yaml")] = setting
	}
	s.PrecomputeMessages()
	return s
}

// durationForm is how durations are written.
const durationForm = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

func schemaOf(t reflect.Type) *huma.Schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &huma.Schema{Type: huma.TypeString, Pattern: durationForm, PatternDescription: "a duration as 500ms, 30s or 10m"}
	case reflect.TypeFor[secrets.Secret]():
		return &huma.Schema{Type: huma.TypeString}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Struct:
		return settingsOf(t)
	case reflect.Map:
		return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: schemaOf(t.Elem())}
	case reflect.Slice:
		return &huma.Schema{Type: huma.TypeArray, Items: schemaOf(t.Elem()), MaxItems: new(1000)}
	case reflect.Bool:
		return &huma.Schema{Type: huma.TypeBoolean}
	case reflect.Int, reflect.Int64:
		return &huma.Schema{Type: huma.TypeInteger, Format: "int64"}
	case reflect.Float64:
		return &huma.Schema{Type: huma.TypeNumber, Format: "double"}
	}
	return &huma.Schema{Type: huma.TypeString}
}

// describe puts one part of a jsonschema tag into a schema. Choices and bounds are routing's to check, in its words.
func describe(s *huma.Schema, tag string) {
	word, value, _ := strings.Cut(tag, "=")
	switch word {
	case "description":
		s.Description = value
	case "enum":
		s.Enum = append(s.Enum, value)
	case "pattern":
		s.Pattern = value
	case "minimum", "maximum":
		if n, err := strconv.ParseFloat(value, 64); err == nil && word == "minimum" {
			s.Minimum = &n
		} else if err == nil {
			s.Maximum = &n
		}
	}
}

// joinSettings encodes what the API has of an object and its settings as one JSON object.
func joinSettings(head, settings any) ([]byte, error) {
	all := map[string]json.RawMessage{}
	text, err := routing.EncodeSettings(settings)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	ours, err := members(head)
	if err != nil {
		return nil, err
	}
	maps.Copy(all, ours)
	return json.Marshal(all)
}

// splitSettings decodes such an object. empty are the paths of settings that are null, which says nothing: huma lets them
// pass, and the document does not.
func splitSettings(text []byte, head, settings any) (empty []string, err error) {
	if err := json.Unmarshal(text, head); err != nil {
		return nil, err
	}
	all := map[string]any{}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	ours, err := members(head)
	if err != nil {
		return nil, err
	}
	for name := range ours {
		delete(all, name)
	}
	rest, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	return nulls(nil, "", all), routing.DecodeSettings(rest, settings)
}

// isNull is what is wrong with a setting that is null.
const isNull = "is null; leave it out"

// nulls appends the paths of what is null.
func nulls(found []string, path string, v any) []string {
	switch v := v.(type) {
	case nil:
		return append(found, path)
	case []any:
		for i, item := range v {
			found = nulls(found, path+"["+strconv.Itoa(i)+"]", item)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			found = nulls(found, strings.TrimPrefix(path+"."+name, "."), v[name])
		}
	}
	return found
}

func members(of any) (all map[string]json.RawMessage, err error) {
	text, err := json.Marshal(of)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	return all, err
}

// sentKey is a key in a body: left out, null, or a text. It is encoded as it came, for the fingerprint of a request.
type sentKey struct {
	sent bool
	key  secrets.Secret
}

// Schema is that of a text which is never shown.
func (sentKey) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Nullable: true, WriteOnly: true, Format: "password", MinLength: new(1), MaxLength: new(8192)}
}

// IsZero tells whether the key was left out.
func (k sentKey) IsZero() bool { return !k.sent }

// MarshalJSON encodes the key itself.
func (k sentKey) MarshalJSON() ([]byte, error) {
	if k.key.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(k.key.Reveal())
}

// UnmarshalJSON notes that a key was sent.
func (k *sentKey) UnmarshalJSON(text []byte) error {
	var s *string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*k = sentKey{sent: true}
	if s != nil {
		k.key = secrets.New(*s)
	}
	return nil
}

// problem says what is wrong with a key; empty: nothing. A reference would be read by the server, and could be anything
// that lies there.
func (k sentKey) problem() string {
	text := k.key.Reveal()
	if slices.ContainsFunc([]string{"env:", "file:"}, func(p string) bool { return strings.HasPrefix(text, p) }) {
		return "is a reference; send the key itself"
	}
	return ""
}
