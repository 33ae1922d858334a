package storage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
)

// What was used is summed by the minute while calls are stored, by the node that stores them: nobody else writes its
// rows, so no two nodes wait for each other. Hours and days are made of minutes; see summing.go.

// group is what usage is told apart by.
type group struct {
	org, team, user, key, route, provider, model string
	tagKey, tagValue                             string // both empty: the sum over all tags
}

// place is a group at a time.
type place struct {
	from int64
	group
}

// sum is what a group used.
type sum struct {
	calls, failed, refused, estimated, unpriced int64
	usage                                       adapters.Usage
	cost, saved                                 int64
	total, first                                *sketch
}

// sums are those of many groups.
type sums struct {
	sketcher
	of map[place]*sum
}

func newSums() *sums { return &sums{newSketcher(), map[place]*sum{}} }

func (s *sums) at(p place) *sum {
	found := s.of[p]
	if found == nil {
		found = &sum{}
		s.of[p] = found
	}
	return found
}

// minute is the beginning of the minute of a time.
const minute = int64(time.Minute / time.Microsecond)

// floor is the beginning of the span of a length that a time lies in.
func floor(at, length int64) int64 {
	if at < 0 {
		return -ceil(-at, length)
	}
	return at - at%length
}

func ceil(at, length int64) int64 { return floor(at+length-1, length) }

// add counts a call, times times: once, or minus once what is taken back.
func (s *sums) add(r *accounting.Record, times int64) {
	p := place{floor(toMicros(r.Begun), minute), group{
		org: string(r.Who.Org), team: string(r.Who.Team), user: string(r.Who.User), key: string(r.Who.Key),
		route: r.Route, provider: r.Provider, model: r.Model,
	}}
	s.count(p, r, times)
	for i, t := range r.Tags {
		if t.Key == "" || tagged(r.Tags[:i], t) {
			continue
		}
		p.tagKey, p.tagValue = t.Key, t.Value
		s.count(p, r, times)
	}
}

// tagged tells whether a tag is among others: who sends it twice is counted once.
func tagged(tags []accounting.Tag, t accounting.Tag) bool {
	for _, o := range tags {
		if o == t {
			return true
		}
	}
	return false
}

func (s *sums) count(p place, r *accounting.Record, times int64) {
	v := s.at(p)
	v.calls += times
	v.cost += times * int64(r.Cost)
	v.saved += times * int64(r.Saved)
	for i, n := range r.Usage {
		v.usage[i] += times * n
	}
	for _, c := range []struct {
		is bool
		n  *int64
	}{{failed(r), &v.failed}, {refused(r), &v.refused}, {r.Estimated, &v.estimated}, {r.Unpriced != "", &v.unpriced}} {
		if c.is {
			*c.n += times
		}
	}
	if times < 0 || r.State != accounting.Ended || r.Class != adapters.ClassNone {
		return // what is taken back did not end
	}
	if v.total == nil {
		v.total = s.sketch()
	}
	v.total.add(r.Total)
	if r.FirstToken > 0 {
		if v.first == nil {
			v.first = s.sketch()
		}
		v.first.add(r.FirstToken)
	}
}

// refused tells whether no provider was asked for a call that did not end well.
func refused(r *accounting.Record) bool {
	return len(r.Attempts) == 0 && r.Class != adapters.ClassNone && r.State == accounting.Ended
}

// failed tells whether a provider, or Vel, failed a call: not one whose client was at fault, went away, or asked for more
// than they may.
func failed(r *accounting.Record) bool {
	switch r.Class {
	case adapters.ClassNone, adapters.ClassInvalid, adapters.ClassGone:
		return false
	}
	return !refused(r) || r.Status >= 500
}

// groupFields are the columns of a group, sumFields those of its sum, in the order of their values.
func groupFields() []field {
	return []field{
		{"org_id", textual},
		{"from_us", number},
		{"grp", textual},
		{"team_id", textual},
		{"user_id", textual},
		{"key_id", textual},
		{"route", textual},
		{"provider", textual},
		{"model", textual},
		{"tag_key", textual},
		{"tag_value", textual},
	}
}

func sumFields() []field {
	var all []field
	for _, name := range addends() {
		all = append(all, field{name, number})
	}
	return append(all, field{"total_sketch", binary}, field{"first_sketch", binary})
}

// addends are the columns of a sum that are added up, the usage in the order of its units.
func addends() []string {
	return []string{
		"calls", "failed", "refused", "estimated", "unpriced",
		"input", "cache_read", "cache_write", "output", "reasoning", "audio_in", "audio_out", "image_in", "image_out", "audio_millis", "images", "searches", "requests",
		"cost", "saved",
	}
}

// added are where they are read to.
func (v *sum) added() []any {
	into := []any{&v.calls, &v.failed, &v.refused, &v.estimated, &v.unpriced}
	for i := range v.usage {
		into = append(into, &v.usage[i])
	}
	return append(into, &v.cost, &v.saved)
}

// row gives the values of groupFields and sumFields.
func (v *sum) row(p place) []any {
	all := []any{p.org, p.from, p.id(), p.team, p.user, p.key, p.route, p.provider, p.model, p.tagKey, p.tagValue}
	for _, n := range v.added() {
		all = append(all, *n.(*int64))
	}
	return append(all, v.total.encode(), v.first.encode())
}

// id stands for a group in the keys of the tables: its members are long, and there are many.
func (g *group) id() string {
	var b []byte
	for _, s := range []string{g.org, g.team, g.user, g.key, g.route, g.provider, g.model, g.tagKey, g.tagValue} {
		b = netstring(b, s)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// write adds them to the minutes of a node, and notes which hours are to be made anew.
func (s *sums) write(ctx context.Context, t tx, node string) error {
	if len(s.of) == 0 {
		return nil
	}
	var rows, due [][]any
	hours := map[int64]bool{}
	for p, v := range s.of {
		rows = append(rows, append(v.row(p), node))
		if at := floor(p.from, hour); !hours[at] {
			hours[at] = true
			due = append(due, []any{"hour", at, node, int64(1)})
		}
	}
	slices.SortFunc(rows, func(a, b []any) int { // neighbours in the table are written one after the other
		return cmp.Or(cmp.Compare(a[1].(int64), b[1].(int64)), cmp.Compare(a[2].(string), b[2].(string)))
	})
	var sets []string
	for _, name := range addends() {
		sets = append(sets, name+" = usage_minutes."+name+" + excluded."+name)
	}
	for _, name := range []string{"total_sketch", "first_sketch"} {
		sets = append(sets, name+" = "+t.joined("usage_minutes."+name, "excluded."+name))
	}
	fields := append(append(groupFields(), sumFields()...), field{"node", textual})
	if _, err := t.bulk(ctx, "usage_minutes", fields, ` on conflict (from_us, grp, node) do update set `+strings.Join(sets, ", "), rows); err != nil {
		return err
	}
	return markDue(ctx, t, due)
}

// markDue notes that hours or days are to be made anew.
func markDue(ctx context.Context, t tx, rows [][]any) error {
	_, err := t.bulk(ctx, "usage_due", []field{{"grain", textual}, {"from_us", number}, {"node", textual}, {"mark", number}},
		` on conflict (grain, from_us, node) do update set mark = usage_due.mark + 1`, rows)
	return err
}

// The lengths of hours and days.
const (
	hour = 60 * minute
	day  = 24 * hour
)
