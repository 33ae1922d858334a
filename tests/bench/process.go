package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is a program that runs beside the benchmark. Its owner stops it and so waits for it.
type process struct {
	name string
	log  string // file that takes stdout and stderr
	cmd  *exec.Cmd
	exit chan struct{} // closed when it has ended
	err  error         // set before exit is closed
}

const stopGrace = 5 * time.Second // from SIGTERM to SIGKILL

// startProcess runs a command in dir with nothing of our environment but what any program needs, so that no
// DATABASE_URL or API key of the person at the keyboard changes what is measured.
func startProcess(dir, name string, env, argv []string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), exit: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = dir
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exit)
	}()
	return p, nil
}

// stop asks, waits, and after the grace kills.
func (p *process) stop() {
	if p == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exit:
	case <-time.After(stopGrace):
		p.cmd.Process.Kill()
		<-p.exit
	}
}

func (p *process) pids() ([]int, error) { return processTree(p.cmd.Process.Pid) }

// awaitReady probes until the first success. A process that has ended, or one that never answers rightly, fails
// with the last lines of its log.
func (p *process) awaitReady(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exit:
			return fmt.Errorf("%s ended: %w\n%s", p.name, p.err, p.logTail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.name, err, p.logTail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (p *process) logTail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(text[max(0, len(text)-2000):]), "?")
}

// pinned puts a command onto the CPUs of the list, as taskset(1) writes them. Empty: wherever the kernel likes.
func pinned(cpus string, argv []string) []string {
	if cpus == "" {
		return argv
	}
	return append([]string{"taskset", "-c", cpus}, argv...)
}

// freeAddr gives an address on loopback that nobody listens on now.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// raiseFileLimit makes room for both ends of the most streams that a process holds; children inherit it.
func raiseFileLimit(need uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if limit.Max < need && os.Geteuid() == 0 {
		limit.Cur, limit.Max = need, need
	}
	if limit.Cur < need {
		return fmt.Errorf("%d open files are needed and %d allowed: raise `ulimit -Hn` or hold fewer streams (-levels)", need, limit.Cur)
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// verify makes one plain and one streamed call and checks both answers to the byte.
func verify(ctx context.Context, addr string, usage bool) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, s := range []*script{nil, {Chunks: 3, Delay: time.Millisecond, Usage: usage}} {
		if err := verifyCall(ctx, addr, s); err != nil {
			return err
		}
	}
	return nil
}

func verifyCall(ctx context.Context, addr string, s *script) error {
	c := newClient(&loadSpec{Addr: addr, Script: s}, &meter{})
	if err := c.dial(ctx); err != nil {
		return err
	}
	defer c.conn.Close()
	closing, err := c.call()
	if err == nil && closing {
		err = errors.New("the connection is not kept alive")
	}
	return err
}
