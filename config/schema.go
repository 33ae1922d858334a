package config

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/secrets"

	"github.com/invopop/jsonschema"
)

// forms are the types that are text in the file, as regular expressions for editors. They catch what a glance
// would; the decoder has the last word.
var forms = map[reflect.Type]string{
	reflect.TypeFor[time.Duration]():  `^([0-9]+d|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+|0)$`,
	reflect.TypeFor[gateway.Size]():   `^([0-9]+ *([KMGT]i?)?B|0)$`,
	reflect.TypeFor[Share]():          `^([0-9]+ *([KMGT]i?)?B|[0-9]+%)$`,
	reflect.TypeFor[netip.Prefix]():   `^[0-9A-Fa-f:.]+/[0-9]+$`,
	reflect.TypeFor[time.Time]():      `^[0-9]{4}-[0-9]{2}-[0-9]{2}T`,
	reflect.TypeFor[Database]():       `^(sqlite:.+|postgres(ql)?://.+)?$`,
	reflect.TypeFor[Redis]():          `^(rediss?://.+)?$`,
	reflect.TypeFor[secrets.Secret](): ``,
}

// Schema is the JSON Schema (2020-12) of the file, made from the structs that decode it.
func Schema() ([]byte, error) {
	r := jsonschema.Reflector{
		FieldNameTag:               "yaml",
		DoNotReference:             true,
		Anonymous:                  true,
		RequiredFromJSONSchemaTags: true, // nothing is required: an empty file is a working gateway
		Mapper:                     mapType,
	}
	s := r.Reflect(&file{})
	s.Title = "vel.yaml"
	s.Description = "Configuration of the AI gateway Vel. Everything has a default."
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return append(out, '\n'), nil
}

// mapType describes the types that are text in the file; for all others it leaves the word to the reflector.
func mapType(t reflect.Type) *jsonschema.Schema {
	if form, ok := forms[t]; ok {
		return &jsonschema.Schema{Type: "string", Pattern: form}
	}
	return nil
}
