package storage_test

import (
	"testing"

	"github.com/vel-gateway/vel/tenancy"
)

// BenchmarkLoad reads 100,000 keys and indexes them, as a node does when it starts.
func BenchmarkLoad(b *testing.B) {
	const many = 100_000
	const columns = `insert into keys (id, org_id, name, team_id, user_id, hash, old_hash, old_until_us, models, role, expires_us, disabled, rev, changed, created_us, updated_us) `
	for i, p := range places(b) {
		db := open(b, p.Config)
		p.exec(b, columns+[...]string{
			`with recursive n (i) as (select 1 union all select i + 1 from n limit 100000)
			 select printf('key_%032x', i), 'org:a', 'key-' || i, '', '', printf('%064x', i), '', 0, '["gpt-4o","gpt-4o-mini"]', '', 0, false, 1, 1, 1800000000000000, 1800000000000000 from n`,
			`select 'key_' || lpad(to_hex(i), 32, '0'), 'org:a', 'key-' || i, '', '', lpad(to_hex(i), 64, '0'), '', 0, '["gpt-4o","gpt-4o-mini"]', '', 0, false, 1, 1, 1800000000000000, 1800000000000000
			 from generate_series(1, 100000) i`,
		}[i])
		p.exec(b, `insert into key_usage select id, org_id, 1800000000000000 from keys`)
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
