package routing

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// The settings of a provider or a route as JSON: the names of the file, durations as text, and nothing that was not
// written. JSON is YAML, so the file's own tags say how they are read and written.

// EncodeSettings makes JSON of a *ProviderConfig or *ModelConfig. A key is never part of it.
func EncodeSettings(of any) ([]byte, error) {
	if p, ok := of.(*ProviderConfig); ok {
		keyless := *p
		keyless.APIKey = nil
		of = &keyless
	}
	text, err := yaml.Marshal(of)
	if err != nil {
		return nil, fmt.Errorf("encode settings: %w", err)
	}
	members := map[string]any{}
	if err := yaml.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("encode settings: %w", err)
	}
	written(members)
	return json.Marshal(members)
}

// written takes out what says nothing, and tells whether anything is left.
func written(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return v != ""
	case bool:
		return v
	case []any:
		for _, item := range v {
			written(item)
		}
		return len(v) > 0
	case map[string]any:
		for name, value := range v {
			if !written(value) {
				delete(v, name)
			}
		}
		return len(v) > 0
	}
	return true
}

// DecodeSettings reads JSON into a *ProviderConfig or *ModelConfig. What it does not know is an error: another version of
// this program has written it, and means something by it.
func DecodeSettings(text []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("decode settings: %w", err)
	}
	return nil
}
