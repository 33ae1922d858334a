package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Check says what is wrong with an answer of the operation: a status, a content type, a header or a body that the
// document does not promise.
func (o *Operation) Check(status int, header http.Header, body []byte) error {
	promised, ok := o.answers[strconv.Itoa(status)]
	if !ok {
		return fmt.Errorf("%s does not promise the status %d", o.ID, status)
	}
	faults := []error{promised.checkBody(header, body)}
	for name, schema := range promised.headers {
		if value := header.Get(name); value != "" {
			faults = append(faults, in("header "+name, schema.Validate(value)))
		}
	}
	return errors.Join(faults...)
}

func (r *response) checkBody(header http.Header, body []byte) error {
	if len(r.schemas) == 0 {
		if len(body) > 0 {
			return errors.New("a body where none is promised")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", header.Get("Content-Type"), err)
	}
	schema, ok := r.schemas[kind]
	if !ok {
		return fmt.Errorf("content type %s is not promised", kind)
	}
	if kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return in("body", schema.Validate(string(body)))
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the body: %w", err)
	}
	return in("body", schema.Validate(value))
}

func in(place string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	return nil
}

// Open lists the schemas of an answer that would let unknown members pass: a check by them proves little. Its members
// are those of the objects that are described.
func (o *Operation) Open() (open []string) {
	for status, answer := range o.answers {
		for kind, schema := range answer.schemas {
			if isOpen(schema, nil) {
				open = append(open, o.ID+" "+status+" "+kind)
			}
		}
	}
	return open
}

// isOpen walks a schema down to every object; above is the way to it, because schemas may go in circles.
func isOpen(s *jsonschema.Schema, above []*jsonschema.Schema) bool {
	if s == nil || slices.Contains(above, s) {
		return false
	}
	above = append(above, s)
	if s.Ref != nil {
		return isOpen(s.Ref, above)
	}
	if s.Types != nil && slices.Contains(s.Types.ToStrings(), "object") {
		// Names that only the data know, such as those of models, are no members: what stands under them has to be known.
		values, named := s.AdditionalProperties.(*jsonschema.Schema)
		if named && isOpen(values, above) || !named && s.AdditionalProperties != false {
			return true
		}
	}
	for _, p := range s.Properties {
		if isOpen(p, above) {
			return true
		}
	}
	return isOpen(s.Items2020, above)
}
