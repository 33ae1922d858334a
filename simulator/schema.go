package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// schemaNode is a parsed JSON value that keeps the order of members: the order of a schema's properties is
// the order in which a model writes them.
type schemaNode struct {
	raw     json.RawMessage
	names   []string               // of an object, in order
	members map[string]*schemaNode // of an object
	items   []*schemaNode          // of an array
}

// readSchema parses a schema; absent ones are nil.
func readSchema(raw json.RawMessage, path string) (*schemaNode, *apiError) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, errType(path, "an object", kindOf(raw))
	}
	n, err := parseNode(raw, 0)
	if err != nil {
		return nil, errValue(path, fmt.Sprintf("Invalid schema: %v.", err))
	}
	return n, nil
}

// maxSchemaDepth bounds recursion, in reading a schema and in writing a value for it.
const maxSchemaDepth = 64

func parseNode(raw json.RawMessage, depth int) (*schemaNode, error) {
	if depth > maxSchemaDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxSchemaDepth)
	}
	n := &schemaNode{raw: bytes.TrimSpace(raw)}
	if n.raw[0] != '{' && n.raw[0] != '[' {
		return n, nil
	}
	d := json.NewDecoder(bytes.NewReader(n.raw))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		name := ""
		if n.raw[0] == '{' {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ = key.(string)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		child, err := parseNode(value, depth+1)
		if err != nil {
			return nil, err
		}
		n.put(name, child)
	}
	return n, nil
}

func (n *schemaNode) put(name string, child *schemaNode) {
	if n.raw[0] == '[' {
		n.items = append(n.items, child)
		return
	}
	if n.members == nil {
		n.members = map[string]*schemaNode{}
	}
	if n.members[name] == nil {
		n.names = append(n.names, name)
	}
	n.members[name] = child
}

// at returns a member, or nil; it is safe on nil.
func (n *schemaNode) at(name string) *schemaNode {
	if n == nil {
		return nil
	}
	return n.members[name]
}

// text returns a string value, or "".
func (n *schemaNode) text() string {
	var s string
	if n == nil || json.Unmarshal(n.raw, &s) != nil {
		return ""
	}
	return s
}

// number returns a number.
func (n *schemaNode) number() (float64, bool) {
	var f float64
	if n == nil || n.raw[0] == 'n' || json.Unmarshal(n.raw, &f) != nil {
		return 0, false
	}
	return f, true
}

// resolve follows a local $ref: "#", "#/$defs/name" or any other JSON pointer into the root.
func (n *schemaNode) resolve(ref string) *schemaNode {
	pointer, local := strings.CutPrefix(ref, "#")
	if !local {
		return nil
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if part != "" {
			n = n.at(unescape.Replace(part))
		}
	}
	return n
}
