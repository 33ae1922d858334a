package storage_test

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/ratelimit"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

var quiet = slog.New(slog.DiscardHandler)

// place is a new database and a way to it past the store, which no policy binds.
type place struct {
	storage.Config
	engine string
	raw    *sql.DB
}

// places are a new database of each engine.
func places(t testing.TB) []place {
	t.Helper()
	pg := server.Database(t)
	file := t.TempDir() + "/vel.db"
	list := []place{
		{Config: storage.Config{SQLite: file}, engine: "sqlite"},
		{Config: storage.Config{URL: secrets.New(pg.URL)}, engine: "postgres"},
	}
	for i, name := range [...]string{"file:" + file, pg.Admin} {
		var err error
		if list[i].raw, err = sql.Open([...]string{"sqlite", "pgx"}[i], name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = list[i].raw.Close() })
	}
	return list
}

func (p place) exec(t testing.TB, statements string) {
	t.Helper()
	for s := range strings.SplitSeq(statements, ";\n") {
		if strings.TrimSpace(s) == "" {
			continue
		}
		if _, err := p.raw.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (p place) strings(t testing.TB, query string) (list []string) {
	t.Helper()
	rows, err := p.raw.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// upTo are the migrations of an engine up to a version, and more.
func upTo(t testing.TB, engine string, version int, more map[string]string) fs.FS {
	t.Helper()
	scripts := fstest.MapFS{}
	for v, name := range versions(t, engine) {
		if v < version {
			data, err := fs.ReadFile(storage.Scripts(engine), name)
			if err != nil {
				t.Fatal(err)
			}
			scripts[name] = &fstest.MapFile{Data: data}
		}
	}
	for name, statements := range more {
		scripts[name] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + statements)}
	}
	return scripts
}

// versions are the files of the migrations; the one of version n stands at n-1.
func versions(t testing.TB, engine string) []string {
	t.Helper()
	names, err := fs.Glob(storage.Scripts(engine), "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	for i, name := range names {
		if !strings.HasPrefix(name, fmt.Sprintf("%05d_", i+1)) {
			t.Fatalf("migration %d is %s", i+1, name)
		}
	}
	return names
}

func TestMigrationsFromEachVersion(t *testing.T) {
	t.Parallel()
	same := cmp.Diff(versions(t, "sqlite"), versions(t, "postgres"))
	if same != "" {
		t.Fatalf("the engines have different migrations: %s", same)
	}
	for i := range versions(t, "sqlite") {
		data, err := os.ReadFile(fmt.Sprintf("testdata/versions/%d.sql", i+1))
		if err != nil {
			t.Fatalf("version %d has no data to migrate: %v", i+1, err)
		}
		for _, p := range places(t) {
			t.Run(fmt.Sprintf("%s from %d", p.engine, i+1), func(t *testing.T) {
				t.Parallel()
				db, err := storage.OpenWith(t.Context(), p.Config, quiet, upTo(t, p.engine, i+1, nil))
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				p.exec(t, string(data))
				db = open(t, p.Config)
				keeps(t, db, i+1)
				if i+1 >= signOn {
					keepsSignOn(t, db)
				}
				if i+1 >= limited {
					keepsLedger(t, db)
				}
			})
		}
	}
}

// keeps checks what the fixture of a version holds.
func keeps(t *testing.T, db *storage.DB, version int) {
	ctx := t.Context()
	at := func(n int64) time.Time { return time.UnixMicro(1_800_000_000_000_000 + n).UTC() }
	meta := func(id, name string, rev, updated int64) tenancy.Meta {
		return tenancy.Meta{ID: tenancy.ID(id), Org: "org_1", Name: name, Rev: rev, Created: at(0), Updated: at(updated)}
	}
	type all struct {
		Changes storage.Changes
		Team    tenancy.Team
		Role    tenancy.Role
		User    tenancy.User
		Session tenancy.Session
		Kept    tenancy.Kept
		Used    time.Time
		Object  map[string]string
	}
	hash := tenancy.HashKey([]byte("abc"))
	want := all{
		Changes: storage.Changes{
			Rev: 9, Whole: true, Orgs: []tenancy.Org{{Meta: meta("org_1", "acme", 2, 1)}},
			Keys: []tenancy.APIKey{{
				Meta: meta("key_1", "ci", 1, 0), Team: "team_1", User: "user_1", Hash: hash, Models: []string{"gpt-4o"}, Role: "role_1",
			}},
		},
		Team: tenancy.Team{Meta: meta("team_1", "search", 1, 0)},
		Role: tenancy.Role{Meta: meta("role_1", "approver", 1, 0), Permissions: tenancy.Allow(tenancy.ApproveWorkflow)},
		User: tenancy.User{
			Meta: meta("user_1", "Zoë", 4, 0), Email: "zoe@example.com", Password: "a hash", Roles: []tenancy.ID{"org_admin", "role_1"},
			Teams: []tenancy.ID{"team_1"}, LastLogin: at(3),
		},
		Session: tenancy.Session{
			ID: "session_1", Org: "org_1", User: "user_1", Hash: tenancy.HashKey([]byte("def")), Began: at(0), Created: at(0),
			Expires: time.UnixMicro(9_000_000_000_000_000).UTC(), Address: "192.0.2.1", Agent: "curl/8",
		},
		Kept: tenancy.Kept{Request: "r", Status: 201, Answer: "{}"},
		Used: at(4), Object: map[string]string{"file-1": "openai"},
	}
	if version >= 3 {
		platform := func(id, name string, rev, updated int64) tenancy.Meta {
			m := meta(id, name, rev, updated)
			m.Org = tenancy.Platform
			return m
		}
		want.Changes.Providers = []routing.ManagedProvider{{
			Meta: platform("provider_1", "mine", 2, 1), Sealed: secrets.New("01234567.x"), Hint: "wxyz",
			Settings: routing.ProviderConfig{
				Kind: "openai", API: "chat", Organizations: []tenancy.ID{"org_1"}, Timeouts: routing.TimeoutsConfig{FirstByte: new(90 * time.Second)},
			},
		}}
		want.Changes.Routes = []routing.ManagedRoute{{
			Meta: platform("route_1", "fast", 1, 0), Settings: routing.ModelConfig{Attempts: new(2), Targets: []routing.TargetConfig{{Provider: "mine"}}},
		}}
	}
	want.Changes.Orgs[0].KeepContent = version >= keepContent
	if version >= limited {
		want.Changes.Limits = []accounting.Limits{{
			Meta: meta("limit_1", "key key_1", 1, 0), Scope: accounting.Scope{Key: "key_1"}, RPM: 600, TPM: 90_000, InFlight: 8, Burst: 60,
		}}
		want.Changes.Budgets = []accounting.Budget{{
			Meta: meta("budget_1", "monthly", 1, 0), Max: 500_000_000_000, Per: ratelimit.Month, Timezone: "Europe/Berlin", WarnAt: 80, Hard: true,
			OnStoreFailure: ratelimit.Closed,
		}}
	}
	var got all
	var failed [8]error
	got.Changes, failed[0] = db.Changes(ctx, 0)
	got.Team, failed[1] = db.Teams().Get(ctx, "org_1", "team_1")
	got.Role, failed[2] = db.Roles().Get(ctx, "org_1", "role_1")
	got.User, failed[3] = db.Users().Get(ctx, "org_1", "user_1")
	got.Session, _, failed[4] = db.FindSession(ctx, want.Session.Hash)
	got.Kept, _, failed[5] = db.Claim(ctx, "org_1", "i", "r")
	key, err := db.Keys().Get(ctx, "org_1", "key_1")
	got.Used, failed[6] = key.LastUsed, err
	got.Object, failed[7] = db.ObjectOwners(ctx, "org_1", []string{"file-1"})
	for _, err := range failed {
		if err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after the migrations (-want +got):\n%s", diff)
	}
}

// keepContent is the version from which on an organization may keep what its calls say.
const keepContent = 6

// limited is the version from which on there are limits and budgets.
const limited = 7

// keepsLedger checks what the fixtures from that version on say was spent.
func keepsLedger(t *testing.T, db *storage.DB) {
	want := []accounting.LedgerTotal{{Org: "org_1", Budget: "budget_1", Window: time.UnixMicro(1_799_900_000_000_000).UTC(), Entries: 1, Held: 9000, Spent: 4200}}
	for what, read := range map[string]func(context.Context, accounting.LedgerQuery) ([]accounting.LedgerTotal, error){"sums": db.LedgerTotals, "rows": db.LedgerEntries} {
		got, err := read(t.Context(), accounting.LedgerQuery{Org: "org_1"})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("the %s of the ledger (-want +got): %v\n%s", what, err, diff)
		}
	}
	first, err := db.NoteBudget(t.Context(), &accounting.Budget{Meta: tenancy.Meta{ID: "budget_1", Org: "org_1"}}, want[0].Window, 80, 1)
	if first || err != nil {
		t.Errorf("it is noted again: %v, %v", first, err)
	}
}

