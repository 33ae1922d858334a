package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// startLimit is how long a service may take to answer on a busy machine.
const startLimit = 60 * time.Second

// Service is a script of tests/services that can be started again and again on the same port and files. One goroutine
// uses it.
type Service struct {
	name, dir, port string
	args            []string

	cmd  *exec.Cmd // nil: it has never been started
	done chan struct{}
}

func newService(name, dir string, args ...string) (*Service, error) {
	port, err := freePort()
	return &Service{name: name, dir: dir, port: port, args: args}, err
}

// Start starts it and waits until it answers.
func (s *Service) Start() error {
	_, here, _, _ := runtime.Caller(0)
	log, err := os.OpenFile(s.dir+".log", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", s.name, err)
	}
	defer log.Close()
	script := filepath.Join(filepath.Dir(here), "..", "services", s.name)
	cmd := exec.Command(script, append([]string{s.dir, s.port}, s.args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	done := make(chan struct{})
	s.cmd, s.done = cmd, done
	go func() { // ends with the process
		_ = cmd.Wait() // how it ends is not what is tested
		close(done)
	}()
	return s.wait()
}

// wait waits until Vel could sign in.
func (s *Service) wait() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	var last error
	err := vel.Poll(ctx, s.name, func() (bool, error) {
		select {
		case <-s.done:
			return false, fmt.Errorf("%s ended before it answered", s.name)
		default:
		}
		last = psql(s.port, "vel", "vel", "select 1").Run()
		return last == nil, nil
	})
	if err != nil {
		log, _ := os.ReadFile(s.dir + ".log")
		return fmt.Errorf("%w: %w\n%s", err, last, log)
	}
	return nil
}

// Stop ends it by a signal and waits for its end. SIGQUIT ends Postgres as a crash does, SIGTERM ends PgBouncer at once.
func (s *Service) Stop(by syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(by) // it may be gone already
	<-s.done
}

// Freeze lets it answer nothing and keep every connection, until Thaw. Of Postgres only the process that takes
// connections freezes.
func (s *Service) Freeze() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Service) Thaw() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

func (s *Service) url(database string) string {
	return fmt.Sprintf("postgres://vel@127.0.0.1:%s/%s?sslmode=disable", s.port, database)
}
