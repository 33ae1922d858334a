package storage_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// How many records the benchmark of reading makes, and over how many days; SOAK_RECORDS is another number.
const (
	soakRecords = 100_000
	soakDays    = 30
)

// soakRow is one of the records that are made, as expressions of i, which counts them, and n, how many there are. It
// stands for a house of ten organizations, two hundred keys and twelve models; a third of the calls has three tags.
const soakRow = `'org_' || lpad10(i %% 10) as org_id, 'req_' || lpad32(i) as id, cast(%[1]d + i * (%[2]d / %[3]d) as bigint) as begun_us, 2 as state,
	'team_' || lpad10(i %% 10) as team_id, 'user_' || lpad32(i %% 200) as user_id, 'key_' || lpad32(i %% 200) as key_id,
	'route-' || ((i %% 200) %% 6 + 6 * (i / 7 %% 2)) as route, 'provider-' || ((i %% 200) %% 6 %% 3) as provider, 'model-' || ((i %% 200) %% 6 + 6 * (i / 7 %% 2)) as model,
	'chat/completions' as endpoint, true as stream, case when i %% 53 = 0 then 502 else 200 end as status, case when i %% 53 = 0 then 'server' else 'none' end as class,
	i %% 53 = 0 as failed, case when i %% 53 = 0 then 'the provider answered with status 500: failure-' || (i %% 9973) || ' in a backend' else '' end as error,
	1000000 as waiting_ns, 300000000 as first_ns, 1500000000 + i %% 1000 as total_ns, '[1200,512,0,340]' as usage, false as estimated, 1234567 as cost,
	case when i %% 211 = 0 then 'no_price' else '' end as unpriced, 4000000 as estimate,
	case when i %% 3 = 0 then '[["env","' || (case i / 3 %% 3 when 0 then 'prod' when 1 then 'staging' else 'dev' end) || '"],["customer","customer-' || (i %% 1009) || '"],["job","job-' || (i / 30 %% 100003) || '"]]' else '' end as tags,
	'' as task_id, '' as run_id, '["seed"]' as dropped, 'OpenAI/Python 1.51.0' as agent, '' as cache,
	'[{"p":"openai","m":"gpt-4o-2024-08-06","f":300000000,"t":1500000000,"s":200,"x":true,"u":[1200,512,0,340],"n":1234567,"v":"openai/gpt-4o 2026-09-23"}]' as attempts,
	decision, holds, 'node_' || lpad32(i %% 2) as node, i / 2000 as batch, i %% 2000 as place, 0 as saved, '' as mirror`

// soak fills a database with records of the last days, past Append, which would take hours.
func (p place) soak(b *testing.B, db *storage.DB, n int) time.Time {
	b.Helper()
	began := time.Now()
	begin := began.UTC().Truncate(24*time.Hour).AddDate(0, 0, -soakDays)
	if p.engine == "postgres" {
		for day := range soakDays {
			if err := storage.PrepareDays(b.Context(), db, begin.AddDate(0, 0, day)); err != nil {
				b.Fatal(err)
			}
		}
	}
	lpad := map[string][2]string{"sqlite": {"printf('%%0$d', ", ")"}, "postgres": {"lpad((", ")::text, $, '0')"}}[p.engine]
	row := fmt.Sprintf(soakRow, begin.UnixMicro(), soakDays*24*time.Hour.Microseconds(), n)
	for width := range strings.SplitSeq("10 32", " ") {
		open := strings.NewReplacer("%%", "%", "$", width).Replace(lpad[0])
		end := strings.Replace(lpad[1], "$", width, 1)
		for {
			before, rest, found := strings.Cut(row, "lpad"+width+"(")
			if !found {
				break
			}
			inner := rest[:strings.IndexByte(rest, ')')]
			row = before + open + inner + end + rest[len(inner)+1:]
		}
	}
	blank := map[string]string{"sqlite": "x''", "postgres": "''::bytea"}[p.engine]
	row = strings.Replace(row, "decision, holds,", blank+" as decision, "+blank+" as holds,", 1)
	const step = 200_000
	for from := 0; from < n; from += step {
		to := min(from+step, n)
		p.exec(b, "insert into calls select "+row+" from "+p.series(from, to))
	}
	p.terms(b)
	p.sums(b, begin)
	if p.engine == "postgres" {
		p.exec(b, "vacuum analyze")
	} else {
		p.exec(b, "analyze")
	}
	b.Logf("%s: %d records in %s", p.engine, n, time.Since(began).Round(time.Second))
	return begin
}

// series is a source of i.
func (p place) series(from, to int) string {
	if p.engine == "postgres" {
		return fmt.Sprintf("generate_series(%d, %d) i", from, to-1)
	}
	return fmt.Sprintf("(with recursive s (i) as (select %d union all select i + 1 from s limit %d) select i from s)", from, to-from)
}

