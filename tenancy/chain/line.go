package chain

import (
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// An export is lines of JSON, each with its kind:
//
//	audit        once: whose log it is, and of which time
//	head         once: the signed head. It is missing if nothing was ever sealed
//	seal         the seals of that time and all after them, in their order
//	event        after its seal, in their order. Seals outside of that time, or of days that were removed, have none
//	checkpoint   after the seal that it names
//	unsealed     an event that should have been sealed long ago, or that stands under a seal that does not exist
//	end          once: how many lines there are before, and their hash, signed
//
// The members of a line are the fields of what is hashed, in the same order.

// form is what the first line says of the form.
const form = "vel-audit-1"

type headerLine struct {
	Kind  string     `json:"kind"`
	Form  string     `json:"form"`
	Org   tenancy.ID `json:"organization"`
	From  stamp      `json:"from"`
	To    stamp      `json:"to"`
	Made  stamp      `json:"made"`
	Maker string     `json:"maker"`
}

type eventLine struct {
	Kind       string     `json:"kind"`
	Org        tenancy.ID `json:"organization"`
	ID         tenancy.ID `json:"id"`
	Time       stamp      `json:"time"`
	Action     string     `json:"action"`
	Outcome    string     `json:"outcome"`
	Reason     string     `json:"reason"`
	Count      int64      `json:"count"`
	ByOrg      tenancy.ID `json:"by_organization"`
	ByUser     tenancy.ID `json:"by_user"`
	ByKey      tenancy.ID `json:"by_key"`
	BySession  tenancy.ID `json:"by_session"`
	ByName     string     `json:"by_name"`
	ByEmail    string     `json:"by_email"`
	Address    string     `json:"address"`
	Agent      string     `json:"agent"`
	Request    tenancy.ID `json:"request"`
	ObjectKind string     `json:"object_kind"`
	ObjectID   tenancy.ID `json:"object_id"`
	ObjectName string     `json:"object_name"`
	Before     string     `json:"before"`
	After      string     `json:"after"`
	Seal       int64      `json:"seal"`
	Place      int64      `json:"place"`
	Leaf       string     `json:"leaf"`
}

func lineOf(e *tenancy.AuditEvent) eventLine {
	return eventLine{
		"event", e.Org, e.ID, stamp(e.Time), e.Action, e.Outcome, e.Reason, e.Count,
		e.By.Org, e.By.User, e.By.Key, e.By.Session, e.By.Name, e.By.Email, e.By.Address, e.By.Agent, e.By.Request,
		e.Object.Kind, e.Object.ID, e.Object.Name, e.Before, e.After, e.Sealed.Seal, e.Sealed.Place, e.Sealed.Leaf,
	}
}

func (l *eventLine) event() tenancy.AuditEvent {
	return tenancy.AuditEvent{
		ID: l.ID, Org: l.Org, Time: time.Time(l.Time), Action: l.Action, Outcome: l.Outcome, Reason: l.Reason, Count: l.Count,
		By: tenancy.Actor{
			Org: l.ByOrg, User: l.ByUser, Key: l.ByKey, Session: l.BySession, Name: l.ByName, Email: l.ByEmail,
			Address: l.Address, Agent: l.Agent, Request: l.Request,
		},
		Object: tenancy.AuditObject{Kind: l.ObjectKind, ID: l.ObjectID, Name: l.ObjectName}, Before: l.Before, After: l.After,
		Sealed: tenancy.AuditSealed{Seal: l.Seal, Place: l.Place, Leaf: l.Leaf},
	}
}

type sealLine struct {
	Kind     string     `json:"kind"`
	Org      tenancy.ID `json:"organization"`
	Number   int64      `json:"number"`
	Time     stamp      `json:"time"`
	Count    int64      `json:"count"`
	First    tenancy.ID `json:"first"`
	Last     tenancy.ID `json:"last"`
	Earliest stamp      `json:"earliest"`
	Latest   stamp      `json:"latest"`
	Root     string     `json:"root"`
	Previous string     `json:"previous"`
	Hash     string     `json:"hash"`
}

func (l *sealLine) seal() Seal {
	return Seal{l.Org, l.Number, time.Time(l.Time), l.Count, l.First, l.Last, time.Time(l.Earliest), time.Time(l.Latest), l.Root, l.Previous, l.Hash}
}

type checkpointLine struct {
	Kind      string     `json:"kind"` // checkpoint or head
	Org       tenancy.ID `json:"organization"`
	Number    int64      `json:"number"`
	Time      stamp      `json:"time"`
	Seal      int64      `json:"seal"`
	Hash      string     `json:"hash"`
	KeptFrom  stamp      `json:"kept_from"`
	Key       Key        `json:"key"`
	Signature string     `json:"signature"`
}

func (l *checkpointLine) checkpoint() Checkpoint {
	return Checkpoint{l.Org, l.Number, time.Time(l.Time), l.Seal, l.Hash, time.Time(l.KeptFrom), l.Key, l.Signature}
}

type endLine struct {
	Kind      string `json:"kind"`
	Lines     int64  `json:"lines"`
	Hash      string `json:"hash"` // of all bytes before this line
	Key       Key    `json:"key"`
	Signature string `json:"signature"`
}

func (l *endLine) text() []byte { return text(domainExport, number(l.Lines), l.Hash, string(l.Key)) }

// stamp is a time as it is hashed; the zero time is the empty text.
type stamp time.Time

// MarshalText gives the text.
func (s stamp) MarshalText() ([]byte, error) { return []byte(moment(time.Time(s))), nil }

// UnmarshalText takes that text and no other way to write the same time.
func (s *stamp) UnmarshalText(text []byte) error {
	*s = stamp{}
	if len(text) == 0 {
		return nil
	}
	t, err := time.Parse(timeForm, string(text))
	*s = stamp(t)
	return err
}
