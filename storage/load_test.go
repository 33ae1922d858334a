package storage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
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
		rows, err := p.raw.QueryContext(t.Context(), explain+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		plan := ""
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
		if !strings.Contains(plan, "keys_list") && !strings.Contains(plan, "keys_pkey") || strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "Sort") {
			t.Errorf("%s:\n%s", p.engine, plan)
		}
	}
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
