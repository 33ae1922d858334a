package accounting

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

var (
	errNoRecord = errors.New("no call is named")
	errTooMany  = errors.New("more than a record has room for")
)

// Decode makes the record what Append has written, and keeps nothing of b. What it does not know it skips.
func (r *Record) Decode(b []byte) error {
	*r = Record{}
	all := message{b, string(b)} // one copy, of which every text of the record is a part
	err := all.each(func(f field) error {
		if r.decodeWho(f) || r.decodeEnd(f) {
			return nil
		}
		return r.decodeRest(f)
	})
	switch {
	case err != nil:
		return fmt.Errorf("decode a record: %w", err)
	case r.ID == "" || r.State == 0:
		return fmt.Errorf("decode a record: %w", errNoRecord)
	}
	return nil
}

// decodeWho takes whose call it was, for what, and where it went.
func (r *Record) decodeWho(f field) (known bool) {
	switch f.number {
	case fieldID:
		r.ID = tenancy.ID(f.text)
	case fieldBegun:
		r.Begun = time.UnixMicro(f.n).UTC()
	case fieldOrg:
		r.Who.Org = tenancy.ID(f.text)
	case fieldTeam:
		r.Who.Team = tenancy.ID(f.text)
	case fieldUser:
		r.Who.User = tenancy.ID(f.text)
	case fieldKey:
		r.Who.Key = tenancy.ID(f.text)
	case fieldRoute:
		r.Route = f.text
	case fieldProvider:
		r.Provider = f.text
	case fieldModel:
		r.Model = f.text
	case fieldEndpoint:
		r.Endpoint = adapters.Endpoint(f.n)
	case fieldStream:
		r.Stream = f.n != 0
	case fieldTask:
		r.Task = tenancy.ID(f.text)
	case fieldRun:
		r.Run = tenancy.ID(f.text)
	case fieldAgent:
		r.Agent = f.text
	case fieldCache:
		r.Cache = f.text
	default:
		return false
	}
	return true
}

// decodeEnd takes how it ended, when, and what it cost.
func (r *Record) decodeEnd(f field) (known bool) {
	switch f.number {
	case fieldState:
		r.State = State(f.n)
	case fieldStatus:
		r.Status = int(f.n)
	case fieldClass:
		r.Class = adapters.Class(f.n)
	case fieldError:
		r.Error = f.text
	case fieldWaiting:
		r.Waiting = f.duration()
	case fieldFirstToken:
		r.FirstToken = f.duration()
	case fieldTotal:
		r.Total = f.duration()
	case fieldEstimated:
		r.Estimated = f.n != 0
	case fieldCost:
		r.Cost = money.Nano(f.n)
	case fieldUnpriced:
		r.Unpriced = f.text
	case fieldEstimate:
		r.Estimate = money.Nano(f.n)
	case fieldSaved:
		r.Saved = money.Nano(f.n)
	default:
		return false
	}
	return true
}

// decodeRest takes what has parts, and skips what is not known.
func (r *Record) decodeRest(f field) error {
	switch f.number {
	case fieldAttempt:
		if len(r.Attempts) == maxAttempts {
			return errTooMany
		}
		r.Attempts = append(r.Attempts, Attempt{})
		return r.Attempts[len(r.Attempts)-1].decode(f.message)
	case fieldUsage:
		return decodeUsage(&r.Usage, f.message)
	case fieldTag:
		if len(r.Tags) == maxTags {
			return errTooMany
		}
		r.Tags = append(r.Tags, Tag{})
		return r.Tags[len(r.Tags)-1].decode(f.message)
	case fieldDropped:
		if len(r.Dropped) == maxDropped {
			return errTooMany
		}
		r.Dropped = append(r.Dropped, f.text)
	case fieldDecision:
		r.Decision = []byte(f.text)
	case fieldHolds:
		r.Holds = []byte(f.text)
	case fieldMirror:
		return r.Mirror.decode(f.message)
	case fieldBooking:
		if len(r.Bookings) == maxBookings {
			return errTooMany
		}
		r.Bookings = append(r.Bookings, Booking{})
		return r.Bookings[len(r.Bookings)-1].decode(f.message)
	case fieldPrompt:
		r.Prompt = []byte(f.text)
	case fieldAnswer:
		r.Answer = []byte(f.text)
	}
	return nil
}