// terms makes what calls are found by: the words of the tags' values, and one of the errors'.
func (p place) terms(b *testing.B) {
	b.Helper()
	value := func(i int) string {
		if p.engine == "postgres" {
			return fmt.Sprintf("tags::json->%d->>1", i)
		}
		return fmt.Sprintf("json_extract(tags, '$[%d][1]')", i)
	}
	for i := range 3 {
		p.exec(b, "insert into call_terms select org_id, "+value(i)+", begun_us, id from calls where tags <> '' order by 1, 2, 3")
	}
	word := map[string]string{"sqlite": "substr(error, instr(error, 'failure-'), instr(error, ' in a ') - instr(error, 'failure-'))", "postgres": "substring(error from 'failure-[0-9]+')"}[p.engine]
	for _, w := range []string{word, "'backend'"} {
		p.exec(b, "insert into call_terms select org_id, "+w+", begun_us, id from calls where failed order by 1, 2, 3")
	}
}

// sums makes minutes, hours and days of the calls.
func (p place) sums(b *testing.B, begin time.Time) {
	b.Helper()
	const addends = `sum(calls), sum(failed), 0, 0, sum(unpriced), sum(input), sum(cache_read), 0, sum(output), 0, 0, 0, 0, 0, 0, 0, 0, sum(requests), sum(cost), max(total_sketch), max(first_sketch), 0`
	sketch := func(n int) string {
		text := fmt.Sprintf("%x", storage.Sketched(n))
		return map[string]string{"sqlite": "x'" + text + "'", "postgres": `'\x` + text + `'::bytea`}[p.engine]
	}
	flag := func(column string) string { return "sum(case when " + column + " then 1 else 0 end)" }
	group := "team_id, user_id, key_id, route, provider, model"
	value := map[string]string{"sqlite": "json_extract(tags, '$[%d][%d]')", "postgres": "tags::json->%d->>%d"}[p.engine]
	for tag := -1; tag < 3; tag++ {
		tags, where := "'' as tag_key, '' as tag_value", ""
		if tag >= 0 {
			tags, where = fmt.Sprintf(value, tag, 0)+" as tag_key, "+fmt.Sprintf(value, tag, 1)+" as tag_value", " where tags <> ''"
		}
		for day := range soakDays {
			from := begin.AddDate(0, 0, day).UnixMicro()
			within := fmt.Sprintf("%s begun_us >= %d and begun_us < %d", map[bool]string{true: " where", false: " and"}[where == ""], from, from+24*time.Hour.Microseconds())
			p.exec(b, `insert into usage_minutes select org_id, f, node, g || '/' || tag_key || '/' || tag_value, `+group+`, tag_key, tag_value, n, failed, 0, 0, unpriced,
				1200 * n, 512 * n, 0, 340 * n, 0, 0, 0, 0, 0, 0, 0, 0, n, 1234567 * n, `+sketch(1)+`, `+sketch(1)+`, 0 from (
				select org_id, begun_us - begun_us % 60000000 as f, node, key_id || '/' || model as g, `+group+`, tag_key, tag_value, count(*) as n, `+flag("failed")+` as failed, `+flag("unpriced <> ''")+` as unpriced
				from (select *, `+tags+` from calls`+where+within+`) c group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12) c`)
		}
	}
	for _, level := range []struct {
		into, from string
		length     int64
		samples    int
	}{{"usage_hours", "usage_minutes", 3_600_000_000, 40}, {"usage_days", "usage_hours", 86_400_000_000, 400}} {
		p.exec(b, fmt.Sprintf(`insert into %s select org_id, from_us - from_us %% %d, grp, %s, tag_key, tag_value, %s from %s group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11`,
			level.into, level.length, group, strings.Replace(strings.Replace(addends, "max(total_sketch)", sketch(level.samples), 1), "max(first_sketch)", sketch(level.samples), 1), level.from))
	}
}

// BenchmarkRecords asks what people ask of very many records, and reports how long the slowest twentieth takes.
func BenchmarkRecords(b *testing.B) {
	n := soakRecords
	if text := os.Getenv("SOAK_RECORDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for _, p := range places(b) {
		b.Run(p.engine, func(b *testing.B) {
			db := open(b, p.Config)
			begin := p.soak(b, db, n)
			for _, q := range soakQueries(begin, begin.AddDate(0, 0, soakDays)) {
				b.Run(q.name, func(b *testing.B) { q.measure(b, db) })
			}
		})
	}
}

// measure asks a question again and again.
func (q *soakQuery) measure(b *testing.B, db *storage.DB) {
	var took []time.Duration
	found := 0
	for b.Loop() {
		began := time.Now()
		var err error
		if found, err = q.ask(b, db, len(took)); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[(len(took)*95-1)/100].Microseconds())/1000, "p95-ms")
	b.ReportMetric(float64(found), "rows")
}

// soakQuery is one question, of which the i-th is asked about another organization or key.
type soakQuery struct {
	name string
	ask  func(b *testing.B, db *storage.DB, i int) (int, error)
}

