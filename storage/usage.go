package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/money"
)

// Reading what was used. Days and hours whose sums are as new as what they are made of are read as such, everything else
// from minutes: so the answer is exact to the last call that is stored, however far the sums have come.

// asked is a question about usage, made ready.
type asked struct {
	*accounting.UsageQuery
	columns [][]string // of each dimension
	tag     string     // the key that is asked by; empty: none
	length  int64      // of the spans that the database makes; 0: the whole
	dayed   bool       // days are fine enough
}

// errTwoTags says that a question can not be answered from sums.
var errTwoTags = errors.New("usage is summed by one tag at a time")

// ask makes a question ready.
func ask(q *accounting.UsageQuery) (asked, error) {
	a := asked{UsageQuery: q, tag: q.Tag.Key}
	columns := map[accounting.Dimension][]string{
		accounting.ByOrg: {"org_id"}, accounting.ByTeam: {"team_id"}, accounting.ByUser: {"user_id"}, accounting.ByKey: {"key_id"},
		accounting.ByRoute: {"route"}, accounting.ByProvider: {"provider"}, accounting.ByModel: {"provider", "model"},
	}
	for _, d := range q.By {
		key, isTag := strings.CutPrefix(string(d), "tag:")
		c := columns[d]
		switch {
		case isTag && a.tag != "" && a.tag != key:
			return a, errTwoTags
		case isTag:
			a.tag, c = key, []string{"tag_value"}
		case c == nil:
			return a, fmt.Errorf("usage is not summed by %q", d)
		}
		a.columns = append(a.columns, c)
	}
	lengths := map[accounting.Grain]int64{accounting.Whole: 0, accounting.Minutes: minute, accounting.Hours: hour, accounting.Days: day, accounting.Months: day}
	length, known := lengths[q.Grain]
	if !known {
		return a, fmt.Errorf("usage is not summed by the %q", q.Grain)
	}
	a.length, a.dayed = length, length == 0 || length == day
	return a, nil
}

// Usage sums what was used, by what is asked for, in the order of time and then of cost. Times are rounded to minutes.
func (db *DB) Usage(ctx context.Context, q accounting.UsageQuery) (rows []accounting.UsageRow, err error) {
	a, err := ask(&q)
	if err != nil {
		return nil, err
	}
	err = db.dialect.read(ctx, askingFor(q.Org), func(t tx) error {
		parts, err := a.parts(ctx, t)
		if err != nil {
			return err
		}
		u := used{asked: &a, of: map[string]*usedBy{}}
		for _, p := range parts {
			if err := u.read(ctx, t, p); err != nil {
				return err
			}
		}
		u.choose()
		rows, err = u.rows()
		return err
	})
	return rows, err
}

// part is a table of sums, and the time that it answers for.
type part struct {
	table string
	over  []span
}

// parts divides the time that is asked for between days, hours and minutes.
func (a *asked) parts(ctx context.Context, t tx) (list []part, err error) {
	all := span{floor(toMicros(a.From), minute), endOfTime}
	if !a.To.IsZero() {
		all.to = ceil(toMicros(a.To), minute)
	}
	var hours, days []int64
	err = t.each(ctx, func(scan func(...any) error) error {
		var from int64
		if err := scan(&from); err != nil {
			return err
		}
		hours = append(hours, floor(from, hour))
		days = append(days, floor(from, day))
		return nil
	}, `select distinct from_us from usage_due where grain = 'hour' and from_us >= $1 and from_us < $2 order by from_us`, floor(all.from, day), all.to)
	if err != nil {
		return nil, err
	}
	err = t.each(ctx, func(scan func(...any) error) error {
		var from int64
		err := scan(&from)
		days = append(days, from)
		return err
	}, `select distinct from_us from usage_due where grain = 'day' and from_us >= $1 and from_us < $2 order by from_us`, floor(all.from, day), all.to)
	if err != nil {
		return nil, err
	}
	slices.Sort(days)
	days = slices.Compact(days)
	rest := []span{all}
	for _, level := range []struct {
		table  string
		length int64
		due    []int64
		fine   bool
	}{{"usage_days", day, days, a.dayed}, {"usage_hours", hour, hours, a.length != minute}} {
		if !level.fine {
			continue
		}
		var covered []span
		if covered, rest = divide(rest, level.length, level.due); len(covered) > 0 {
			list = append(list, part{level.table, covered})
		}
	}
	if len(rest) > 0 {
		list = append(list, part{"usage_minutes", rest})
	}
	return list, nil
}

// usedBy is what one group used in one span.
type usedBy struct {
	from  int64
	group []string
	sum
	encoded [2][]byte // sketches: of the whole, and to the first token
}

// used is an answer in the making.
type used struct {
	*asked
	of  map[string]*usedBy
	row []*usedBy // those that were chosen, in their order
}

// grouping are the columns that the database groups by: the span, and those of the dimensions.
func (u *used) grouping() string {
	all := []string{"0"}
	if u.length > 0 {
		all[0] = fmt.Sprintf("from_us - from_us %% %d", u.length)
	}
	for _, c := range u.columns {
		all = append(all, c...)
	}
	return strings.Join(all, ", ")
}

