// Package postgres is a private Postgres with a PgBouncer in front of it, for tests that look at Vel from outside. It
// can be stopped, started and frozen while Vel uses it, as it happens in the night.
package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// Server is both. It ends with the process that started it.
type Server struct {
	Postgres, Bouncer *Service

	dir       string
	databases atomic.Int64
}

// Database is one database.
type Database struct {
	Name   string
	URL    string // for Vel, who owns it
	Pooled string // the same through PgBouncer in transaction mode
}

// Start starts both for the length of a test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := Launch()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// Launch starts both and waits until they answer. The caller closes them.
func Launch() (*Server, error) {
	dir, err := os.MkdirTemp(memory(), "vel-postgres-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for Postgres: %w", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // they do not run as root
		return nil, fmt.Errorf("open the folder of Postgres: %w", err)
	}
	s := &Server{dir: dir}
	if s.Postgres, err = newService("postgres", filepath.Join(dir, "postgres")); err != nil {
		return nil, err
	}
	if s.Bouncer, err = newService("pgbouncer", filepath.Join(dir, "pgbouncer"), s.Postgres.port); err != nil {
		return nil, err
	}
	if err := s.Postgres.Start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.Bouncer.Start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends both and removes their files.
func (s *Server) Close() error {
	s.Bouncer.Stop(syscall.SIGTERM)
	s.Postgres.Stop(syscall.SIGQUIT)
	return os.RemoveAll(s.dir)
}

// Database makes an empty database.
func (s *Server) Database(tb testing.TB) Database {
	tb.Helper()
	name := fmt.Sprintf("vel_%d", s.databases.Add(1))
	s.SQL(tb, "postgres", "create database "+name+" owner vel")
	return Database{name, s.Postgres.url(name), s.Bouncer.url(name)}
}

// SQL runs statements on a database as its superuser, and gives their rows, the columns separated by |.
func (s *Server) SQL(tb testing.TB, database, statements string) string {
	tb.Helper()
	out, err := psql(s.Postgres.port, "postgres", database, statements).Output()
	if err != nil {
		tb.Fatalf("%s: %v\n%s", statements, err, complaint(err))
	}
	return strings.TrimSpace(string(out))
}

// Hold runs statements on a database as its superuser, and keeps their session open until release: what they lock
// stays locked.
func (s *Server) Hold(tb testing.TB, database, statements string) (release func()) {
	tb.Helper()
	cmd := psql(s.Postgres.port, "postgres", database, statements, `\echo held`, `\! cat >/dev/null`)
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	var said []byte
	for piece := make([]byte, 256); !strings.Contains(string(said), "held"); {
		n, err := out.Read(piece)
		if err != nil {
			tb.Fatalf("%s: %v", statements, err)
		}
		said = append(said, piece[:n]...)
	}
	return func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("%s: %v", statements, err)
		}
	}
}

// psql is the client, with one command after the other.
func psql(port, user, database string, commands ...string) *exec.Cmd {
	args := []string{"-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", port, "-U", user, "-d", database}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	return exec.Command(program("psql"), args...)
}

// program is the path of one of Postgres's own programs, of the newest version that is here.
func program(name string) string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well formed
	if len(found) == 0 {
		return name // wherever it is
	}
	return slices.MaxFunc(found, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
}

// complaint is what a program wrote to stderr before it failed.
func complaint(err error) string {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(e.Stderr)
	}
	return ""
}

// memory is a folder in memory, where a database is made ten times as fast, or nothing if there is too little of it.
func memory() string {
	const shm, enough = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(shm, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < enough {
		return ""
	}
	return shm
}

// freePort is a port that nobody listens on.
func freePort() (string, error) {
	port, err := vel.FreePort()
	return fmt.Sprint(port), err
}
