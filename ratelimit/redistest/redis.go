// Package redistest starts a real, private Redis for the tests of what keeps something there.
package redistest

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
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a private Redis, tests/services/redis, that can be started again on the same port and files.
type Server struct {
	Dir      string
	Port     int
	Settings []string

	cmd  *exec.Cmd
	done chan struct{}
}

// startLimit is how long a server may take to come up on a busy machine.
const startLimit = 60 * time.Second

// New starts a Redis for the length of a test.
func New(t testing.TB, settings ...string) *Server {
	t.Helper()
	s := &Server{Dir: filepath.Join(t.TempDir(), "redis"), Port: FreePort(), Settings: settings}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.End(syscall.SIGTERM) })
	return s
}

// Start starts it and waits until it answers.
func (s *Server) Start() error {
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "../../tests/services/redis")
	s.cmd = exec.Command(script, append([]string{s.Dir, strconv.Itoa(s.Port)}, s.Settings...)...)
	log, err := os.OpenFile(s.Dir+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start redis: %w", err)
	}
	cmd, done := s.cmd, make(chan struct{})
	s.done = done
	go func() { // ends with the process
		_ = cmd.Wait() // how it ends is not what is tested
		close(done)
	}()
	return s.wait()
}

func (s *Server) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer func() { _ = c.Close() }()
	for c.Ping(ctx).Err() != nil {
		select {
		case <-s.done:
			log, _ := os.ReadFile(s.Dir + ".log")
			return fmt.Errorf("redis ended before it answered\n%s", log)
		case <-ctx.Done():
			return fmt.Errorf("redis did not answer: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// End ends it by a signal and waits for its end.
func (s *Server) End(by syscall.Signal) {
	_ = s.cmd.Process.Signal(by) // it may be gone already
	<-s.done
}

// Signal sends it a signal, as SIGSTOP.
func (s *Server) Signal(by syscall.Signal) error { return s.cmd.Process.Signal(by) }

// Addr is where it listens.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.Port) }

// Ports that no system gives to outgoing connections or to listeners that ask for any; with those 10,000 above them.
const lowestPort, ports = 12_000, 10_000

// FreePort is a port that nobody listens on, and nobody on the one of its cluster bus.
func FreePort() int {
	for {
		port := lowestPort + rand.IntN(ports)
		if free(port) && free(port+10_000) {
			return port
		}
	}
}

func free(port int) bool {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}
