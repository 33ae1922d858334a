package storage

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tenancy"
)

// How a record of a call stands in the database: a row of calls is its members, what is searched for or summed each in a
// column of its own, the rest as JSON.

// field is a column that many rows are appended to at once.
type field struct{ name, kind string }

// The kinds of columns.
const (
	textual = "text"
	number  = "bigint"
	truth   = "boolean"
	binary  = "bytea"
)

// callFields are the columns of a call that say something about it, in the order in which they are hashed. Those of where
// it stands among the records of its node follow them.
func callFields() []field {
	return []field{
		{"org_id", textual},
		{"id", textual},
		{"begun_us", number},
		{"state", number},
		{"team_id", textual},
		{"user_id", textual},
		{"key_id", textual},
		{"route", textual},
		{"provider", textual},
		{"model", textual},
		{"endpoint", textual},
		{"stream", truth},
		{"status", number},
		{"class", textual},
		{"failed", truth},
		{"error", textual},
		{"waiting_ns", number},
		{"first_ns", number},
		{"total_ns", number},
		{"usage", textual},
		{"estimated", truth},
		{"cost", number},
		{"unpriced", textual},
		{"estimate", number},
		{"tags", textual},
		{"task_id", textual},
		{"run_id", textual},
		{"dropped", textual},
		{"agent", textual},
		{"cache", textual},
		{"attempts", textual},
		{"decision", binary},
		{"holds", binary},
		{"saved", number},
		{"mirror", textual},
	}
}

func placeFields() []field { return []field{{"node", textual}, {"batch", number}, {"place", number}} }

// How long texts may be, in bytes: those that an index holds, and the others.
const (
	longestIndexed = 256
	longestText    = 16 << 10
)

// clean is a text as every database takes it: valid, without the zero character, and not too long.
func clean(s string, longest int) string {
	if len(s) > longest {
		s = s[:longest]
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "")
	}
	return s
}

// cleanRecord makes a record fit to be stored, and its time one that comes back as it is.
func cleanRecord(r *accounting.Record) {
	for _, id := range []*tenancy.ID{&r.ID, &r.Who.Org, &r.Who.Team, &r.Who.User, &r.Who.Key, &r.Task, &r.Run} {
		*id = tenancy.ID(clean(string(*id), longestIndexed))
	}
	for _, s := range []*string{&r.Route, &r.Provider, &r.Model} {
		*s = clean(*s, longestIndexed)
	}
	for _, s := range []*string{&r.Error, &r.Unpriced, &r.Agent, &r.Cache} {
		*s = clean(*s, longestText)
	}
	var tags []accounting.Tag // its own: the caller keeps the old ones
	for _, t := range r.Tags {
		tags = append(tags, accounting.Tag{Key: clean(t.Key, longestIndexed), Value: clean(t.Value, longestIndexed)})
	}
	r.Tags = tags
	r.Begun = fromMicros(toMicros(r.Begun))
	// A sum of very many still has room in 64 bits.
	for i := range r.Usage {
		r.Usage[i] = bounded(r.Usage[i])
	}
	r.Cost, r.Estimate, r.Saved = bounded(r.Cost), bounded(r.Estimate), bounded(r.Saved)
	cleanMirror(&r.Mirror)
	r.Waiting, r.FirstToken, r.Total = bounded(r.Waiting), bounded(r.FirstToken), bounded(r.Total)
}

// mostOfOne is the most that one call counts for: a million dollars, thirteen days, more tokens than there are.
const mostOfOne = 1 << 50

func bounded[T ~int64](n T) T { return min(max(n, 0), mostOfOne) }

// callRow gives the values of callFields.
func callRow(r *accounting.Record) []any {
	return []any{
		string(r.Who.Org), string(r.ID), toMicros(r.Begun), int64(r.State),
		string(r.Who.Team), string(r.Who.User), string(r.Who.Key), r.Route, r.Provider, r.Model,
		r.Endpoint.String(), r.Stream, int64(r.Status), r.Class.String(), r.Class != adapters.ClassNone, r.Error,
		int64(r.Waiting), int64(r.FirstToken), int64(r.Total), usageText(r.Usage), r.Estimated, int64(r.Cost),
		r.Unpriced, int64(r.Estimate), tagsText(r.Tags), string(r.Task), string(r.Run), listText(r.Dropped), r.Agent,
		r.Cache, attemptsText(r.Attempts), bytesOf(r.Decision), bytesOf(r.Holds),
		int64(r.Saved), mirrorText(r.Mirror),
	}
}

// bytesOf is never nil: that would be no value.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// read is where the columns of a call are read to, in the order of callFields.
type read struct {
	accounting.Record
	begun                          int64
	endpoint, class                string
	failed                         bool
	usage, tags, dropped, attempts string
	mirrored                       string
}

// whole are the destinations of all columns.
func (r *read) whole() []any {
	return append(r.first(), &r.attempts, &r.Decision, &r.Holds, &r.Saved, &r.mirrored)
}

// brief are the destinations of briefFields: what a list shows.
func (r *read) brief() []any { return append(r.first(), &r.Saved) }

