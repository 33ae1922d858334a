package tests

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// careful is a file whose model keeps answers in a Redis.
func careful(s *simulated, port int) vel.Options {
	file := fmt.Sprintf("cache: {redis: \"redis://127.0.0.1:%d\"}\n", port) + priced(s, `sim-fast: {input: "1", output: "1"}`)
	o := options(strings.Replace(file, "  sim-fast: {", "  sim-fast: {cache: {ttl: 1h}, ", 1))
	o.Env = append(o.Env, "VEL_ADMIN_KEY="+rootKey, "VEL_SECRET_KEY=canary-secret-key-0123456789abcdefghijkl")
	return o
}

// cached makes a call and wants this of x-vel-cache.
func cached(t *testing.T, p *vel.Process, body, want string) (a answer) {
	t.Helper()
	if a = askVel(t, p, body); a.status != http.StatusOK || a.header.Get("X-Vel-Cache") != want {
		t.Fatalf("status %d, x-vel-cache %q, want %q: %s", a.status, a.header.Get("X-Vel-Cache"), want, a.body)
	}
	return a
}

// Two processes on one Redis give the same answers, until they are purged; without it calls go on.
func TestCacheIsShared(t *testing.T) {
	t.Parallel()
	port, err := vel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	end := redis(t, t.TempDir(), port)
	sim := simulate(t)
	one, two := enter(t, vel.Start(t, careful(sim, port))), vel.Start(t, careful(sim, port))
	for what, more := range map[string]string{"whole": "", "a stream": `,"stream":true`} {
		body := chat("sim-fast", quick+what, more)
		first := cached(t, one.Process, body, "miss")
		var again answer
		err := vel.Poll(deadline(t), "the other process has the answer", func() (bool, error) {
			again = askVel(t, two, body)
			return again.header.Get("X-Vel-Cache") == "hit", nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if again.header.Get("X-Vel-Attempts") != "0" || again.header.Get("Content-Type") != first.header.Get("Content-Type") {
			t.Errorf("%s: %v", what, again.header)
		}
		if mine := cached(t, one.Process, body, "hit"); !bytes.Equal(mine.body, again.body) || len(mine.body) == 0 {
			t.Errorf("%s: %s\nand %s", what, mine.body, again.body)
		}
	}
	purge := func(body members) answer { return one.root.do(t, "POST", "/api/cache/purge", body) }
	if a := purge(members{"route": "sim-fast"}).want(t, http.StatusOK); !strings.Contains(string(a.body), `"reach":"house"`) {
		t.Errorf("%s", a.body)
	}
	cached(t, one.Process, chat("sim-fast", quick+"whole", ""), "miss")
	purge(members{"tag": "nonsense"}).problem(t, http.StatusUnprocessableEntity, "invalid")
	end()
	for range 3 {
		cached(t, two, chat("sim-fast", quick+"alone", ""), "miss")
	}
}

// Without a Redis a process keeps answers for itself, and says so; the record of a call tells that its answer was kept.
func TestCacheOfOneProcess(t *testing.T) {
	t.Parallel()
	o := openOffice(t, strings.Replace(simulate(t).config(""), "  sim-fast: {", "  sim-fast: {cache: {}, ", 1))
	body := chat("sim-fast", quick, "")
	cached(t, o.Process, body, "miss")
	hit := cached(t, o.Process, body, "hit")
	path := "/api/calls/" + hit.header.Get("X-Request-Id")
	var org string
	for _, of := range read[struct {
		Data []struct{ ID, Name string }
	}](t, o.root.do(t, "GET", "/api/organizations", nil)).Data {
		if of.Name == "acme" {
			org = of.ID
		}
	}
	err := vel.Poll(deadline(t), "the record", func() (bool, error) {
		a := o.root.do(t, "GET", path+"?organization="+org, nil)
		return a.status == http.StatusOK && strings.Contains(string(a.body), `"cache":"hit"`) && strings.Contains(string(a.body), `"cost_usd":"0"`), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if a := o.root.do(t, "POST", "/api/cache/purge", members{}).want(t, http.StatusOK); !strings.Contains(string(a.body), `"reach":"node"`) {
		t.Errorf("%s", a.body)
	}
	cached(t, o.Process, body, "miss")
}
