package replay

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Name is what an answer is kept under: two requests have the same one if and only if they ask the same of the same.
type Name [sha256.Size]byte

// String is the name in hexadecimal digits.
func (n Name) String() string { return hex.EncodeToString(n[:]) }

// Namer writes down what makes a request the one it is. Begin, what is said of it, then Name.
//
//	text    its length, its bytes
//	object  '{', how many members, each key and value in the order of keys
//	array   '[', each, ']'
//	string  '"', what it says as text, however it is escaped
//	number  '#', as it is written: 1.0 and 1 are different requests
//	others  their first letter
type Namer struct {
	buf     []byte
	members []member // of all objects that are open
}

type member struct {
	key   string
	value gjson.Result
}

var namers = sync.Pool{New: func() any { return &Namer{} }}

// Begin takes a namer that has nothing yet.
func Begin() *Namer {
	n := namers.Get().(*Namer)
	n.buf, n.members = n.buf[:0], n.members[:0]
	return n
}

// Up to which size a namer is used again.
const (
	keepBelow   = 256 << 10
	keepMembers = 1024
)

// Name ends the work and gives the namer back.
func (n *Namer) Name() Name {
	name := Name(sha256.Sum256(n.buf))
	if cap(n.buf) <= keepBelow && cap(n.members) <= keepMembers {
		clear(n.members[:cap(n.members)]) // they alias the request
		namers.Put(n)
	}
	return name
}

// Text adds a text.
func (n *Namer) Text(s string) {
	n.count(len(s))
	n.buf = append(n.buf, s...)
}

// JSON adds a JSON value that was checked, but for the members of its top level that are named except: those mean
// something else.
func (n *Namer) JSON(body string, except ...string) {
	n.value(gjson.Parse(body), except)
}

func (n *Namer) count(k int) { n.buf = binary.AppendUvarint(n.buf, uint64(k)) }

func (n *Namer) value(v gjson.Result, except []string) {
	switch v.Type {
	case gjson.String:
		n.text(v)
	case gjson.Number:
		n.buf = append(n.buf, '#')
		n.Text(v.Raw)
	case gjson.JSON:
		if v.IsObject() {
			n.object(v, except)
		} else {
			n.array(v)
		}
	default:
		n.buf = append(n.buf, v.Raw[0])
	}
}

// text adds a string. Escapes of half a character have no text of their own: such a string is told by how it is written.
func (n *Namer) text(v gjson.Result) {
	if strings.IndexByte(v.Raw, '\\') >= 0 && strings.ContainsRune(v.Str, utf8.RuneError) {
		n.buf = append(n.buf, '\\')
		n.Text(v.Raw)
		return
	}
	n.buf = append(n.buf, '"')
	n.Text(v.Str)
}

// object adds the members by their keys. Of two with the same key the order means something and is kept.
func (n *Namer) object(v gjson.Result, except []string) {
	from := len(n.members)
	v.ForEach(func(key, value gjson.Result) bool {
		if !slices.Contains(except, key.Str) {
			n.members = append(n.members, member{key.Str, value})
		}
		return true
	})
	to := len(n.members)
	slices.SortStableFunc(n.members[from:to], func(a, b member) int { return cmp.Compare(a.key, b.key) })
	n.buf = append(n.buf, '{')
	n.count(to - from)
	for i := from; i < to; i++ {
		n.Text(n.members[i].key)
		n.value(n.members[i].value, nil)
	}
	n.members = n.members[:from]
}

func (n *Namer) array(v gjson.Result) {
	n.buf = append(n.buf, '[')
	v.ForEach(func(_, value gjson.Result) bool {
		n.value(value, nil)
		return true
	})
	n.buf = append(n.buf, ']')
}
