package nodes

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// heard is how long after a change was answered every node must act by it.
const heard = 2 * time.Second

// pair are two nodes on one database.
type pair struct{ a, b *node }

// becomes waits until it is so, and fails if that takes longer than heard.
func becomes(t *testing.T, what string, is func() bool) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := vel.Poll(ctx, what, func() (bool, error) { return is(), nil }); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if took > heard {
		t.Errorf("%s: only after %s", what, took)
	}
	t.Logf("%s: after %s", what, took.Round(time.Millisecond))
}

// refuses waits until the second node answers a key by a status.
func (p *pair) refuses(t *testing.T, key string, status int) {
	t.Helper()
	becomes(t, fmt.Sprintf("%d on the other node", status), func() bool { return p.b.call(t, key, "sim-echo") == status })
}

// opens wants a key to work on the second node at the first try.
func (p *pair) opens(t *testing.T, key string) {
	t.Helper()
	if status := p.b.call(t, key, "sim-echo"); status != http.StatusOK {
		t.Fatalf("the key gets %d on the other node, want 200", status)
	}
}

// changes are made on the first node and hold on the second.
var changes = map[string]func(t *testing.T, p *pair, org string){
	"a new key opens at once": func(t *testing.T, p *pair, org string) {
		for i := range 10 {
			p.opens(t, p.a.newKey(t, org, fmt.Sprint("key ", i), nil).secret)
		}
	},
	"a deleted key": func(t *testing.T, p *pair, org string) {
		k := p.a.newKey(t, org, "key", nil)
		p.opens(t, k.secret)
		p.a.must(t, http.StatusNoContent, "DELETE", k.path(""), nil)
		p.refuses(t, k.secret, http.StatusUnauthorized)
	},
	"a disabled key": func(t *testing.T, p *pair, org string) {
		k := p.a.newKey(t, org, "key", nil)
		p.opens(t, k.secret)
		p.a.must(t, http.StatusOK, "PUT", k.path(""), object{"name": k.name, "disabled": true})
		p.refuses(t, k.secret, http.StatusUnauthorized)
		p.a.must(t, http.StatusOK, "PUT", k.path(""), object{"name": k.name})
		p.refuses(t, k.secret, http.StatusOK)
	},
	"a rotated key": func(t *testing.T, p *pair, org string) {
		k := p.a.newKey(t, org, "key", nil)
		p.opens(t, k.secret)
		next := p.a.must(t, http.StatusOK, "POST", k.path("/rotate"), object{"overlap_seconds": 3600}).field("secret")
		p.opens(t, next)
		p.opens(t, k.secret)
		last := p.a.must(t, http.StatusOK, "POST", k.path("/rotate"), object{"overlap_seconds": 0}).field("secret")
		p.opens(t, last)
		p.refuses(t, next, http.StatusUnauthorized)
		p.refuses(t, k.secret, http.StatusUnauthorized) // it may know the last secret, asked for by a call, before it hears of the change
	},
	"the models of a key": func(t *testing.T, p *pair, org string) {
		k := p.a.newKey(t, org, "key", object{"models": []string{"sim-echo"}})
		p.opens(t, k.secret)
		p.a.must(t, http.StatusOK, "PUT", k.path(""), object{"name": k.name, "models": []string{"other"}})
		p.refuses(t, k.secret, http.StatusForbidden)
		if status := p.b.call(t, k.secret, "other"); status != http.StatusOK {
			t.Errorf("the model that the key has now: %d", status)
		}
	},
	"a disabled organization": func(t *testing.T, p *pair, org string) {
		k := p.a.newKey(t, org, "key", nil)
		p.opens(t, k.secret)
		name := p.a.must(t, http.StatusOK, "GET", "/api/organizations/"+org, nil).field("name")
		p.a.must(t, http.StatusOK, "PUT", "/api/organizations/"+org, object{"name": name, "disabled": true})
		p.refuses(t, k.secret, http.StatusUnauthorized)
		p.a.must(t, http.StatusOK, "PUT", "/api/organizations/"+org, object{"name": name})
		p.refuses(t, k.secret, http.StatusOK)
	},
	"a deleted organization": func(t *testing.T, p *pair, org string) {
		k := p.a.newKey(t, org, "key", nil)
		p.opens(t, k.secret)
		p.a.must(t, http.StatusNoContent, "DELETE", "/api/organizations/"+org, nil)
		p.refuses(t, k.secret, http.StatusUnauthorized)
	},
	"a key for the API": func(t *testing.T, p *pair, org string) {
		k := p.a.newKey(t, org, "key", object{"role": "org_admin"})
		if a := p.b.askAs(t, k.secret, "GET", "/api/keys", nil); a.status != http.StatusOK {
			t.Fatalf("the key at the API of the other node: %s", a)
		}
		p.a.must(t, http.StatusOK, "PUT", k.path(""), object{"name": k.name, "role": "task_executor"})
		becomes(t, "it may do less on the other node", func() bool {
			return p.b.askAs(t, k.secret, "GET", "/api/keys", nil).status == http.StatusForbidden
		})
		p.a.must(t, http.StatusNoContent, "DELETE", k.path(""), nil)
		becomes(t, "the other node does not know it", func() bool {
			return p.b.askAs(t, k.secret, "GET", "/api/keys", nil).status == http.StatusUnauthorized
		})
	},
	"a new password": func(t *testing.T, p *pair, org string) {
		u := newUser(t, p.a, org, "org_admin")
		token := u.signIn(t, p.a)
		if me := p.b.askAs(t, token, "GET", "/api/users/me", nil); me.status != http.StatusOK || me.field("email") != u.email {
			t.Fatalf("who am I, on the other node: %s", me)
		}
		p.a.must(t, http.StatusNoContent, "PUT", "/api/users/"+u.id+"/password?organization="+org, object{"password": u.password + "2"})
		becomes(t, "the session has ended on the other node", func() bool {
			return p.b.askAs(t, token, "GET", "/api/users/me", nil).status == http.StatusUnauthorized
		})
		u.password += "2"
		u.signIn(t, p.b)
	},
	"a platform administrator": func(t *testing.T, p *pair, org string) {
		u := newUser(t, p.a, "platform", "platform_admin")
		token := u.signIn(t, p.b)
		if other := p.b.askAs(t, token, "GET", "/api/organizations/"+org, nil); other.status != http.StatusOK {
			t.Fatalf("the new administrator looks at an organization, on the other node: %s", other)
		}
		p.a.must(t, http.StatusOK, "PUT", "/api/users/"+u.id+"?organization=platform", object{"name": u.name, "email": u.email, "disabled": true})
		becomes(t, "they are out on the other node", func() bool {
			return p.b.askAs(t, token, "GET", "/api/organizations/"+org, nil).status == http.StatusUnauthorized
		})
	},
}

