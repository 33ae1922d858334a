package tenancy

import (
	"encoding/hex"
	"regexp"
	"time"

	"github.com/google/uuid"
)

// Meta is what every managed object has.
type Meta struct {
	ID        ID
	Org       ID     // whose it is; of an organization its own id
	Name      string // for people; unique within the organization and the kind
	ManagedBy Manager
	Shadowed  bool  // the file declares another object with this name, and that one is the one that is meant
	Deleted   bool  // only in a feed of changes: a deleted object is found nowhere else
	Rev       int64 // grows with every change of the object; what If-Match compares
	Created   time.Time
	Updated   time.Time
}

// object lets generic code reach the Meta of any resource.
func (m *Meta) object() *Meta { return m }

// Object is a managed resource: an organization, a team, a user, a role or a key.
type Object interface{ object() *Meta }

// MetaOf is the Meta inside v, to be read and written.
func MetaOf(v Object) *Meta { return v.object() }

// Manager says who owns an object: who may change it.
type Manager uint8

// The managers.
const (
	ByAPI  Manager = iota // it lives in the database
	ByFile                // it stands in the configuration file and is read-only elsewhere
	ByVel                 // it is built in and never changes
)

// String is the word that the API has for it.
func (m Manager) String() string { return [...]string{"api", "file", "vel"}[m] }

// NewID makes an id that sorts by time: prefix, an underscore, and a UUID of version 7 in 32 hex digits.
func NewID(prefix string) ID {
	id := uuid.Must(uuid.NewV7())
	text := make([]byte, len(prefix)+1+2*len(id))
	n := copy(text, prefix)
	text[n] = '_'
	hex.Encode(text[n+1:], id[:])
	return ID(text)
}

var idForm = regexp.MustCompile(`^[a-z]{2,12}_[0-9a-f]{32}$|^(org|key|provider|route|limit|budget):[A-Za-z0-9._/:-]{1,200}$`)

// IsID tells whether a text has the form of an id that NewID made, or that is derived from a path in the file.
func IsID(text ID) bool { return idForm.MatchString(string(text)) }