// key is what a span and a group are found by, and where they are read to.
func (u *used) places() (from *int64, values []string, into []any) {
	n := 0
	for _, c := range u.columns {
		n += len(c)
	}
	from, values = new(int64), make([]string, n)
	into = append(into, from)
	for i := range values {
		into = append(into, &values[i])
	}
	return from, values, into
}

// monthOf is the beginning of the month of a time.
func monthOf(at int64) int64 {
	t := time.UnixMicro(at).UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC).UnixMicro()
}

// find finds a group in a span.
func (u *used) find(from int64, values []string) (string, int64) {
	if u.Grain == accounting.Months {
		from = monthOf(from)
	}
	return strconv.FormatInt(from, 36) + "\x00" + strings.Join(values, "\x00"), from
}

// read adds up what a part says.
func (u *used) read(ctx context.Context, t tx, p part) error {
	var args arguments
	var columns []string
	for _, name := range addends() {
		columns = append(columns, "cast(sum("+name+") as bigint)")
	}
	for _, name := range []string{"total_sketch", "first_sketch"} {
		if u.Plain {
			columns = append(columns, "''")
		} else {
			columns = append(columns, t.joinedAll(name))
		}
	}
	grouping := u.grouping()
	query := `select ` + grouping + `, ` + strings.Join(columns, ", ") + ` from ` + p.table + u.where(p, &args) + ` group by `
	for i := range strings.Split(grouping, ", ") {
		query += fmt.Sprint(map[bool]string{true: ", "}[i > 0], i+1)
	}
	if u.length == 0 && len(u.columns) == 0 {
		query += " having count(*) > 0"
	}
	from, values, into := u.places()
	var v sum
	var total, first []byte
	into = append(append(into, v.added()...), &total, &first)
	return t.each(ctx, func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return err
		}
		key, at := u.find(*from, values)
		one := u.of[key]
		if one == nil {
			one = &usedBy{from: at, group: u.named(values)}
			u.of[key] = one
		}
		for i, n := range one.added() {
			*n.(*int64) += *v.added()[i].(*int64)
		}
		one.encoded[0], one.encoded[1] = append(one.encoded[0], total...), append(one.encoded[1], first...)
		return nil
	}, query, args...)
}

// named are the values of the dimensions.
func (u *used) named(values []string) (group []string) {
	for _, c := range u.columns {
		group = append(group, strings.Join(values[:len(c)], "/"))
		values = values[len(c):]
	}
	return group
}

// where narrows a part to what is asked for.
func (u *used) where(p part, args *arguments) string {
	var over, where []string
	for _, s := range p.over {
		over = append(over, "from_us >= "+args.add(s.from)+" and from_us < "+args.add(s.to))
	}
	where = append(where, "("+strings.Join(over, " or ")+")", "tag_key = "+args.add(u.tag))
	for _, f := range []struct{ column, value string }{
		{"org_id", string(u.Org)},
		{"team_id", string(u.Team)},
		{"user_id", string(u.User)},
		{"key_id", string(u.Key)},
		{"route", u.Route},
		{"provider", u.Provider},
		{"model", u.Model},
		{"tag_value", u.Tag.Value},
	} {
		if f.value != "" {
			where = append(where, f.column+" = "+args.add(f.value))
		}
	}
	return " where " + strings.Join(where, " and ")
}

// choose puts what was found in its order, and lets go of what is too much.
func (u *used) choose() {
	for _, v := range u.of {
		u.row = append(u.row, v)
	}
	slices.SortFunc(u.row, func(a, b *usedBy) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.cost, a.cost), cmp.Compare(b.calls, a.calls), slices.Compare(a.group, b.group))
	})
	if u.Limit > 0 && len(u.row) > u.Limit {
		u.row = u.row[:u.Limit]
	}
}

// merge adds two encoded sketches to those of a sum.
func (s sketcher) merge(v *sum, total, first []byte) error {
	for _, m := range []struct {
		into    **sketch
		encoded []byte
	}{{&v.total, total}, {&v.first, first}} {
		if len(m.encoded) == 0 {
			continue
		}
		if *m.into == nil {
			*m.into = s.sketch()
		}
		if err := (*m.into).merge(m.encoded); err != nil {
			return err
		}
	}
	return nil
}

// rows are the answer. Groups of which everything was taken back are left out.
func (u *used) rows() (rows []accounting.UsageRow, err error) {
	sketcher := newMerger()
	for _, v := range u.row {
		if v.calls == 0 {
			continue
		}
		if err := sketcher.merge(&v.sum, v.encoded[0], v.encoded[1]); err != nil {
			return nil, err
		}
		r := accounting.UsageRow{
			Group: v.group, Calls: v.calls, Failed: v.failed, Refused: v.refused, Estimated: v.estimated, Unpriced: v.unpriced, Usage: v.usage, Cost: money.Nano(v.cost), Saved: money.Nano(v.saved),
		}
		if u.Grain != accounting.Whole {
			r.From = fromMicros(v.from)
		}
		total, first := v.total.at(0.5, 0.95, 0.99), v.first.at(0.5, 0.95)
		r.P50, r.P95, r.P99, r.FirstP50, r.FirstP95 = total[0], total[1], total[2], first[0], first[1]
		rows = append(rows, r)
	}
	return rows, nil
}