// user is one who was made.
type user struct{ id, name, email, password string }

func newUser(t *testing.T, n *node, org, role string) user {
	t.Helper()
	u := user{name: "Ada", email: "ada@" + org + ".example", password: "Canary-Password-1"}
	u.id = n.must(t, http.StatusCreated, "POST", "/api/users?organization="+org,
		object{"name": u.name, "email": u.email, "roles": []string{role}, "password": u.password}).field("id")
	return u
}

func (u user) signIn(t *testing.T, n *node) (token string) {
	t.Helper()
	return n.must(t, http.StatusOK, "POST", "/api/auth/login", object{"email": u.email, "password": u.password}).field("token")
}

// What one node is told, the other knows within two seconds, however it reaches the database.
func TestNodesHearOfEachOther(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			o := options(simulate(t), "", w.env(server.Database(t))...)
			p := &pair{start(t, o), start(t, o)}
			for name, change := range changes {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					change(t, p, p.a.newOrg(t, strings.ReplaceAll(name, " ", "-")))
				})
			}
		})
	}
}

// Two nodes start on an empty database at the same moment: one first key and one admin key are made, one node tells
// them, and both nodes know them.
func TestNodesStartTogether(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			nodes := startTogether(t, vel.Options{Env: append(w.env(server.Database(t)), "VEL_SECRET_KEY="+secretKey), Canaries: []string{secretKey}})
			first := told(t, nodes, regexp.MustCompile(`(?m)^Your first API key:\n(\S+)$`))
			admin := told(t, nodes, regexp.MustCompile(`(?m)^The admin key, .*\n(\S+)$`))
			for i, n := range nodes {
				becomes(t, fmt.Sprintf("the first key opens on node %d", i), func() bool { return n.call(t, first, "sim-fast") == http.StatusOK })
				becomes(t, fmt.Sprintf("the admin key opens on node %d", i), func() bool {
					return n.askAs(t, admin, "GET", "/api/organizations", nil).status == http.StatusOK
				})
			}
			a := nodes[0].askAs(t, admin, "GET", "/api/organizations", nil)
			if n := strings.Count(string(a.body), `"id":`); n != 1 {
				t.Errorf("%d organizations: %s", n, a)
			}
			for _, org := range []string{"platform", regexp.MustCompile(`org_[0-9a-f]{32}`).FindString(string(a.body))} {
				keys := nodes[1].askAs(t, admin, "GET", "/api/keys?organization="+org, nil)
				if n := strings.Count(string(keys.body), `"id":`); n != 1 {
					t.Errorf("%s has %d keys: %s", org, n, keys)
				}
			}
		})
	}
}

// startTogether starts two nodes at the same moment.
func startTogether(t *testing.T, o vel.Options) []*node {
	t.Helper()
	nodes := make([]*node, 2)
	errs := make([]error, len(nodes))
	var starting sync.WaitGroup
	for i := range nodes {
		dir := t.TempDir()
		starting.Go(func() {
			p, err := vel.Launch(dir, o)
			if err != nil {
				errs[i] = err
				return
			}
			nodes[i] = nodeOf(p)
			t.Cleanup(func() {
				if err := p.Stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
	starting.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return nodes
}

// told is what exactly one of the nodes has told the person who started it.
func told(t *testing.T, nodes []*node, what *regexp.Regexp) string {
	t.Helper()
	var all []string
	for _, n := range nodes {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := n.Out.Wait(ctx, "the greeting", func(line string) bool { return strings.HasPrefix(line, "Models: ") }); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		for _, m := range what.FindAllStringSubmatch(strings.Join(n.Out.Lines(), "\n"), -1) {
			all = append(all, m[1])
		}
	}
	if len(all) != 1 {
		t.Fatalf("%d keys told by %s", len(all), what)
	}
	return all[0]
}
