package nodes

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vel-gateway/vel/tests/postgres"
	"github.com/vel-gateway/vel/tests/vel"
)

// apart is a Postgres of a test's own, and a node on it whose database goes away.
type apart struct {
	*book
	server *postgres.Server
	dir    string
	o      vel.Options
	node   *node
}

// takeAway starts both and takes the database away. more comes first in the node's file.
func takeAway(t *testing.T, more string) *apart {
	t.Helper()
	w, s := newWitness(t), postgres.Start(t)
	p := &apart{book: &book{witness: w}, server: s, dir: t.TempDir(), o: w.options(more, "DATABASE_URL="+s.Database(t).URL)}
	p.node = launch(t, p.dir, p.o)
	if err := crash(s); err != nil {
		t.Fatal(err)
	}
	return p
}

// back brings the database back.
func (p *apart) back(t *testing.T) {
	t.Helper()
	if err := restart(p.server); err != nil {
		t.Fatal(err)
	}
}

// calls makes so many calls that are answered.
func (p *apart) calls(t *testing.T, n int) {
	t.Helper()
	stop := p.begin(t, p.node, 4)
	p.wait(t, n)
	stop()
}

// die kills the node while the provider holds some calls.
func (p *apart) die(t *testing.T, held int) {
	t.Helper()
	release := p.hold(t, p.node, held)
	p.kill(t, p.node)
	release()
	p.dying = false
}

// TestSpoolOfADeadNode: a node dies while the database is away, and never comes back. Its directory is brought in by the
// command, once, and another node tells of its calls.
func TestSpoolOfADeadNode(t *testing.T) {
	t.Parallel()
	p := takeAway(t, "")
	p.calls(t, 200)
	p.die(t, 4)
	p.back(t)
	dir := filepath.Join(p.dir, "data", "spool")
	if s := spoolStatus(t, dir); s.InUse || s.Segments == 0 {
		t.Errorf("what is left behind: %+v", s)
	}
	first, second := p.ship(t, dir), p.ship(t, dir)
	if first.Shipped < p.answered+4 || first.Dead != 0 || second.Shipped != 0 {
		t.Errorf("%d calls were answered; shipped %+v, then %+v", p.answered, first, second)
	}
	if s := spoolStatus(t, dir); s.Segments != 0 {
		t.Errorf("what is left after it: %+v", s)
	}
	other := start(t, p.o)
	if a := p.audit(t, other); a.interrupted != 4 || a.late != 0 {
		t.Errorf("%+v, want 4 interrupted: those that were held", a)
	}
}

// shipped is what the command says.
type shipped struct{ Shipped, Dead int }

// ship brings a directory in from elsewhere.
func (p *apart) ship(t *testing.T, dir string) (s shipped) {
	t.Helper()
	out := runVel(t, t.TempDir(), p.o.Env, "--json", "spool", "ship", dir)
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// spoolOf is what the command says of a directory.
type spoolOf struct {
	InUse             bool `json:"in_use"`
	Segments          int
	Dead, Quarantined int
}

func spoolStatus(t *testing.T, dir string) (s spoolOf) {
	t.Helper()
	out := runVel(t, t.TempDir(), nil, "--json", "spool", "status", dir)
	if err := json.Unmarshal(out, &s); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// runVel runs Vel's own in a folder, and gives what it says.
func runVel(t *testing.T, dir string, env []string, args ...string) []byte {
	t.Helper()
	path, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, complaint(err))
	}
	return out
}

func complaint(err error) string {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(e.Stderr)
	}
	return ""
}

// TestSpoolIsFull: the quota is used up. Calls are refused, or go on and are counted, as the file says; nothing is lost that
// was answered, and with the database all is well again without anybody's hands.
func TestSpoolIsFull(t *testing.T) {
	t.Parallel()
	t.Run("refuse", func(t *testing.T) {
		t.Parallel()
		p := takeAway(t, "spool: {max_bytes: 64KiB, on_full: refuse}")
		p.overflows(t)
	})
	t.Run("drop", func(t *testing.T) {
		t.Parallel()
		p := takeAway(t, "spool: {max_bytes: 64KiB, on_full: drop}")
		p.calls(t, 600)
		p.alarms(t)
		if p.refused > 0 || p.node.metric(t, "vel_records_dropped_total") == 0 {
			t.Errorf("%d calls are refused, %g records dropped", p.refused, p.node.metric(t, "vel_records_dropped_total"))
		}
		p.recovers(t)
	})
}

// TestSpoolsDiskIsFull: the disk takes nothing more, or lets no file begin where only root mounts a small one.
func TestSpoolsDiskIsFull(t *testing.T) {
	t.Parallel()
	dir, root := smallDisk(t, "256k")
	p := takeAway(t, "spool: {dir: "+dir+", max_bytes: 512KiB}")
	t.Cleanup(func() { // before the disk is taken away
		_ = p.node.Signal(syscall.SIGKILL)
		<-p.node.Done()
	})
	mode := func(m os.FileMode) {
		if err := os.Chmod(dir, m); err != nil {
			t.Fatal(err)
		}
	}
	if !root {
		p.calls(t, 1)
		mode(0o500)
	}
	p.fills(t)
	if !root {
		mode(0o700)
	}
	p.recovers(t)
}

