package storagetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres is a private Postgres with a PgBouncer in front of it, for the tests of one package. It ends with the
// process that started it.
type Postgres struct {
	dir             string
	port, pooled    int
	server, bouncer *service
	databases       atomic.Int64
}

// Database is one database in it.
type Database struct {
	Admin  string // the URL for its superuser
	URL    string // for Vel, who owns it
	Pooled string // for Vel, through PgBouncer
}

// startLimit is how long a server may take to come up on a busy machine.
const startLimit = 60 * time.Second

// StartPostgres starts both and waits until they answer. Close ends them, also when it fails.
func StartPostgres() (*Postgres, error) {
	dir, err := os.MkdirTemp(memory(), "vel-pg")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // they run as another user
		return nil, err
	}
	p := &Postgres{dir: dir, port: freePort(), pooled: freePort()}
	if err := p.Start(); err != nil {
		return p, err
	}
	p.bouncer, err = serve("pgbouncer", filepath.Join(dir, "pgbouncer"), strconv.Itoa(p.pooled), strconv.Itoa(p.port))
	if err == nil {
		err = p.wait(p.bouncer, p.pooled)
	}
	return p, err
}

// memory is a folder in memory, where a database is made ten times as fast, or nothing if there is too little of it, or
// TMPDIR says where there is more.
func memory() string {
	if os.Getenv("TMPDIR") != "" {
		return ""
	}
	const shm, enough = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(shm, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < enough {
		return ""
	}
	return shm
}

// Start starts Postgres again after Stop.
func (p *Postgres) Start() (err error) {
	if p.server, err = serve("postgres", filepath.Join(p.dir, "postgres"), strconv.Itoa(p.port)); err != nil {
		return err
	}
	return p.wait(p.server, p.port)
}

// Stop ends Postgres, and every connection with it. PgBouncer stays.
func (p *Postgres) Stop() { p.server.end(syscall.SIGINT) }

// Close ends both and removes their files.
func (p *Postgres) Close() {
	if p == nil {
		return
	}
	if p.bouncer != nil {
		p.bouncer.end(syscall.SIGTERM)
	}
	if p.server != nil {
		p.server.end(syscall.SIGINT)
	}
	_ = os.RemoveAll(p.dir)
}

// Database makes a database for a test, which is dropped when the test ends.
func (p *Postgres) Database(tb testing.TB) Database {
	tb.Helper()
	name := "test_" + strconv.FormatInt(p.databases.Add(1), 10)
	server := p.url("postgres", p.port, "postgres")
	p.Exec(tb, server, "create database "+name+" owner vel")
	tb.Cleanup(func() { p.Exec(tb, server, "drop database "+name+" with (force)") })
	return Database{Admin: p.url("postgres", p.port, name), URL: p.url("vel", p.port, name), Pooled: p.url("vel", p.pooled, name)}
}

func (p *Postgres) url(user string, port int, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", user, port, database)
}

// Exec runs statements on a database.
func (p *Postgres) Exec(tb testing.TB, url, statements string) {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context()) // a cleanup has none that lives
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.PgConn().Exec(ctx, statements).ReadAll(); err != nil {
		tb.Fatalf("%s: %v", statements, err)
	}
}

// wait waits until Vel can sign in at a port.
func (p *Postgres) wait(s *service, port int) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, p.url("vel", port, "vel"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.done:
			log, _ := os.ReadFile(s.log)
			return fmt.Errorf("it ended before it answered: %w\n%s", err, log)
		case <-ctx.Done():
			log, _ := os.ReadFile(s.log)
			return fmt.Errorf("it did not answer: %w\n%s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// service is a running script of tests/services.
type service struct {
	cmd  *exec.Cmd
	log  string // a file
	done chan struct{}
}

func serve(name, dir string, args ...string) (*service, error) {
	_, here, _, _ := runtime.Caller(0)
	s := &service{log: dir + ".log", done: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(filepath.Dir(here), "../../tests/services", name), append([]string{dir}, args...)...)
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends with the process
		_ = s.cmd.Wait() // how it ends is not what is tested
		close(s.done)
	}()
	return s, nil
}

func (s *service) end(by os.Signal) {
	_ = s.cmd.Process.Signal(by) // it may be gone already
	<-s.done
}

// Ports that no system gives to outgoing connections or to listeners that ask for any.
const lowestPort, ports = 12_000, 20_000

// freePort is a port that nobody listens on.
func freePort() int {
	for {
		port := lowestPort + rand.IntN(ports)
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			_ = l.Close()
			return port
		}
	}
}
