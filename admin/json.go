package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// formats is how bodies are read and written: JSON, and nothing that two readers would read differently.
func formats() map[string]huma.Format {
	f := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: readJSON}
	return map[string]huma.Format{"application/json": f, "json": f}
}

// readJSON decodes a body. huma asks twice: for any value, which is checked against the schema, and for the struct.
func readJSON(data []byte, into any) error {
	if _, first := into.(*any); first {
		if err := unambiguous(data); err != nil {
			return err
		}
	}
	return json.Unmarshal(data, into)
}

var (
	errNotUTF8 = errors.New("the text is not UTF-8")
	errTooDeep = errors.New("the value is nested too deeply")
)

// deepest is how far a body may be nested; none of ours goes beyond three.
const deepest = 32

// othersNames are the members of a body that hold what others have named: a request to a model, and parts of one.
func othersNames() []string { return []string{"body", "tags", "headers"} }

// unambiguous refuses what Go would read and others would read differently: a member that is written twice, and one
// that is ours but for the case of its letters.
func unambiguous(data []byte) error {
	if !utf8.Valid(data) {
		return errNotUTF8
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // a number is checked when it is decoded
	type level struct {
		members map[string]bool // nil: an array
		key     bool            // a member's name comes next
		theirs  bool            // its names are those of others, with capitals as they like
		last    string          // the member whose value comes next
	}
	var open []level
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n := len(open); n > 0 && open[n-1].members != nil {
			top := &open[n-1]
			if name, ok := token.(string); ok && top.key {
				if top.members[name] {
					return fmt.Errorf("the member %q is written twice", name)
				}
				if !top.theirs && strings.ToLower(strings.ToUpper(name)) != name {
					return fmt.Errorf("the member %q is not known: all names are in lower case", name)
				}
				top.members[name], top.key, top.last = true, false, name
				continue
			}
			top.key = true
		}
		theirs := len(open) > 0 && (open[len(open)-1].theirs || len(open) == 1 && slices.Contains(othersNames(), open[0].last))
		switch token {
		case json.Delim('{'):
			open = append(open, level{members: map[string]bool{}, key: true, theirs: theirs})
		case json.Delim('['):
			open = append(open, level{theirs: theirs})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
		if len(open) > deepest {
			return errTooDeep
		}
	}
}
