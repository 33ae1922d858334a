package accounting

import (
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// A record in the spool is a message in the wire format of Protocol Buffers, so that what an older program does not know
// it skips, and what it does not write is empty to a newer one. A number is never given to another field, and what an
// adapters.Class, an Endpoint or a Unit is by number never changes: records outlive the program that wrote them.
const (
	fieldState protowire.Number = iota + 1
	fieldID
	fieldBegun // microseconds since 1970, as are all times; durations are microseconds too
	fieldOrg
	fieldTeam
	fieldUser
	fieldKey
	fieldRoute
	fieldProvider
	fieldModel
	fieldEndpoint
	fieldStream
	fieldStatus
	fieldClass
	fieldError
	fieldAttempt
	fieldWaiting
	fieldFirstToken
	fieldTotal
	fieldUsage
	fieldEstimated
	fieldCost
	fieldUnpriced
	fieldEstimate
	fieldTag
	fieldTask
	fieldRun
	fieldDecision
	fieldDropped
	fieldAgent
	fieldCache
	fieldHolds
	fieldPrompt
	fieldAnswer
	fieldBooking
	fieldSaved
	fieldMirror
)

// The fields of an attempt.
const (
	attemptProvider protowire.Number = iota + 1
	attemptModel
	attemptBegan
	attemptFirstByte
	attemptTotal
	attemptClass
	attemptStatus
	attemptExecuted
	attemptUsage
	attemptEstimated
	attemptCost
	attemptUnpriced
	attemptPrice
)

// The fields of a tag.
const (
	tagKey protowire.Number = iota + 1
	tagValue
)

// The fields of a booking.
const (
	bookingBudget protowire.Number = iota + 1
	bookingWindow
	bookingHeld
	bookingSpent
)

// What a record has room for. Append leaves out what is more, and Decode takes no more.
const (
	maxText     = 4 << 10 // bytes of one text
	maxAttempts = 256
	maxTags     = 256
	maxDropped  = 256
	maxBookings = 64
	maxContent  = 4 << 20 // bytes of what is sealed, and of what other packages have encoded
)

// Append appends the record as bytes. It allocates nothing if b has room.
func (r *Record) Append(b []byte) []byte {
	b = appendNumber(b, fieldState, int64(r.State))
	b = appendID(b, fieldID, r.ID)
	if !r.Begun.IsZero() {
		b = appendNumber(b, fieldBegun, r.Begun.UnixMicro())
	}
	b = r.appendWho(b)
	b = r.appendEnd(b)
	for i := range r.Attempts[:min(len(r.Attempts), maxAttempts)] {
		b = r.Attempts[i].append(b)
	}
	b = appendUsage(b, fieldUsage, &r.Usage)
	b = appendTruth(b, fieldEstimated, r.Estimated)
	b = appendNumber(b, fieldCost, int64(r.Cost))
	b = appendText(b, fieldUnpriced, r.Unpriced)
	b = appendNumber(b, fieldEstimate, int64(r.Estimate))
	b = appendNumber(b, fieldSaved, int64(r.Saved))
	b = r.Mirror.append(b)
	for i := range r.Tags[:min(len(r.Tags), maxTags)] {
		b = r.Tags[i].append(b)
	}
	for _, name := range r.Dropped[:min(len(r.Dropped), maxDropped)] {
		b = appendEntry(b, fieldDropped, name)
	}
	b = appendBytes(b, fieldDecision, r.Decision)
	b = appendBytes(b, fieldHolds, r.Holds)
	for i := range r.Bookings[:min(len(r.Bookings), maxBookings)] {
		b = r.Bookings[i].append(b)
	}
	b = appendBytes(b, fieldPrompt, r.Prompt)
	return appendBytes(b, fieldAnswer, r.Answer)
}

// appendWho appends whose call it was, for what, and where it went.
func (r *Record) appendWho(b []byte) []byte {
	b = appendID(b, fieldOrg, r.Who.Org)
	b = appendID(b, fieldTeam, r.Who.Team)
	b = appendID(b, fieldUser, r.Who.User)
	b = appendID(b, fieldKey, r.Who.Key)
	b = appendText(b, fieldRoute, r.Route)
	b = appendText(b, fieldProvider, r.Provider)
	b = appendText(b, fieldModel, r.Model)
	b = appendNumber(b, fieldEndpoint, int64(r.Endpoint))
	b = appendTruth(b, fieldStream, r.Stream)
	b = appendID(b, fieldTask, r.Task)
	b = appendID(b, fieldRun, r.Run)
	b = appendText(b, fieldAgent, r.Agent)
	return appendText(b, fieldCache, r.Cache)
}

// appendEnd appends how it ended, and when.
func (r *Record) appendEnd(b []byte) []byte {
	b = appendNumber(b, fieldStatus, int64(r.Status))
	b = appendNumber(b, fieldClass, int64(r.Class))
	b = appendText(b, fieldError, r.Error)
	b = appendDuration(b, fieldWaiting, r.Waiting)
	b = appendDuration(b, fieldFirstToken, r.FirstToken)
	return appendDuration(b, fieldTotal, r.Total)
}

func (a *Attempt) append(b []byte) []byte {
	b, at := openMessage(b, fieldAttempt)
	b = appendText(b, attemptProvider, a.Provider)
	b = appendText(b, attemptModel, a.Model)
	b = appendDuration(b, attemptBegan, a.Began)
	b = appendDuration(b, attemptFirstByte, a.FirstByte)
	b = appendDuration(b, attemptTotal, a.Total)
	b = appendNumber(b, attemptClass, int64(a.Class))
	b = appendNumber(b, attemptStatus, int64(a.Status))
	b = appendTruth(b, attemptExecuted, a.Executed)
	b = appendUsage(b, attemptUsage, &a.Usage)
	b = appendTruth(b, attemptEstimated, a.Estimated)
	b = appendNumber(b, attemptCost, int64(a.Cost))
	b = appendText(b, attemptUnpriced, a.Unpriced)
	b = appendText(b, attemptPrice, a.Price)
	return closeMessage(b, at)
}

func (t *Tag) append(b []byte) []byte {
	b, at := openMessage(b, fieldTag)
	b = appendText(b, tagKey, t.Key)
	b = appendText(b, tagValue, t.Value)
	return closeMessage(b, at)
}

func (k *Booking) append(b []byte) []byte {
	b, at := openMessage(b, fieldBooking)
	b = appendID(b, bookingBudget, k.Budget)
	if !k.Window.IsZero() {
		b = appendNumber(b, bookingWindow, k.Window.UnixMicro())
	}
	b = appendNumber(b, bookingHeld, int64(k.Held))
	b = appendNumber(b, bookingSpent, int64(k.Spent))
	return closeMessage(b, at)
}

// appendUsage appends what was used of each unit, whose field has its number and one more.
func appendUsage(b []byte, field protowire.Number, u *adapters.Usage) []byte {
	if *u == (adapters.Usage{}) {
		return b
	}
	b, at := openMessage(b, field)
	for unit, n := range u {
		b = appendNumber(b, protowire.Number(unit+1), n)
	}
	return closeMessage(b, at)
}

// openMessage begins a message within the record. Its length is not known yet, so three bytes are left for it: enough for
// what a message can hold, and a number may have leading zeros in this format.
func openMessage(b []byte, field protowire.Number) (out []byte, at int) {
	b = appendTag(b, field, protowire.BytesType)
	return append(b, 0, 0, 0), len(b)
}

func closeMessage(b []byte, at int) []byte {
	n := len(b) - at - 3
	b[at], b[at+1], b[at+2] = byte(n)|0x80, byte(n>>7)|0x80, byte(n>>14)
	return b
}

// appendTag is protowire's for the numbers that are used here, short enough to become part of its caller.
func appendTag(b []byte, field protowire.Number, kind protowire.Type) []byte {
	v := uint32(field)<<3 | uint32(kind)
	if v < 0x80 {
		return append(b, byte(v))
	}
	return append(b, byte(v)|0x80, byte(v>>7))
}

func appendString(b []byte, text string) []byte {
	if len(text) < 0x80 {
		return append(append(b, byte(len(text))), text...)
	}
	return protowire.AppendString(b, text)
}

func appendNumber(b []byte, field protowire.Number, n int64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(appendTag(b, field, protowire.VarintType), uint64(n))
}

func appendTruth(b []byte, field protowire.Number, truth bool) []byte {
	if !truth {
		return b
	}
	return appendNumber(b, field, 1)
}

func appendDuration(b []byte, field protowire.Number, d time.Duration) []byte {
	return appendNumber(b, field, d.Microseconds())
}

// appendID appends what was made here, so that it needs no look.
func appendID(b []byte, field protowire.Number, id tenancy.ID) []byte {
	if id == "" {
		return b
	}
	return appendString(appendTag(b, field, protowire.BytesType), string(id))
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return appendEntry(b, field, text)
}

// appendEntry appends a text, and does so if it is empty.
func appendEntry(b []byte, field protowire.Number, text string) []byte {
	return appendString(appendTag(b, field, protowire.BytesType), storable(text))
}

func appendBytes(b []byte, field protowire.Number, p []byte) []byte {
	if len(p) == 0 || len(p) > maxContent {
		return b
	}
	return protowire.AppendBytes(appendTag(b, field, protowire.BytesType), p)
}

// storable is a text as a database takes it, whatever a client has sent: bounded, in UTF-8, without a zero.
func storable(text string) string {
	plain := len(text) <= maxText
	for i := 0; i < len(text) && plain; i++ {
		plain = text[i]-1 < utf8.RuneSelf-1
	}
	if plain {
		return text
	}
	text = text[:min(len(text), maxText)]
	return strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", "?")
}
