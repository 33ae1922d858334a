package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql's "pgx"
	_ "modernc.org/sqlite"             // database/sql's "sqlite"
)

// The engines that keep keys.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
)

// benchOrg is the organization whose keys fill a database; apiKey is one of them.
const benchOrg = "org_00000000000000000000000000000001"

// adminKey opens /api.
const adminKey = "sk-bench-admin-0123456789abcdef0123456789"

// house is a Vel whose keys are in a database.
type house struct {
	name     string
	engine   string
	keys     int
	binary   string
	env      []string // what it needs besides its file
	dir      string   // where its file is, and a SQLite database
	database string   // as its file names it
}

// houseConfig is velConfig without an organization.
const houseConfig = `listen: %[1]s
database: %[2]s
server: {drain: 1s}
providers:
  bench: {kind: openai, base_url: "http://%[3]s/v1", api_key: none, allow_private: true}
models:
  ` + modelName + `: {targets: [{provider: bench}]}
`

// prepare makes the database and fills it. For Postgres url names an empty one, and admin the same for its superuser.
func (h *house) prepare(ctx context.Context, dir, url, admin string) (err error) {
	if h.dir, err = os.MkdirTemp(dir, h.name+"-"); err != nil {
		return err
	}
	h.env = []string{"VEL_ADMIN_KEY=" + adminKey, "VEL_SECRET_KEY=" + apiKey}
	driver, source := "pgx", admin
	h.database = url
	if h.engine == sqlite {
		driver, source = sqlite, filepath.Join(h.dir, "vel.db")
		h.database = "sqlite:" + source
	}
	migrate := exec.CommandContext(ctx, h.binary, "migrate", "up")
	migrate.Dir, migrate.Env = h.dir, append([]string{"HOME=" + h.dir, "DATABASE_URL=" + h.database}, h.env...)
	if text, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate %s: %w\n%s", h.name, err, text)
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return err
	}
	defer db.Close()
	progress("%s: %d keys", h.name, h.keys)
	if err := fill(ctx, db, h.keys); err != nil || h.engine == sqlite {
		return err
	}
	_, err = db.ExecContext(ctx, "analyze") // Postgres does so by itself, a minute later
	return err
}

// fill makes the organization and its keys, the last of them apiKey, as the API would have done one by one.
func fill(ctx context.Context, db *sql.DB, keys int) error {
	t, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback()
	const times = "2, 1767225600000000, 1767225600000000, 0"
	if _, err := t.ExecContext(ctx, "insert into organizations (id, org_id, name, disabled, rev, changed, created_us, updated_us, deleted_us) values ('"+
		benchOrg+"', '"+benchOrg+"', 'bench', false, 1, "+times+")"); err != nil {
		return fmt.Errorf("make the organization: %w", err)
	}
	const atOnce = 500
	for from := 1; from <= keys; from += atOnce {
		var rows []string
		for i := from; i < min(from+atOnce, keys+1); i++ {
			secret := fmt.Sprintf("sk-bench-nobody-%d", i)
			if i == keys {
				secret = apiKey
			}
			hash := sha256.Sum256([]byte(secret))
			rows = append(rows, fmt.Sprintf(`('key_%032x', '%s', 'key %d', '', '', '%s', '', 0, '["%s"]', '', 0, false, 1, %s)`,
				i, benchOrg, i, hex.EncodeToString(hash[:]), modelName, times))
		}
		if _, err := t.ExecContext(ctx, "insert into keys (id, org_id, name, team_id, user_id, hash, old_hash, old_until_us, models, role, expires_us, disabled, "+
			"rev, changed, created_us, updated_us, deleted_us) values "+strings.Join(rows, ", ")); err != nil {
			return fmt.Errorf("make keys: %w", err)
		}
	}
	// All of them have been used.
	if _, err := t.ExecContext(ctx, "insert into key_usage (key_id, org_id, last_used_us) select id, org_id, created_us from keys"); err != nil {
		return err
	}
	if _, err := t.ExecContext(ctx, "update config_rev set rev = 2"); err != nil {
		return err
	}
	return t.Commit()
}

// start starts the house between two addresses.
func (h *house) start(listen, upstream string) (*process, error) {
	file := filepath.Join(h.dir, "vel.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, houseConfig, listen, h.database, upstream), 0o600); err != nil {
		return nil, err
	}
	return startProcess(h.dir, h.name, h.env, []string{h.binary, "serve", "--config", file})
}

func (h *house) contender() contender {
	return contender{
		name: h.name, metricsPath: "/metrics",
		launch: func(s site) (*process, error) { return h.start(s.listen, s.upstream) },
	}
}

// postgresServer is a private Postgres.
type postgresServer struct {
	*process
	addr string
	made int
}

func startPostgres(ctx context.Context, root, dir string) (*postgresServer, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	script, err := filepath.Abs(filepath.Join(root, "tests", "services", "postgres"))
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // it does not run as root
		return nil, err
	}
	_, port, _ := strings.Cut(addr, ":")
	// It writes to the disk as a careful one does.
	p, err := startProcess(dir, postgres, []string{"FSYNC=on"}, []string{script, filepath.Join(dir, postgres), port})
	if err != nil {
		return nil, err
	}
	s := &postgresServer{process: p, addr: addr}
	db, err := sql.Open("pgx", s.url("postgres", "postgres"))
	if err != nil {
		p.stop()
		return nil, err
	}
	defer db.Close()
	if err := p.awaitReady(ctx, db.PingContext); err != nil {
		p.stop()
		return nil, err
	}
	return s, nil
}

func (s *postgresServer) url(user, database string) string {
	return "postgres://" + user + "@" + s.addr + "/" + database + "?sslmode=disable"
}

// database makes an empty database and gives its URLs, for Vel and for the superuser.
func (s *postgresServer) database(ctx context.Context) (url, admin string, err error) {
	db, err := sql.Open("pgx", s.url("postgres", "postgres"))
	if err != nil {
		return "", "", err
	}
	defer db.Close()
	s.made++
	name := fmt.Sprintf("bench_%d", s.made)
	_, err = db.ExecContext(ctx, "create database "+name+" owner vel")
	return s.url("vel", name), s.url("postgres", name), err
}

// startTime is how long a house takes from its start until it is ready.
func (h *house) startTime(ctx context.Context, upstream string) (time.Duration, error) {
	listen, err := freeAddr()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	p, err := h.start(listen, upstream)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	for {
		if err := probe(ctx, listen); err == nil {
			return time.Since(began), nil
		}
		select {
		case <-p.exit:
			return 0, fmt.Errorf("%s ended: %w\n%s", h.name, p.err, p.logTail())
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// probe asks whether a Vel is ready.
func probe(ctx context.Context, addr string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /readyz HTTP/1.1\r\nHost: "+addr+"\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	h, err := readHead(bufio.NewReader(conn))
	if err == nil && h.status != 200 {
		err = fmt.Errorf("status %d", h.status)
	}
	return err
}
