package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// The domains of what is hashed or signed. Another form gets another number.
const (
	domainEvent      = "vel.audit.event.1"
	domainRoot       = "vel.audit.root.1"
	domainSeal       = "vel.audit.seal.1"
	domainCheckpoint = "vel.audit.checkpoint.1"
	domainExport     = "vel.audit.export.1"
)

// text is the one text of a domain and its fields.
func text(domain string, fields ...string) []byte {
	b := field(nil, domain)
	for _, f := range fields {
		b = field(b, f)
	}
	return b
}

func field(b []byte, f string) []byte {
	b = strconv.AppendInt(b, int64(len(f)), 10)
	b = append(b, ':')
	b = append(b, f...)
	return append(b, ',')
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// timeForm is how a time is hashed and exported.
const timeForm = "2006-01-02T15:04:05.000000Z"

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeForm)
}

// Leaf is the hash of an event: of all that it says, but not of where it stands.
func Leaf(e *tenancy.AuditEvent) string {
	return digest(text(domainEvent, string(e.Org), string(e.ID), moment(e.Time), e.Action, e.Outcome, e.Reason, number(e.Count),
		string(e.By.Org), string(e.By.User), string(e.By.Key), string(e.By.Session), e.By.Name, e.By.Email, e.By.Address, e.By.Agent, string(e.By.Request),
		e.Object.Kind, string(e.Object.ID), e.Object.Name, e.Before, e.After))
}

// Seal is one link of a chain.
type Seal struct {
	Org      tenancy.ID
	Number   int64     // from 1
	Time     time.Time // when it was made
	Count    int64     // of its events, at least 1
	First    tenancy.ID
	Last     tenancy.ID
	Earliest time.Time // of its events; all of them are of one day
	Latest   time.Time
	Root     string // the hash of their leaves
	Previous string // the hash of the seal before; empty: it is the first
	Hash     string // of all of this
}

func (s *Seal) hash() string {
	return digest(text(domainSeal, string(s.Org), number(s.Number), moment(s.Time), number(s.Count), string(s.First), string(s.Last),
		moment(s.Earliest), moment(s.Latest), s.Root, s.Previous))
}

// Extend makes the seal that follows the head of a chain, over events of one day in the order that they have here, and
// tells each event its place. head is the zero Checkpoint of an organization that has no chain yet.
func Extend(head *Checkpoint, org tenancy.ID, events []tenancy.AuditEvent, now time.Time) Seal {
	first, last := &events[0], &events[len(events)-1]
	s := Seal{
		Org: org, Number: head.Seal + 1, Time: now.UTC().Truncate(time.Microsecond), Count: int64(len(events)), First: first.ID, Last: last.ID,
		Earliest: first.Time, Latest: first.Time, Previous: head.Hash,
	}
	root := text(domainRoot)
	for i := range events {
		e := &events[i]
		e.Sealed = tenancy.AuditSealed{Seal: s.Number, Place: int64(i), Leaf: Leaf(e)}
		root = field(root, e.Sealed.Leaf)
		if e.Time.Before(s.Earliest) {
			s.Earliest = e.Time
		}
		if e.Time.After(s.Latest) {
			s.Latest = e.Time
		}
	}
	s.Root = digest(root)
	s.Hash = s.hash()
	return s
}

// Day is when the day of a time began. Seals do not reach over it, so that whole seals lose their events, or none.
func Day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
