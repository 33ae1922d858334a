// Package postgres runs a private Postgres with a PgBouncer in front of it, for tests of the binary. They import nothing
// of Vel's, so it has a twin in storage/storagetest; what the two run are the same scripts, in tests/services.
package postgres

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

// startLimit is how long a server may take to come up on a busy machine.
const startLimit = 60 * time.Second

// Server is a running pair.
type Server struct {
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

// Start runs a server for the length of a test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s, err := Launch()
	if s != nil {
		tb.Cleanup(s.Close)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// Launch runs a server until Close, for the tests of a whole package. It ends with the process that started it.
func Launch() (*Server, error) {
	dir, err := os.MkdirTemp(memory(), "vel-pg")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // they run as another user
		return nil, err
	}
	s := &Server{dir: dir, port: freePort(), pooled: freePort()}
	if err := s.Restart(); err != nil {
		return s, err
	}
	s.bouncer, err = serve("pgbouncer", filepath.Join(dir, "pgbouncer"), strconv.Itoa(s.pooled), strconv.Itoa(s.port))
	if err == nil {
		err = s.wait(s.bouncer, s.pooled)
	}
	return s, err
}

// Database makes a database, which goes with the server.
func (s *Server) Database(tb testing.TB) Database {
	tb.Helper()
	ctx, name := tb.Context(), "test_"+strconv.FormatInt(s.databases.Add(1), 10)
	conn, err := pgx.Connect(ctx, s.url("postgres", s.port, "postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "create database "+name+" owner vel"); err != nil {
		tb.Fatal(err)
	}
	return Database{Admin: s.url("postgres", s.port, name), URL: s.url("vel", s.port, name), Pooled: s.url("vel", s.pooled, name)}
}

// Stop ends Postgres, and every connection with it. PgBouncer stays.
func (s *Server) Stop() { s.server.end(syscall.SIGINT) }

// Kill ends Postgres as a crash does.
func (s *Server) Kill() { s.server.end(syscall.SIGKILL) }

// Restart starts Postgres again after Stop or Kill, and waits until it answers.
func (s *Server) Restart() error {
	for over := time.Now().Add(startLimit); ; {
		var err error
		if s.server, err = serve("postgres", filepath.Join(s.dir, "postgres"), strconv.Itoa(s.port)); err != nil {
			return err
		}
		// After a crash its children may still be there, and it refuses to start beside them.
		if err = s.wait(s.server, s.port); err == nil || time.Now().After(over) {
			return err
		}
		s.Kill()
	}
}

// Close ends both and removes their files.
func (s *Server) Close() {
	if s.bouncer != nil {
		s.bouncer.end(syscall.SIGTERM)
	}
	if s.server != nil {
		s.server.end(syscall.SIGINT)
	}
	_ = os.RemoveAll(s.dir)
}

func (s *Server) url(user string, port int, database string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", user, port, database)
}

// wait waits until Vel can sign in at a port.
func (s *Server) wait(on *service, port int) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.url("vel", port, "vel"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-on.done:
			log, _ := os.ReadFile(on.log)
			return fmt.Errorf("it ended before it answered: %w\n%s", err, log)
		case <-ctx.Done():
			log, _ := os.ReadFile(on.log)
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
	s.cmd = exec.Command(filepath.Join(filepath.Dir(here), "../services", name), append([]string{dir}, args...)...)
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

// memory is a folder in memory, where a database is made ten times as fast, or nothing if there is too little of it.
func memory() string {
	const shm, enough = "/dev/shm", 2 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(shm, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < enough {
		return ""
	}
	return shm
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