// signOn is the version from which on users may be known to an issuer.
const signOn = 4

// keepsSignOn checks what the fixtures from that version on hold besides.
func keepsSignOn(t *testing.T, db *storage.DB) {
	u, err := db.FindSubject(t.Context(), "org_1", "https://id.example.com", "248289761001")
	if err != nil || u.ID != "user_2" {
		t.Errorf("the user of a subject is %+v, %v", u, err)
	}
}

func TestBothEnginesHaveTheSameSchema(t *testing.T) {
	t.Parallel()
	queries := map[string][2]string{
		"columns": {
			`select m.name || '.' || c.name || ' ' || lower(c.type) || case when c."notnull" or c.pk then '' else ' null' end
			 from sqlite_master m join pragma_table_info(m.name) c where m.type = 'table'`,
			`select table_name || '.' || column_name || ' ' || data_type || case when is_nullable = 'YES' then ' null' else '' end
			 from information_schema.columns where table_schema = 'public'`,
		},
		"indexes": {
			`select name || case when sql like '%unique%' then ' unique' else '' end from sqlite_master where type = 'index' and sql is not null`,
			`select indexname || case when indexdef like '%UNIQUE%' then ' unique' else '' end from pg_indexes where schemaname = 'public' and indexname not like '%_pkey'`,
		},
	}
	found := map[string][2][]string{}
	for i, p := range places(t) {
		open(t, p.Config)
		for what, query := range queries {
			list := slices.DeleteFunc(p.strings(t, query[i]), func(s string) bool {
				return strings.HasPrefix(s, "goose_") || strings.HasPrefix(s, "river_") || strings.HasPrefix(s, "sqlite_") || isPartition(s)
			})
			slices.Sort(list)
			both := found[what]
			both[i] = list
			found[what] = both
		}
	}
	for what, both := range found {
		if len(both[0]) < 10 {
			t.Errorf("only %d %s", len(both[0]), what)
		}
		if diff := cmp.Diff(both[0], both[1]); diff != "" {
			t.Errorf("%s (-sqlite +postgres):\n%s", what, diff)
		}
	}
}