// TestSQLitesDiskIsFull: database and spool are on one disk, which others fill. When they make room all is well again.
func TestSQLitesDiskIsFull(t *testing.T) {
	t.Parallel()
	dir, mounted := smallDisk(t, "16m")
	if !mounted {
		return // TestSpoolsDiskIsFull has another way
	}
	w := newWitness(t)
	o := w.options("database: sqlite:" + dir + "/vel.db")
	p := &apart{book: &book{witness: w}, dir: t.TempDir(), o: o}
	p.node = launch(t, p.dir, o)
	t.Cleanup(func() { // before the disk is taken away
		_ = p.node.Signal(syscall.SIGKILL)
		<-p.node.Done()
	})
	p.calls(t, 100)
	others, err := os.Create(filepath.Join(dir, "others"))
	if err != nil {
		t.Fatal(err)
	}
	defer others.Close()
	for err == nil {
		_, err = others.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	p.fills(t)
	if err := others.Truncate(0); err != nil {
		t.Fatal(err)
	}
	p.recovers(t)
}

// overflows fills the spool until calls are refused, and lets it recover.
func (p *apart) overflows(t *testing.T) {
	t.Helper()
	p.fills(t)
	p.alarms(t)
	p.recovers(t)
}

// fills makes calls until some are refused.
func (p *apart) fills(t *testing.T) {
	t.Helper()
	refused := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.refused
	}
	stop := p.begin(t, p.node, 4)
	soon(t, patience, "calls to be refused", func() bool { return refused() > 50 })
	stop()
	if up := p.node.metric(t, "vel_spool_up"); up != 0 {
		t.Errorf("vel_spool_up is %g while calls are refused", up)
	}
	if a := p.node.ask(t, "GET", "/readyz", nil); a.status != 200 {
		t.Errorf("/readyz: %s", a)
	}
}

// alarms wants a spool that fills up to say so.
func (p *apart) alarms(t *testing.T) {
	t.Helper()
	if p.node.metric(t, "vel_spool_alarm") != 1 {
		t.Error("vel_spool_alarm is not 1")
	}
	soon(t, patience, "the log to warn", func() bool {
		return slices.ContainsFunc(p.node.Log.Lines(), func(l string) bool { return strings.Contains(l, "the spool fills up") })
	})
}

// recovers brings the database back and wants all to be well again.
func (p *apart) recovers(t *testing.T) {
	t.Helper()
	if p.server != nil {
		p.back(t)
	}
	soon(t, patience, "calls to be made again", func() bool {
		before := p.answered
		return p.call(p.node, "say", false) && p.answered > before
	})
	a := p.audit(t, p.node)
	if a.interrupted > 0 {
		t.Errorf("%d calls of a node that lives are interrupted", a.interrupted)
	}
	soon(t, patience, "the alarm to end", func() bool {
		return p.node.metric(t, "vel_spool_up") == 1 && p.node.metric(t, "vel_spool_alarm") == 0
	})
	t.Logf("%d calls were answered, %d refused, %d records", p.answered, p.refused, a.records)
	if err := p.node.Stop(); err != nil {
		t.Error(err)
	}
}

// TestSpoolIsDamaged: a byte of a segment is not what was written. It is told, the segment is kept, and no call is lost: a
// call has a beginning and an end.
func TestSpoolIsDamaged(t *testing.T) {
	t.Parallel()
	p := takeAway(t, "")
	p.calls(t, 200)
	p.die(t, 2)
	segments, err := filepath.Glob(filepath.Join(p.dir, "data", "spool", "*.records"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("%v, segments %v", err, segments)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 0x20
	if err := os.WriteFile(segments[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	p.back(t)
	p.node = launch(t, p.dir, p.o)
	a := p.audit(t, p.node)
	if a.late > 1 || a.interrupted != a.late+2 {
		t.Errorf("%+v: one record was damaged, and two calls were held", a)
	}
	if n := p.node.metric(t, "vel_records_quarantined_total"); n != 1 {
		t.Errorf("vel_records_quarantined_total is %g", n)
	}
	if !strings.Contains(p.node.Log.Tail(1000), "a part of the spool can not be read") {
		t.Error("the log does not tell of the damage")
	}
	kept, err := os.ReadFile(filepath.Join(p.dir, "data", "spool", "quarantine", filepath.Base(segments[0])))
	if err != nil || string(kept) != string(text) {
		t.Errorf("the segment in quarantine is another one, or %v", err)
	}
	if s := spoolStatus(t, filepath.Join(p.dir, "data", "spool")); s.Quarantined != 1 {
		t.Errorf("%+v", s)
	}
	if err := p.node.Stop(); err != nil {
		t.Error(err)
	}
}
