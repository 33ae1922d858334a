package vel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	startLimit = 30 * time.Second // from exec to /readyz, on a busy machine and under the race detector
	stopLimit  = 45 * time.Second // from SIGTERM to exit; longer than any drain that a test configures
)

// Options say how one process is started.
type Options struct {
	Build    Build
	Config   string   // what vel.yaml says; "" starts without a file. PORT sets the port
	Env      []string // NAME=value, on top of an environment that holds nothing of Vel's
	Canaries []string // secrets that must not show up in the log
	TLS      *http.Transport
}

// Process is one running Vel.
type Process struct {
	URL string // http://127.0.0.1:PORT, without /v1
	Dir string // its working directory: vel.yaml lies here, and data/ grows here
	Log *Log   // what it logged: its stderr
	Out *Log   // what it told a person: its stdout

	cmd      *exec.Cmd
	mu       sync.Mutex
	canaries []string      // guarded by mu
	done     chan struct{} // closed when the process is gone; err is set before
	err      error
	client   *http.Client
}

// Start runs Vel for the length of a test: when the test ends it is stopped, must have exited with 0, and must not
// have logged a secret. A test that fails prints the end of the log.
func Start(tb testing.TB, o Options) *Process {
	tb.Helper()
	p, err := Launch(tb.TempDir(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Stop(); err != nil {
			tb.Error(err)
		}
		if tb.Failed() {
			tb.Logf("the end of vel's log:\n%s", p.Log.Tail(60))
		}
	})
	return p
}

// Launch starts Vel in dir and waits until it is ready. The caller stops it.
func Launch(dir string, o Options) (*Process, error) {
	p, err := Begin(dir, o)
	if err != nil {
		return nil, err
	}
	if err := p.Ready(); err != nil {
		_ = p.cmd.Process.Kill()
		<-p.done
		return nil, fmt.Errorf("%w\n%s", err, p.Log.Tail(60))
	}
	return p, nil
}

// Begin starts Vel in dir and waits for nothing. The caller stops it.
func Begin(dir string, o Options) (*Process, error) {
	path, err := Binary(o.Build)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	p := &Process{Dir: dir, Log: newLog(), Out: newLog(), canaries: o.Canaries, done: make(chan struct{})}
	p.URL = "http://127.0.0.1:" + strconv.Itoa(port)
	p.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if o.TLS != nil {
		p.URL = "https://127.0.0.1:" + strconv.Itoa(port)
		p.client = &http.Client{Transport: o.TLS}
	}
	p.cmd = exec.Command(path, "serve")
	if o.Config != "" {
		if err := p.WriteConfig(o.Config); err != nil {
			return nil, err
		}
		p.cmd.Args = append(p.cmd.Args, "--config", "vel.yaml")
	}
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.TempDir(),
		"PORT=" + strconv.Itoa(port), "GORACE=halt_on_error=1 exitcode=66",
	}, o.Env...)
	p.cmd.Stdout, p.cmd.Stderr = p.Out, p.Log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start vel: %w", err)
	}
	go func() { // ends with the process
		p.err = p.cmd.Wait()
		p.Log.end()
		p.Out.end()
		close(p.done)
	}()
	return p, nil
}

// WriteConfig replaces vel.yaml as an editor does: a new file, moved over the old one.
func (p *Process) WriteConfig(yaml string) error {
	path := filepath.Join(p.Dir, "vel.yaml")
	if err := os.WriteFile(path+".new", []byte(yaml), 0o600); err != nil {
		return fmt.Errorf("write vel.yaml: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("replace vel.yaml: %w", err)
	}
	return nil
}

// Ready waits until /readyz says yes. It fails if the process is gone or the limit has passed.
func (p *Process) Ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	return Poll(ctx, "vel to be ready", func() (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("vel ended before it was ready: %w", p.err)
		default:
		}
		res, err := p.client.Get(p.URL + "/readyz")
		if err != nil {
			return false, nil
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK, nil
	})
}

// Addr is host:port, for tests that speak to the socket themselves.
func (p *Process) Addr() string {
	_, addr, _ := strings.Cut(p.URL, "://")
	return addr
}

// Signal sends the process a signal.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal vel: %w", err)
	}
	return nil
}

// Guard adds a secret that the process has made or been told, and that it must not print.
func (p *Process) Guard(secret string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.canaries = append(p.canaries, secret)
}

// Guarded are all secrets that the process must not print.
func (p *Process) Guarded() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.canaries)
}

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the process to end and says what was wrong with its end: that it took too long, its exit code, a data
// race, or a secret in its log. It may be called again and says the same.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	select {
	case <-p.done:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // the Go runtime then prints every goroutine
		<-p.done
		return fmt.Errorf("vel had not stopped %s after SIGTERM\n%s", stopLimit, p.Log.Tail(200))
	}
	var faults []error
	if p.err != nil {
		faults = append(faults, fmt.Errorf("vel's end: %w\n%s", p.err, p.Log.Tail(60)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, out := range []*Log{p.Log, p.Out} {
		if leaked := out.holds(p.canaries); leaked != "" {
			faults = append(faults, errors.New("vel printed a secret: "+leaked))
		}
	}
	return errors.Join(faults...)
}

// Poll asks until the answer is yes, an error, or ctx has ended; what names the thing waited for.
func Poll(ctx context.Context, what string, ask func() (bool, error)) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// Ports that no system gives to outgoing connections or to listeners that ask for any: one of those could be taken
// between the look at it and Vel's own bind.
const lowestPort, ports = 12_000, 20_000

// nextPort is where the next look begins. Test processes begin at different ones.
var nextPort = func() *atomic.Uint32 {
	var n atomic.Uint32
	n.Store(rand.Uint32N(ports))
	return &n
}()

// FreePort is a port that nobody listens on, and that no other call returns.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := lowestPort + int(nextPort.Add(1)%ports)
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}