func soakQueries(begin, end time.Time) (list []soakQuery) {
	calls := func(name string, filter func(f *accounting.CallFilter, i int)) {
		list = append(list, soakQuery{name, func(b *testing.B, db *storage.DB, i int) (int, error) {
			q := accounting.CallQuery{Limit: 50}
			filter(&q.CallFilter, i)
			found, err := db.Calls(b.Context(), q)
			return len(found), err
		}})
	}
	org := func(i int) tenancy.ID { return tenancy.ID(fmt.Sprintf("org_%010d", i%10)) }
	calls("first page", func(f *accounting.CallFilter, i int) { f.Org = org(i) })
	calls("first page of all", func(*accounting.CallFilter, int) {})
	list = append(list, soakQuery{"page 1000", func(b *testing.B, db *storage.DB, i int) (int, error) {
		// Where page 1000 begins depends on how many calls there are; a tenth of the time is further than that at ten million.
		at := end.Add(-time.Duration(3+i%3) * 24 * time.Hour)
		found, err := db.Calls(b.Context(), accounting.CallQuery{CallFilter: accounting.CallFilter{Org: org(i)}, Before: accounting.CallCursor{Begun: at, ID: "req_"}, Limit: 50})
		return len(found), err
	}})
	calls("by key", func(f *accounting.CallFilter, i int) {
		f.Org, f.Key = org(i), tenancy.ID(fmt.Sprintf("key_%032d", i%200))
	})
	calls("by model", func(f *accounting.CallFilter, i int) { f.Org, f.Model = org(i), fmt.Sprint("model-", i%10%6) })
	calls("by a model that is not there", func(f *accounting.CallFilter, i int) { f.Org, f.Model = org(i), "model-x" })
	calls("failed", func(f *accounting.CallFilter, i int) { f.Org, f.Failed = org(i), true })
	calls("unpriced", func(f *accounting.CallFilter, i int) { f.Org, f.Unpriced = org(i), true })
	calls("by a tag", func(f *accounting.CallFilter, i int) {
		f.Org, f.Tag = org(i), accounting.Tag{Key: "env", Value: "prod"}
	})
	calls("by a rare tag", func(f *accounting.CallFilter, i int) {
		f.Org, f.Tag = org(i), accounting.Tag{Key: "job", Value: fmt.Sprint("job-", i)}
	})
	calls("by any value of a tag", func(f *accounting.CallFilter, i int) { f.Org, f.Tag = org(i), accounting.Tag{Key: "customer"} })
	calls("by text", func(f *accounting.CallFilter, i int) { f.Org, f.Text = org(i), "backend" })
	calls("by rare text", func(f *accounting.CallFilter, i int) { f.Org, f.Text = org(i), fmt.Sprint("backend failure-", 53*i) })
	calls("of all by text", func(f *accounting.CallFilter, i int) { f.Text = "backend" })
	calls("of all by a tag", func(f *accounting.CallFilter, i int) { f.Tag = accounting.Tag{Key: "env", Value: "prod"} })
	calls("by text that is not there", func(f *accounting.CallFilter, i int) { f.Org, f.Text = org(i), "nowhere" })
	calls("by a team that is not there", func(f *accounting.CallFilter, i int) { f.Org, f.Team = org(i), "team_x" })
	usage := func(name string, ask func(q *accounting.UsageQuery, i int)) {
		list = append(list, soakQuery{name, func(b *testing.B, db *storage.DB, i int) (int, error) {
			q := accounting.UsageQuery{From: begin, To: end, Limit: 10_000}
			ask(&q, i)
			rows, err := db.Usage(b.Context(), q)
			return len(rows), err
		}})
	}
	usage("usage by key and day over 30 days", func(q *accounting.UsageQuery, i int) {
		q.Org, q.By, q.Grain = org(i), []accounting.Dimension{accounting.ByKey}, accounting.Days
	})
	usage("usage of all by key and day over 30 days", func(q *accounting.UsageQuery, _ int) {
		q.By, q.Grain = []accounting.Dimension{accounting.ByKey}, accounting.Days
	})
	usage("usage by model and hour over 2 days", func(q *accounting.UsageQuery, i int) {
		q.Org, q.By, q.Grain, q.From = org(i), []accounting.Dimension{accounting.ByModel}, accounting.Hours, end.AddDate(0, 0, -2)
	})
	usage("usage of all by model and hour over 2 days", func(q *accounting.UsageQuery, _ int) {
		q.By, q.Grain, q.From = []accounting.Dimension{accounting.ByModel}, accounting.Hours, end.AddDate(0, 0, -2)
	})
	usage("usage by tag and day over 30 days", func(q *accounting.UsageQuery, i int) {
		q.Org, q.By, q.Grain = org(i), []accounting.Dimension{"tag:env"}, accounting.Days
	})
	usage("usage by minute over an hour", func(q *accounting.UsageQuery, i int) {
		q.Org, q.Grain, q.From, q.To = org(i), accounting.Minutes, end.Add(-90*time.Minute), end.Add(-30*time.Minute)
	})
	return list
}
