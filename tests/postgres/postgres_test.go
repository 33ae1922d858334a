package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestServer checks what the tests of the binary rely on.
func TestServer(t *testing.T) {
	t.Parallel()
	s := Start(t)
	d := s.Database(t)
	ask := func(url string) error {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			return err
		}
		var owns, mighty bool
		err = conn.QueryRow(t.Context(), `select pg_get_userbyid(datdba) = 'vel', rolsuper or rolbypassrls
			from pg_database, pg_roles where datname = current_database() and rolname = 'vel'`, pgx.QueryExecModeExec).Scan(&owns, &mighty)
		if err == nil && (!owns || mighty) {
			t.Errorf("vel owns its database: %v, is above the policies: %v", owns, mighty)
		}
		return errors.Join(err, conn.Close(t.Context()))
	}
	for name, end := range map[string]func(){"stop": s.Stop, "kill": s.Kill} {
		for _, url := range []string{d.Admin, d.URL} {
			if err := ask(url); err != nil {
				t.Errorf("before %s: %v", name, err)
			}
		}
		end()
		if err := ask(d.URL); err == nil {
			t.Errorf("after %s it still answers", name)
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	if err := ask(d.Pooled); err != nil {
		t.Errorf("through PgBouncer: %v", err)
	}
}
