package config

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestExampleFitsSchema walks the example with the schema as an editor would: every key is known, every value
// has the type, the form and the choice that the schema says.
func TestExampleFitsSchema(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	text, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	var example any
	if err := yaml.Unmarshal(text, &example); err != nil {
		t.Fatal(err)
	}
	for _, fault := range fits(example, schema, "") {
		t.Error(fault)
	}
}

// TestSchemaRefuses proves that the walk above can fail.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	for _, text := range []string{
		"listne: a", "log: {level: loud}", "server: {drain: 30}", "server: {drain: soon}", "models: {a: {targets: {}}}",
		"providers: {a: {kind: opnai}}", "organizations: {a: {limits: {rpm: many}}}", "database: mysql://h",
	} {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if len(fits(v, schema, "")) == 0 {
			t.Errorf("%s fits the schema", text)
		}
	}
}

func TestSchemaIsDescribed(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	if schema["$schema"] != "https://json-schema.org/draft/2020-12/schema" {
		t.Errorf("$schema is %v", schema["$schema"])
	}
	described(t, schema, "")
}

func described(t *testing.T, schema map[string]any, path string) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	for name, s := range properties {
		if s := s.(map[string]any); s["description"] == nil {
			t.Errorf("%s has no description", join(path, name))
		} else {
			described(t, s, join(path, name))
		}
	}
	for _, inner := range []string{"items", "additionalProperties"} {
		if s, ok := schema[inner].(map[string]any); ok {
			described(t, s, path)
		}
	}
}

func readSchema(t *testing.T) map[string]any {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// fits knows the keywords that the schema uses.
func fits(v any, schema map[string]any, path string) (faults []string) {
	if choices, ok := schema["oneOf"].([]any); ok {
		for _, c := range choices {
			if len(fits(v, c.(map[string]any), path)) == 0 {
				return nil
			}
		}
		return []string{fmt.Sprintf("%s: %v is none of the types", path, v)}
	}
	var is string
	switch v := v.(type) {
	case map[string]any:
		is = "object"
		properties, _ := schema["properties"].(map[string]any)
		for name, inner := range v {
			s, ok := properties[name].(map[string]any)
			if !ok {
				s, ok = schema["additionalProperties"].(map[string]any)
			}
			if !ok {
				faults = append(faults, join(path, name)+" is not in the schema")
				continue
			}
			faults = append(faults, fits(inner, s, join(path, name))...)
		}
	case []any:
		is = "array"
		s, _ := schema["items"].(map[string]any)
		for i, inner := range v {
			faults = append(faults, fits(inner, s, fmt.Sprintf("%s[%d]", path, i))...)
		}
	case string:
		is = "string"
		if form, ok := schema["pattern"].(string); ok && !regexp.MustCompile(form).MatchString(v) {
			faults = append(faults, fmt.Sprintf("%s: %q does not match %s", path, v, form))
		}
		if choices, ok := schema["enum"].([]any); ok && !slices.Contains(choices, any(v)) {
			faults = append(faults, fmt.Sprintf("%s: %q is none of %v", path, v, choices))
		}
	case int:
		is = "integer"
	case float64:
		is = "number"
	case bool:
		is = "boolean"
	}
	if want := schema["type"]; want != is && (want != "number" || is != "integer") {
		faults = append(faults, fmt.Sprintf("%s: is %s, the schema says %v", path, is, want))
	}
	return faults
}