// partition is how partitions begin: their table, and a day or "other".
var partition = regexp.MustCompile(`^(audit_events|calls|call_contents|call_terms|usage_minutes|ledger)_(d2\d{7}|other)`)

// isPartition tells whether a column or an index is one of a partition, which only Postgres has.
func isPartition(s string) bool {
	return partition.MatchString(s)
}

func TestMigrationsAreTransactions(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		for _, name := range versions(t, engine) {
			data, err := fs.ReadFile(storage.Scripts(engine), name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(strings.ToUpper(string(data)), "NO TRANSACTION") {
				t.Errorf("%s leaves half of itself behind when it is killed", path.Join(engine, name))
			}
		}
	}
}

func TestNewerSchema(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			known := len(versions(t, p.engine))
			next := fmt.Sprintf("%05d_next.sql", known+1)
			more := map[string]string{next: "create table later (n bigint);"}
			newer := func() {
				db, err := storage.OpenWith(t.Context(), p.Config, quiet, upTo(t, p.engine, known, more))
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
			newer()
			db, err := storage.Open(t.Context(), p.Config, quiet)
			if err != nil {
				t.Fatalf("a schema that only has more than we know: %v", err)
			}
			list, err := db.Status(t.Context())
			if err != nil || len(list) != known+1 || list[known].Name != "" || list[known].Version != int64(known+1) || list[known].Applied.IsZero() {
				t.Errorf("its migrations: %+v, %v", list, err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			more[fmt.Sprintf("%05d_contract.sql", known+2)] = fmt.Sprintf("update vel_schema set oldest = %d;", known+1)
			newer()
			if _, err := storage.Open(t.Context(), p.Config, quiet); err == nil || !strings.Contains(err.Error(), "start a newer vel") {
				t.Errorf("a schema that has left us behind: %v", err)
			}
		})
	}
}

func TestHalfMigratedIsRefused(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]string{
		"no list":        `drop table goose_db_version`,
		"an empty list":  `delete from goose_db_version where version_id > 0`,
		"a gap":          "delete from goose_db_version where version_id = 1;\ninsert into goose_db_version (version_id, is_applied) values (2, true)",
		"no tables left": `drop table vel_schema`,
	} {
		for _, p := range places(t) {
			t.Run(name+" in "+p.engine, func(t *testing.T) {
				t.Parallel()
				db, err := storage.Open(t.Context(), p.Config, quiet)
				if err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				p.exec(t, spoil)
				if _, err := storage.Open(t.Context(), p.Config, quiet); err == nil || !strings.Contains(err.Error(), "half-migrated") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, p := range places(t) {
		t.Run(p.engine, func(t *testing.T) {
			t.Parallel()
			db, err := storage.Connect(t.Context(), p.Config, quiet)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			for _, applied := range []bool{false, true} {
				list, err := db.Status(t.Context())
				if err != nil || len(list) != len(versions(t, p.engine)) || list[0].Version != 1 || list[0].Name != "00001_tenancy.sql" {
					t.Fatalf("%+v, %v", list, err)
				}
				for _, m := range list {
					if m.Applied.IsZero() == applied {
						t.Errorf("%s was applied at %s", m.Name, m.Applied)
					}
				}
				if err := db.Migrate(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
