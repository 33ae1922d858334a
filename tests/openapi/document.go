package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Document is an OpenAPI document. It is safe for concurrent use.
type Document struct {
	operations []*Operation
}

// Operation is one method of one path.
type Operation struct {
	ID         string
	Method     string
	Path       string      // with {…} in the place of parameters
	Permission string      // x-vel-permission
	Parameters []Parameter // of path, query and header
	Body       []string    // the names of the members that a request's JSON object may have
	answers    map[string]*response
}

// Parameter is one parameter of an operation.
type Parameter struct{ Name, In string }

// response is what an operation may answer with a status.
type response struct {
	schemas map[string]*jsonschema.Schema // by content type; none: there is no body
	headers map[string]*jsonschema.Schema
}

// The parts of a document that are read. A reference is followed by decode.
type (
	path      map[string]json.RawMessage
	operation struct {
		ID          string                     `json:"operationId"`
		Permission  string                     `json:"x-vel-permission"`
		Parameters  []Parameter                `json:"parameters"`
		RequestBody *content                   `json:"requestBody"`
		Responses   map[string]json.RawMessage `json:"responses"`
	}
	content struct {
		Content map[string]struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"content"`
		Headers map[string]json.RawMessage `json:"headers"`
	}
	object struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
)

// reader reads a document.
type reader struct {
	text     []byte
	compiler *jsonschema.Compiler
	opened   map[string]map[string]json.RawMessage // the members of what stands at a pointer: the document is large, and read often
}

// address is where the compiler finds the document.
const address = "openapi.json"

// Read reads a document. An operation that can not be read whole is an error.
func Read(text []byte) (*Document, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	r := &reader{text, jsonschema.NewCompiler(), map[string]map[string]json.RawMessage{}}
	r.compiler.DefaultDraft(jsonschema.Draft2020) // what OpenAPI 3.1 names
	r.compiler.AssertFormat()
	if err := r.compiler.AddResource(address, value); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	var paths map[string]path
	if err := r.at("#/paths", &paths); err != nil {
		return nil, err
	}
	d := &Document{}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(paths[name])) {
			o, err := r.operation(name, method)
			if err != nil {
				return nil, fmt.Errorf("read %s %s: %w", method, name, err)
			}
			d.operations = append(d.operations, o)
		}
	}
	return d, nil
}

// at decodes what a reference names.
func (r *reader) at(reference string, into any) error {
	value, here := json.RawMessage(r.text), ""
	pointer, _ := strings.CutPrefix(reference, "#/")
	for step := range strings.SplitSeq(pointer, "/") {
		members, err := r.members(here, value)
		if err != nil {
			return fmt.Errorf("follow %s: %w", reference, err)
		}
		var ok bool
		if value, ok = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]; !ok {
			return fmt.Errorf("follow %s: there is no %s", reference, step)
		}
		here += "/" + step
	}
	return json.Unmarshal(value, into)
}

// members are those of the value at a pointer.
func (r *reader) members(pointer string, value json.RawMessage) (members map[string]json.RawMessage, err error) {
	if members = r.opened[pointer]; members != nil {
		return members, nil
	}
	if err = json.Unmarshal(value, &members); err == nil {
		r.opened[pointer] = members
	}
	return members, err
}

// resolve is the place that a value stands at: its own, or the one that its $ref names.
func (r *reader) resolve(place string, value json.RawMessage) string {
	var v struct {
		Ref string `json:"$ref"`
	}
	if json.Unmarshal(value, &v) == nil && v.Ref != "" {
		return v.Ref
	}
	return place
}

func escape(step string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(step) }

func (r *reader) operation(path, method string) (*Operation, error) {
	place := "#/paths/" + escape(path) + "/" + method
	var raw operation
	if err := r.at(place, &raw); err != nil {
		return nil, err
	}
	o := &Operation{
		ID: raw.ID, Method: strings.ToUpper(method), Path: path, Permission: raw.Permission, Parameters: raw.Parameters,
		answers: map[string]*response{},
	}
	if raw.RequestBody != nil {
		for kind, media := range raw.RequestBody.Content {
			var body object
			if err := r.at(r.resolve(place+"/requestBody/content/"+escape(kind)+"/schema", media.Schema), &body); err != nil {
				return nil, err
			}
			o.Body = append(o.Body, slices.Sorted(maps.Keys(body.Properties))...)
		}
	}
	for status, value := range raw.Responses {
		answer, err := r.response(r.resolve(place+"/responses/"+status, value))
		if err != nil {
			return nil, fmt.Errorf("status %s: %w", status, err)
		}
		o.answers[status] = answer
	}
	return o, nil
}

func (r *reader) response(place string) (*response, error) {
	var raw content
	if err := r.at(place, &raw); err != nil {
		return nil, err
	}
	res := &response{map[string]*jsonschema.Schema{}, map[string]*jsonschema.Schema{}}
	var err error
	for kind := range raw.Content {
		if res.schemas[kind], err = r.compiler.Compile(address + place + "/content/" + escape(kind) + "/schema"); err != nil {
			return nil, err
		}
	}
	for name := range raw.Headers {
		if res.headers[name], err = r.compiler.Compile(address + place + "/headers/" + escape(name) + "/schema"); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// Operations are all of them, in the order of paths.
func (d *Document) Operations() []*Operation { return d.operations }

// Operation is the one with this id, or nil.
func (d *Document) Operation(id string) *Operation {
	i := slices.IndexFunc(d.operations, func(o *Operation) bool { return o.ID == id })
	if i < 0 {
		return nil
	}
	return d.operations[i]
}

// Find is the operation that answers a request, or nil. A path without parameters goes before one with them.
func (d *Document) Find(method, path string) (found *Operation) {
	for _, o := range d.operations {
		if o.Method == method && o.fits(path) && (found == nil || strings.Count(o.Path, "{") < strings.Count(found.Path, "{")) {
			found = o
		}
	}
	return found
}

func (o *Operation) fits(path string) bool {
	mine, theirs := strings.Split(o.Path, "/"), strings.Split(path, "/")
	if len(mine) != len(theirs) {
		return false
	}
	for i := range mine {
		if mine[i] != theirs[i] && !strings.HasPrefix(mine[i], "{") {
			return false
		}
	}
	return true
}
