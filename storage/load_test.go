package storage_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/storage/storagetest"
	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// fill makes keys of one organization, as the API would have done one by one.
func (p place) fill(t testing.TB, keys int) {
	t.Helper()
	const columns = `insert into keys (id, org_id, name, team_id, user_id, hash, old_hash, old_until_us, models, role, expires_us, disabled, rev, changed, created_us, updated_us) `
	p.exec(t, columns+fmt.Sprintf(map[string]string{
		"sqlite": `with recursive n (i) as (select 1 union all select i + 1 from n limit %d)
			select printf('key_%%032x', i), 'org:a', 'key-' || i, '', '', printf('%%064x', i), '', 0, '["gpt-4o","gpt-4o-mini"]', '', 0, false, 1, 1, 1800000000000000, 1800000000000000 from n`,
		"postgres": `select 'key_' || lpad(to_hex(i), 32, '0'), 'org:a', 'key-' || i, '', '', lpad(to_hex(i), 64, '0'), '', 0, '["gpt-4o","gpt-4o-mini"]', '', 0, false, 1, 1, 1800000000000000, 1800000000000000
			from generate_series(1, %d) i`,
	}[p.engine], keys))
	p.exec(t, `insert into key_usage select id, org_id, 1800000000000000 from keys`)
}

// A page of keys is read by an index in its order: who has very many waits no longer for one.
func TestPageIsReadInOrder(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		db := open(t, p.Config)
		p.fill(t, 20_000)
		explain := "explain query plan "
		if p.engine == "postgres" {
			p.exec(t, "analyze")
			explain = "explain "
		}
		query, args := storage.PageOfKeys(db, "org:a", tenancy.Page{After: "key_00000000000000000000000000000777", Limit: 21})
		plan := p.plan(t, explain+query, args...)
		if !strings.Contains(plan, "keys_list") && !strings.Contains(plan, "keys_pkey") || strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "Sort") {
			t.Errorf("%s:\n%s", p.engine, plan)
		}
	}
}

// plan is how an engine would answer a query.
func (p place) plan(t *testing.T, explain string, args ...any) (plan string) {
	t.Helper()
	rows, err := p.raw.QueryContext(t.Context(), explain, args...)
	if err != nil {
		t.Fatalf("%s: %v", explain, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var ignored any
		into := []any{&ignored, &ignored, &ignored, new(string)}
		if p.engine == "postgres" {
			into = into[3:]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		plan += *into[len(into)-1].(*string) + "\n"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// BenchmarkLoad reads 100,000 keys and indexes them, as a node does when it starts.
func BenchmarkLoad(b *testing.B) {
	const many = 100_000
	for _, p := range places(b) {
		db := open(b, p.Config)
		p.fill(b, many)
		b.Run(p.engine, func(b *testing.B) {
			for b.Loop() {
				c, err := db.Changes(b.Context(), 0)
				if err != nil {
					b.Fatal(err)
				}
				index, err := tenancy.NewKeyIndex(c.Keys)
				if err != nil || index.Len() != many {
					b.Fatal(index.Len(), err)
				}
			}
		})
	}
}

// BenchmarkSealing records events of a hundred organizations and seals them, as the leader does with what others leave.
func BenchmarkSealing(b *testing.B) {
	const many = 2000
	for _, p := range places(b) {
		db := open(b, p.Config)
		b.Run(p.engine, func(b *testing.B) {
			for b.Loop() {
				list := make([]tenancy.AuditEvent, many)
				for i := range list {
					list[i] = auditEvent(tenancy.ID(fmt.Sprint("org_", i%100)), time.Now())
				}
				if err := db.Record(b.Context(), list); err != nil {
					b.Fatal(err)
				}
				if err := db.SealNow(b.Context(), storagetest.Signer); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(many)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkChange makes changes one after the other, each with its event.
func BenchmarkChange(b *testing.B) {
	for _, p := range places(b) {
		db := open(b, p.Config)
		b.Run(p.engine, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				team := tenancy.Team{Meta: tenancy.Meta{Org: "org:a", Name: fmt.Sprint(i)}}
				if _, err := db.Teams().Create(b.Context(), tenancy.Vel(), team); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// BenchmarkVerify proves a log of 20,000 events.
func BenchmarkVerify(b *testing.B) {
	db := open(b, engines["sqlite"](b))
	seals(b, db, 40, 500, "org_a")
	text, err := storagetest.Export(b.Context(), db, "org_a", time.Time{}, time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if r, err := chain.Verify(strings.NewReader(text)); err != nil || r.Events != 20_000 {
			b.Fatal(r, err)
		}
	}
}
