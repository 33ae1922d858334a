package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// engines are all ways to keep what must survive.
var engines = map[string]func(t *testing.T) (env []string){
	"sqlite":    func(*testing.T) []string { return nil },
	"postgres":  func(t *testing.T) []string { return ways[0].env(server.Database(t)) },
	"pgbouncer": func(t *testing.T) []string { return ways[1].env(server.Database(t)) },
}

// launch starts a node that will be killed: the test ends it itself.
func launch(t *testing.T, dir string, o vel.Options) *node {
	t.Helper()
	p, err := vel.Launch(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Signal(syscall.SIGKILL) }) // it is gone unless the test has failed
	return nodeOf(p)
}

func (n *node) kill(t *testing.T) {
	t.Helper()
	if err := n.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-n.Done()
	n.client.CloseIdleConnections()
}

// created is a key whose making was answered.
type created struct {
	key
	token string // its Idempotency-Key
}

// creators is how many make keys at the same time.
const creators = 8

// create makes keys on a node, kills it in the middle of that when enough were answered, and gives all that were.
func create(t *testing.T, n *node, org, round string, enough int) (all []created) {
	t.Helper()
	var mu sync.Mutex // guards all
	var creating sync.WaitGroup
	stop := make(chan struct{})
	for i := range creators {
		creating.Go(func() {
			for j := 0; ; j++ {
				name := fmt.Sprintf("%s of %d: %d", round, i, j)
				a, err := n.do(context.WithoutCancel(t.Context()), adminKey, "POST", "/api/keys?organization="+org, object{"name": name}, "Idempotency-Key: "+name)
				if err != nil {
					return // it was killed
				}
				if a.status != http.StatusCreated {
					t.Errorf("make a key: %s", a)
					return
				}
				mu.Lock()
				all = append(all, created{key{a.field("id"), org, name, a.field("secret")}, name})
				if len(all) == enough {
					close(stop)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-stop:
	case <-time.After(patience):
		t.Errorf("%d keys were not made within %s", enough, patience)
	}
	n.kill(t)
	creating.Wait()
	return all
}

// A Vel is killed while keys are made: every one that was answered is there after a restart, opens, and is answered
// again to whoever repeats the request.
func TestKilledWhileKeysAreMade(t *testing.T) {
	t.Parallel()
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, o := t.TempDir(), options(simulate(t), "", engine(t)...)
			org := ""
			var all []created
			for round := range 3 {
				n := launch(t, dir, o)
				if round == 0 {
					org = n.newOrg(t, "acme")
				}
				all = append(all, create(t, n, org, fmt.Sprint("round ", round), 50+70*round)...)
			}
			n := launch(t, dir, o)
			there := n.keys(t, org)
			for i, k := range all {
				if !there[k.id] {
					t.Errorf("the key %q was made and is gone", k.name)
				}
				if status := n.call(t, k.secret, "sim-echo"); status != http.StatusOK {
					t.Errorf("the key %q gets %d", k.name, status)
				}
				if i%10 != 0 {
					continue
				}
				again := n.ask(t, "POST", "/api/keys?organization="+org, object{"name": k.name}, "Idempotency-Key: "+k.token)
				if again.status != http.StatusCreated || again.field("secret") != k.secret || again.header.Get("Idempotency-Replayed") != "true" {
					t.Errorf("the repeated request for %q: %s", k.name, again)
				}
			}
			if most := len(all) + 3*creators; len(there) > most {
				t.Errorf("%d keys are there, and %d were answered", len(there), len(all))
			}
			t.Logf("%d keys were answered, %d are there", len(all), len(there))
			if err := n.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// keys are the ids of all keys of an organization.
func (n *node) keys(t *testing.T, org string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for after := ""; ; {
		a := n.must(t, http.StatusOK, "GET", "/api/keys?limit=100&organization="+org+after, nil)
		var page struct {
			Data []struct{ ID string }
			Next *string
		}
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		for _, k := range page.Data {
			all[k.ID] = true
		}
		if page.Next == nil {
			return all
		}
		after = "&after=" + *page.Next
	}
}

// A Vel is killed at any moment of a migration of SQLite: the next start finishes it.
func TestKilledWhileSQLiteMigrates(t *testing.T) { // not parallel: its moments are measured
	whole := patience
	for range 3 {
		took, err := migrateFor(t, t.TempDir(), patience)
		if err != nil {
			t.Fatal(err)
		}
		whole = min(whole, took)
	}
	const moments = 24
	early := 0 // how often something was left to do
	for i := range moments {
		dir := t.TempDir()
		if _, err := migrateFor(t, dir, whole*time.Duration(i)/moments); err != nil {
			early++
		}
		if _, err := migrateFor(t, dir, patience); err != nil {
			t.Fatalf("after a death at %d/%d: %v", i, moments, err)
		}
		out, err := migrate(t, dir, "status").Output()
		if err != nil || strings.Contains(string(out), "not yet") {
			t.Fatalf("after a death at %d/%d: %v\n%s", i, moments, err, out)
		}
	}
	t.Logf("%d of %d were killed before their end", early, moments)
	if early < moments/4 {
		t.Error("so few prove little")
	}
}

// migrateFor migrates a SQLite file and is killed some time after the file has appeared. It says how long it took from
// there.
func migrateFor(t *testing.T, dir string, life time.Duration) (took time.Duration, err error) {
	t.Helper()
	cmd := migrate(t, dir, "up")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for file := filepath.Join(dir, "data", "vel.db"); ; {
		if _, err := os.Stat(file); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the migration ended without a file: %v", err)
		case <-time.After(100 * time.Microsecond):
		}
	}
	began := time.Now()
	death := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
	defer death.Stop()
	err = <-ended
	return time.Since(began), err
}

// migrate is `vel migrate` on a SQLite file in a folder.
func migrate(t *testing.T, dir, command string) *exec.Cmd {
	t.Helper()
	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "migrate", command)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	return cmd
}

// A Vel is killed in the middle of a migration of Postgres, while another waits for its turn: that one does it.
func TestKilledWhilePostgresMigrates(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			db := server.Database(t)
			// The migration stops after its table of keys until we let it go on.
			server.SQL(t, db.Name, `create function wait_here() returns event_trigger language plpgsql as $$ begin
				if to_regclass('keys') is not null then perform pg_advisory_xact_lock(1); end if; end $$;
				create event trigger wait_here on ddl_command_end execute function wait_here()`)
			release := server.Hold(t, db.Name, `select pg_advisory_lock(1)`)
			o := options(simulate(t), "", w.env(db)...)
			killed := begin(t, o)
			soon(t, patience, "the migration to be in its middle", func() bool {
				return server.SQL(t, db.Name, `select count(*) from pg_locks where locktype = 'advisory' and not granted and
					database = (select oid from pg_database where datname = current_database())`) != "0"
			})
			next := begin(t, o)
			killed.kill(t)
			server.SQL(t, db.Name, `drop event trigger wait_here`)
			release()
			if err := next.Ready(); err != nil {
				t.Fatal(err)
			}
			k := next.newKey(t, next.newOrg(t, "acme"), "key", nil)
			if status := next.call(t, k.secret, "sim-echo"); status != http.StatusOK {
				t.Errorf("a key gets %d", status)
			}
			if err := next.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// begin starts a node and does not wait for it. The test ends it itself.
func begin(t *testing.T, o vel.Options) *node {
	t.Helper()
	p, err := vel.Begin(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Signal(syscall.SIGKILL) }) // it is gone unless the test has failed
	return nodeOf(p)
}
