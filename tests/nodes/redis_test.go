package nodes

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// store is a private Redis that a test kills and begins again, at the same place.
type store struct {
	dir      string
	port     int
	settings []string
	cmd      *exec.Cmd // nil while it is away
}

func counters(t *testing.T, settings ...string) *store {
	t.Helper()
	s := &store{dir: filepath.Join(t.TempDir(), "redis"), port: freePort(t), settings: settings}
	s.begin(t)
	t.Cleanup(s.kill)
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := vel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (s *store) begin(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command(filepath.Join("..", "services", "redis"), append([]string{s.dir, strconv.Itoa(s.port)}, s.settings...)...)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	soon(t, patience, "redis", func() bool { return s.says("PING") == "+PONG" })
}

func (s *store) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // it was killed
		s.cmd = nil
	}
}

// says is the first line of its answer to a command of one word; empty if there is none.
func (s *store) says(command string) string {
	c, err := net.DialTimeout("tcp", address(s.port), time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return ""
	}
	line, _ := bufio.NewReader(c).ReadString('\n') // an error leaves it empty, or cut
	return strings.TrimSpace(line)
}

func (s *store) url() string { return fmt.Sprintf("REDIS_URL=redis://127.0.0.1:%d", s.port) }