func (a *Attempt) decode(m message) error {
	return m.each(func(f field) error {
		switch f.number {
		case attemptProvider:
			a.Provider = f.text
		case attemptModel:
			a.Model = f.text
		case attemptBegan:
			a.Began = f.duration()
		case attemptFirstByte:
			a.FirstByte = f.duration()
		case attemptTotal:
			a.Total = f.duration()
		case attemptClass:
			a.Class = adapters.Class(f.n)
		case attemptStatus:
			a.Status = int(f.n)
		case attemptExecuted:
			a.Executed = f.n != 0
		case attemptUsage:
			return decodeUsage(&a.Usage, f.message)
		case attemptEstimated:
			a.Estimated = f.n != 0
		case attemptCost:
			a.Cost = money.Nano(f.n)
		case attemptUnpriced:
			a.Unpriced = f.text
		case attemptPrice:
			a.Price = f.text
		}
		return nil
	})
}

func (k *Booking) decode(m message) error {
	return m.each(func(f field) error {
		switch f.number {
		case bookingBudget:
			k.Budget = tenancy.ID(f.text)
		case bookingWindow:
			k.Window = time.UnixMicro(f.n).UTC()
		case bookingHeld:
			k.Held = money.Nano(f.n)
		case bookingSpent:
			k.Spent = money.Nano(f.n)
		}
		return nil
	})
}

func (t *Tag) decode(m message) error {
	return m.each(func(f field) error {
		switch f.number {
		case tagKey:
			t.Key = f.text
		case tagValue:
			t.Value = f.text
		}
		return nil
	})
}

// decodeUsage leaves out units that a newer program knows.
func decodeUsage(u *adapters.Usage, m message) error {
	return m.each(func(f field) error {
		if unit := int(f.number) - 1; unit < len(u) {
			u[unit] = f.n
		}
		return nil
	})
}

// message is the bytes of one, and the same as a text, whose parts need no copy.
type message struct {
	bytes []byte
	text  string
}

// field is one field of a message: its number, and what it holds of either.
type field struct {
	number  protowire.Number
	n       int64
	message // a part of the record that is decoded
}

func (f *field) duration() time.Duration { return time.Duration(f.n) * time.Microsecond }

// each gives every field that is a number or a text; those of other types only newer programs write.
func (m message) each(take func(f field) error) error {
	for len(m.bytes) > 0 {
		number, kind, n := protowire.ConsumeTag(m.bytes)
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m.from(n)
		f := field{number: number}
		switch kind {
		case protowire.VarintType:
			var value uint64
			value, n = protowire.ConsumeVarint(m.bytes)
			f.n = int64(value)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(m.bytes)
			f.text = m.text[max(n, 0)-len(f.bytes) : max(n, 0)]
		default:
			f.number = 0
			n = protowire.ConsumeFieldValue(number, kind, m.bytes)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		m = m.from(n)
		if f.number == 0 {
			continue
		}
		if err := take(f); err != nil {
			return err
		}
	}
	return nil
}

func (m message) from(n int) message { return message{m.bytes[n:], m.text[n:]} }

// heading is what of a record tells what it is of. It is valid as long as the bytes are.
func heading(b []byte) (state State, id []byte, err error) {
	for len(b) > 0 && (state == 0 || id == nil) {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return 0, nil, protowire.ParseError(n)
		}
		b = b[n:]
		n = protowire.ConsumeFieldValue(number, kind, b)
		if n < 0 {
			return 0, nil, protowire.ParseError(n)
		}
		switch {
		case number == fieldState && kind == protowire.VarintType:
			value, _ := protowire.ConsumeVarint(b)
			state = State(value)
		case number == fieldID && kind == protowire.BytesType:
			id, _ = protowire.ConsumeBytes(b)
		}
		b = b[n:]
	}
	if state == 0 || len(id) == 0 {
		return 0, nil, errNoRecord
	}
	return state, id, nil
}