// first are those of the columns up to the attempts.
func (r *read) first() []any {
	return []any{
		&r.Who.Org, &r.ID, &r.begun, &r.State, &r.Who.Team, &r.Who.User, &r.Who.Key, &r.Route, &r.Provider, &r.Model,
		&r.endpoint, &r.Stream, &r.Status, &r.class, &r.failed, &r.Error, &r.Waiting, &r.FirstToken, &r.Total, &r.usage, &r.Estimated, &r.Cost,
		&r.Unpriced, &r.Estimate, &r.tags, &r.Task, &r.Run, &r.dropped, &r.Agent, &r.Cache,
	}
}

// record is what was read.
func (r *read) record() (accounting.Record, error) {
	r.Begun = fromMicros(r.begun)
	r.Endpoint, r.Class = endpointOf(r.endpoint), classOf(r.class)
	r.Decision, r.Holds = notEmpty(r.Decision), notEmpty(r.Holds)
	var tags [][2]string
	for _, m := range []struct {
		text string
		into any
	}{{r.usage, (*counts)(&r.Usage)}, {r.tags, &tags}, {r.dropped, &r.Dropped}, {r.attempts, (*attempts)(&r.Attempts)}, {r.mirrored, (*mirror)(&r.Mirror)}} {
		if m.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(m.text), m.into); err != nil {
			return r.Record, fmt.Errorf("read the call %s: %w", r.ID, err)
		}
	}
	for _, t := range tags {
		r.Tags = append(r.Tags, accounting.Tag{Key: t[0], Value: t[1]})
	}
	return r.Record, nil
}

func notEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func endpointOf(name string) adapters.Endpoint {
	unknown := adapters.Endpoint(0).String()
	for e := adapters.Endpoint(1); e.String() != unknown; e++ {
		if e.String() == name {
			return e
		}
	}
	return 0
}

func classOf(name string) adapters.Class {
	for c := adapters.ClassNone; c <= adapters.ClassOvertaken; c++ {
		if c.String() == name {
			return c
		}
	}
	return adapters.ClassInternal
}

// counts is usage as a list of numbers in the order of the units, without the zeros at its end.
type counts adapters.Usage

func (c *counts) UnmarshalJSON(text []byte) error {
	var list []int64
	err := json.Unmarshal(text, &list)
	copy(c[:], list)
	return err
}

// MarshalJSON gives "" for no usage at all.
func (c counts) MarshalJSON() ([]byte, error) {
	n := len(c)
	for n > 0 && c[n-1] == 0 {
		n--
	}
	return json.Marshal(c[:n])
}

func usageText(u adapters.Usage) string {
	if u == (adapters.Usage{}) {
		return ""
	}
	return jsonText(counts(u))
}

// tagsText is a list of pairs; a pair in it is found by its text.
func tagsText(tags []accounting.Tag) string {
	if len(tags) == 0 {
		return ""
	}
	pairs := make([][2]string, len(tags))
	for i, t := range tags {
		pairs[i] = [2]string{t.Key, t.Value}
	}
	return jsonText(pairs)
}

func listText(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return jsonText(list)
}

// jsonText is a value of ours as JSON; there is none that has no such text.
func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// attempts are the tries of a call as JSON.
type attempts []accounting.Attempt

// attempt is one of them. Its names are short: there may be very many.
type attempt struct {
	Provider  string        `json:"p"`
	Model     string        `json:"m"`
	Began     time.Duration `json:"b,omitempty"`
	FirstByte time.Duration `json:"f,omitempty"`
	Total     time.Duration `json:"t,omitempty"`
	Class     string        `json:"c,omitempty"`
	Status    int           `json:"s,omitempty"`
	Executed  bool          `json:"x,omitempty"`
	Usage     *counts       `json:"u,omitempty"`
	Estimated bool          `json:"e,omitempty"`
	Cost      money.Nano    `json:"n,omitempty"`
	Unpriced  string        `json:"w,omitempty"`
	Price     string        `json:"v,omitempty"`
}

func attemptsText(list []accounting.Attempt) string {
	if len(list) == 0 {
		return ""
	}
	all := make([]attempt, len(list))
	for i := range list {
		a := &list[i]
		all[i] = attempt{
			Provider: a.Provider, Model: a.Model, Began: a.Began, FirstByte: a.FirstByte, Total: a.Total, Status: a.Status, Executed: a.Executed,
			Estimated: a.Estimated, Cost: a.Cost, Unpriced: a.Unpriced, Price: a.Price,
		}
		if a.Class != adapters.ClassNone {
			all[i].Class = a.Class.String()
		}
		if a.Usage != (adapters.Usage{}) {
			all[i].Usage = (*counts)(&a.Usage)
		}
	}
	return jsonText(all)
}

func (a *attempts) UnmarshalJSON(text []byte) error {
	var all []attempt
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	*a = make(attempts, len(all))
	for i := range all {
		r := &all[i]
		(*a)[i] = accounting.Attempt{
			Provider: r.Provider, Model: r.Model, Began: r.Began, FirstByte: r.FirstByte, Total: r.Total, Status: r.Status, Executed: r.Executed,
			Estimated: r.Estimated, Cost: r.Cost, Unpriced: r.Unpriced, Price: r.Price,
		}
		if r.Class != "" {
			(*a)[i].Class = classOf(r.Class)
		}
		if r.Usage != nil {
			(*a)[i].Usage = adapters.Usage(*r.Usage)
		}
	}
	return nil
}
