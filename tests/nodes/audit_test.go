package nodes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// unsealed is how long an event may wait for its seal while the node that seals is killed: three seconds until the other
// one takes over, and what a busy machine adds.
const unsealed = 8 * time.Second

// TestSealerIsKilled: two nodes make changes in many organizations, and the one that seals the audit log is killed again
// and again. Every change that was answered is in the log of its organization, none waited for long, and no chain is
// broken.
func TestSealerIsKilled(t *testing.T) {
	t.Parallel()
	for _, w := range ways[:2] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			o := options(simulate(t), "", w.env(server.Database(t))...)
			dirs := [2]string{t.TempDir(), t.TempDir()}
			nodes := [2]*node{launch(t, dirs[0], o), launch(t, dirs[1], o)}
			var orgs []string
			for i := range 10 {
				orgs = append(orgs, nodes[0].newOrg(t, fmt.Sprint("org ", i)))
			}
			c := &changing{orgs: orgs, made: map[string][]string{}}
			began := time.Now()
			for round := range 3 {
				c.begin(t, nodes[:])
				leader := leading(t, nodes[:])
				c.wait(t, 40*(round+1))
				nodes[leader].kill(t)
				leading(t, []*node{nodes[1-leader]})
				c.wait(t, 40*(round+1)+20)
				c.end()
				nodes[leader] = launch(t, dirs[leader], o)
			}
			took := time.Since(began)
			for _, n := range nodes {
				if err := n.Stop(); err != nil {
					t.Error(err)
				}
			}
			n := launch(t, dirs[0], o)
			total, longest := 0, time.Duration(0)
			for _, org := range orgs {
				events, waited := n.proved(t, org, c.made[org])
				total += events
				longest = max(longest, waited)
			}
			if longest > unsealed {
				t.Errorf("an event was not sealed for %s", longest)
			}
			t.Logf("%d events in %d organizations in %s; the longest wait for a seal was %s", total, len(orgs), took.Round(time.Millisecond), longest)
			n.verifies(t)
			if err := n.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// changing makes changes on nodes, some of which are killed.
type changing struct {
	orgs []string

	mu    sync.Mutex
	made  map[string][]string // the ids of what was made, by organization
	count int

	stop context.CancelFunc
	done sync.WaitGroup
}

func (c *changing) begin(t *testing.T, nodes []*node) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c.stop = cancel
	for _, n := range nodes {
		for i := range 3 {
			c.done.Go(func() {
				for j := 0; ctx.Err() == nil; j++ {
					org := c.orgs[(i+j)%len(c.orgs)]
					a, err := n.do(ctx, adminKey, "POST", "/api/teams?organization="+org, object{"name": fmt.Sprintf("%s %d %d %d", n.URL, i, j, time.Now().UnixNano())})
					if err != nil {
						return // it was killed, or it is enough
					}
					if a.status != http.StatusCreated {
						t.Errorf("make a team: %s", a)
						return
					}
					c.mu.Lock()
					c.made[org] = append(c.made[org], a.field("id"))
					c.count++
					c.mu.Unlock()
				}
			})
		}
	}
}

// wait waits until so many changes were answered.
func (c *changing) wait(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := vel.Poll(ctx, fmt.Sprint(n, " changes"), func() (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.count >= n, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *changing) end() {
	c.stop()
	c.done.Wait()
}

// leading waits until one of the nodes seals, and gives its place.
func leading(t *testing.T, nodes []*node) (leader int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := vel.Poll(ctx, "a node to seal", func() (bool, error) {
		for i, n := range nodes {
			if n.metric(t, "vel_audit_leader") == 1 {
				leader = i
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return leader
}

// proved reads an organization's log, wants every team in it that was made, and gives how many events it has and how
// long one waited for its seal at most.
func (n *node) proved(t *testing.T, org string, made []string) (events int, longest time.Duration) {
	t.Helper()
	a := n.must(t, http.StatusOK, "GET", "/api/audit/export?organization="+org, nil)
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	if err := os.WriteFile(file, a.body, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := n.vel(t, "audit", "verify", file); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	there, sealed := map[string]bool{}, time.Time{}
	lines := bufio.NewScanner(bytes.NewReader(a.body))
	for lines.Scan() {
		var l struct {
			Kind   string
			Time   string
			Action string
			Object string `json:"object_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		at, _ := time.Parse(time.RFC3339, l.Time)
		switch l.Kind {
		case "seal":
			sealed = at
		case "event":
			events++
			there[l.Action+" "+l.Object] = true
			longest = max(longest, sealed.Sub(at))
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, id := range made {
		if !there["teams.create "+id] {
			t.Errorf("the team %s was made, and the log of %s does not say so", id, org)
		}
	}
	return events, longest
}

// verifies lets the command verify every log of the node.
func (n *node) verifies(t *testing.T) {
	t.Helper()
	out, err := n.vel(t, "audit", "verify")
	if err != nil || strings.Count(out, "\nok")+1 < 11 || strings.Contains(out, "BROKEN") {
		t.Errorf("%v: %s", err, out)
	}
}

// vel runs a command against the node.
func (n *node) vel(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "VEL_URL="+n.URL, "VEL_ADMIN_KEY="+adminKey)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestTamperedExport: somebody who changes an export is found out by the command, which names the place.
func TestTamperedExport(t *testing.T) {
	t.Parallel()
	dir, o := t.TempDir(), options(simulate(t), "")
	n := launch(t, dir, o)
	org := n.newOrg(t, "acme")
	k := n.newKey(t, org, "ci", nil)
	n.must(t, http.StatusNoContent, "DELETE", k.path(""), nil)
	becomes(t, "everything is sealed", func() bool {
		a := n.must(t, http.StatusOK, "GET", "/api/audit?organization="+org, nil)
		return strings.Count(string(a.body), `"seal":null`) == 0
	})
	export := n.must(t, http.StatusOK, "GET", "/api/audit/export?organization="+org, nil).body
	n.tells(t, string(export), "")
	n.tells(t, strings.Replace(string(export), `"action":"keys.delete"`, `"action":"keys.update"`, 1), "the event was changed")
	lines := strings.SplitAfter(string(export), "\n")
	for i, line := range lines {
		if strings.Contains(line, `"action":"keys.delete"`) {
			n.tells(t, strings.Join(append(lines[:i:i], lines[i+1:]...), ""), "is missing")
		}
	}
	if err := n.Stop(); err != nil {
		t.Error(err)
	}
}

// tells lets the command verify a file; says is what it must find, empty: nothing.
func (n *node) tells(t *testing.T, export, says string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	if err := os.WriteFile(file, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := n.vel(t, "audit", "verify", file)
	if (err == nil) != (says == "") || !strings.Contains(out, says) {
		t.Errorf("%v: %s, want %q", err, out, says)
	}
	text, err := exec.CommandContext(t.Context(), "python3", "-c", documented(t), file).CombinedOutput()
	if (err == nil) != (says == "") {
		t.Errorf("what docs/audit.md shows says %v: %s", err, text)
	}
}

// documented is the program of docs/audit.md that proves an export without Vel.
func documented(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(page), "```python\n")
	program, _, ok := strings.Cut(program, "```")
	if !ok {
		t.Fatal("docs/audit.md has no program")
	}
	return program
}
