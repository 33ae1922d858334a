package adapters

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/vel-gateway/vel/adapters/strictjson"
)

// Named is an object that a request names: the field where it stands, and the id.
type Named struct{ Param, ID string }

// mayName tells of a key whether the member may name what a provider keeps. It sees every key of every chat, so it
// only compares; a key that is spelled with escapes could be any.
func mayName(key []byte) bool {
	switch string(key) {
	case "file_id", "file_ids", "input_file_id", "training_file", "validation_file", "part_ids", "vector_store_id", "vector_store_ids",
		"container", "container_id", "previous_response_id", "conversation":
		return true
	}
	return bytes.IndexByte(key, '\\') >= 0
}

// mayNameItem is mayName where the items of a response may be named by their ids, too.
func mayNameItem(key []byte) bool { return string(key) == "id" || mayName(key) }

// AppendNamed appends everything that the JSON body of a request names by an id, as it stands there, each as often as it
// does. The ids alias the body. Parse must have checked the body, but for Objects, where this does: who reads it
// otherwise than the provider could be shown another id than the provider is.
func AppendNamed(out []Named, in *Content) ([]Named, error) {
	if in.Endpoint == Objects {
		if err := topLevelObject(in.Body); err != nil {
			return out, err
		}
		if err := strictjson.Walk(in.Body, nil); err != nil {
			return out, refusal(err)
		}
	}
	n := naming{doc: stringOf(in.Body), found: out, objects: in.Endpoint == Objects}
	switch in.Endpoint {
	case Objects, Responses, ResponsesInputTokens, ResponsesCompact:
		n.items = true
	}
	n.space()
	n.object("", 0, nil)
	return n.found, nil
}

// naming walks once over a text that is known to be sound, and collects what is named.
type naming struct {
	doc     string
	i       int // the next byte
	found   []Named
	objects bool // the call is one on objects
	items   bool // input holds items
	mute    int  // how many of the values around are the client's own, in which nothing is named
}

// value goes over a value. If there is a name, texts in it are ids, alone or in arrays.
func (n *naming) value(name string, depth int) {
	switch n.space() {
	case '"':
		if id := n.text(); name != "" {
			n.add(name, id)
		}
	case '{':
		n.object(name, depth, nil)
	case '[':
		n.array(func() { n.value(name, depth+1) })
	default:
		for n.i < len(n.doc) && strings.IndexByte(",]} \t\r\n", n.doc[n.i]) < 0 {
			n.i++
		}
	}
}

func (n *naming) array(each func()) {
	for n.i++; n.space() != ']'; {
		if each(); n.space() == ',' {
			n.i++
		}
	}
	n.i++
}

// object goes over the members of an object. Every one counts, also of two with one name: which of them the provider
// believes is not ours to know.
func (n *naming) object(name string, depth int, of *item) {
	for n.i++; n.space() != '}'; {
		key := n.text()
		n.space()
		n.i++ // the colon
		n.member(key, name, depth, of)
		if n.space() == ',' {
			n.i++
		}
	}
	n.i++
}

// member goes over a member's value. name is what the object around it is the value of.
func (n *naming) member(key, name string, depth int, of *item) {
	first := n.space()
	switch key {
	case "metadata", "parameters", "schema", "attributes":
		n.mute++
		n.value("", depth+1)
		n.mute--
		return
	case "file_id", "file_ids", "input_file_id", "training_file", "validation_file", "part_ids", "vector_store_id", "vector_store_ids",
		"container", "container_id", "conversation", "previous_response_id":
		n.value(key, depth+1)
		return
	case "input", "items":
		if depth == 0 && first == '[' && n.items {
			n.array(func() { n.item(key) })
			return
		}
	case "model": // one that a job has made
		if depth == 0 && n.objects && first == '"' && strings.HasPrefix(n.peek(), "ft:") {
			n.value(key, depth+1)
			return
		}
	case "id":
		if (name == "container" || name == "conversation") && first == '"' {
			n.value(name, depth+1)
			return
		}
	}
	if of != nil {
		text := ""
		if first == '"' {
			text = n.peek()
		}
		of.member(key, text)
	}
	n.value("", depth+1)
}

// item goes over an item of a response or a conversation.
func (n *naming) item(name string) {
	if n.space() != '{' {
		n.value("", 2)
		return
	}
	var of item
	if n.object("", 2, &of); of.whole() {
		return
	}
	for _, id := range of.ids {
		n.add(name, id)
	}
}

func (n *naming) add(name, id string) {
	if id != "" && n.mute == 0 {
		n.found = append(n.found, Named{name, id})
	}
}

// space goes to the next byte that means something, and gives it.
func (n *naming) space() byte {
	for ; n.i < len(n.doc); n.i++ {
		if c := n.doc[n.i]; c > ' ' {
			return c
		}
	}
	panic("adapters: the text has not been checked")
}

// text takes a text. It aliases the body unless there is something to replace.
func (n *naming) text() string {
	start := n.i + 1
	for n.i = start; n.doc[n.i] != '"'; n.i++ {
		if n.doc[n.i] == '\\' {
			n.i++
		}
	}
	n.i++
	return unescape(bytesOf(n.doc[start : n.i-1]))
}

// peek is the text that begins here.
func (n *naming) peek() string {
	at := n.i
	s := n.text()
	n.i = at
	return s
}

// item is what says whether an item holds its content itself. If not, the provider looks for its id. The id of any
// other says nothing: it may come from an answer that was not kept, or that was made elsewhere.
type item struct {
	ids                 []string
	kind                string
	kinds               int
	role, sealed, drawn once
}

// once tells whether a member was there a single time, with a text.
type once int

func (o *once) see(text string) {
	if *o++; text == "" {
		*o++
	}
}

func (m *item) member(key, text string) {
	switch key {
	case "id":
		m.ids = append(m.ids, text)
	case "type":
		m.kind = cmp.Or(text, m.kind)
		m.kinds++
	case "role":
		m.role.see(text)
	case "encrypted_content":
		m.sealed.see(text)
	case "result":
		m.drawn.see(text)
	}
}

func (m *item) whole() bool {
	switch {
	case m.kinds > 1 || m.kind == "item_reference":
		return false
	case m.kind == "":
		return m.role == 1
	case m.kind == "reasoning":
		return m.sealed == 1
	case m.kind == "image_generation_call":
		return m.drawn == 1
	}
	return true
}
