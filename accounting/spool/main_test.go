package spool_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vel-gateway/vel/accounting/spool"
)

// childVariable tells this binary that it is a child, and its directory.
const childVariable = "SPOOL_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m)
}

// child appends records that are told on stdin, "bytes number" a line, and answers each with what became of it. The record
// is its number, filled up.
func child(dir string) {
	signal.Ignore(syscall.SIGXFSZ) // the write fails instead
	if limit := os.Getenv("SPOOL_TEST_FILE_LIMIT"); limit != "" {
		limitFiles(limit)
	}
	s, err := spool.Open(dir, spool.Options{SegmentBytes: 64 << 10, Sync: time.Millisecond, Strict: os.Getenv("SPOOL_TEST_STRICT") != ""})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	in := bufio.NewReader(os.Stdin)
	for {
		var bytes, number int
		if _, err := fmt.Fscanln(in, &bytes, &number); err != nil {
			break
		}
		fmt.Println(answer(s.Append(filled(number, bytes))))
	}
	if err := s.Close(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func answer(err error) string {
	var broken *spool.Broken
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &broken):
		return "broken"
	}
	return err.Error()
}

// filled is a record of at least so many bytes that begins with its number.
func filled(number, bytes int) []byte {
	b := append(strconv.AppendInt(nil, int64(number), 10), ' ')
	for len(b) < bytes {
		b = append(b, byte(number))
	}
	return b
}

// process is a child.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T, dir string, env ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(append(os.Environ(), childVariable+"="+dir), env...)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// ask lets it append one record.
func (p *process) ask(bytes, number int) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, bytes, number); err != nil {
		p.t.Fatal(err)
	}
	var said string
	if _, err := fmt.Fscanln(p.out, &said); err != nil {
		p.t.Fatal(err)
	}
	return said
}

// end lets it close its spool.
func (p *process) end() {
	p.t.Helper()
	if err := p.in.Close(); err != nil {
		p.t.Error(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Error(err)
	}
}
