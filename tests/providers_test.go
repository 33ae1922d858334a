package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// account is the body of a provider at a simulator.
func (s *simulated) account(name string) members {
	return members{"name": name, "kind": "openai", "base_url": s.URL() + "/v1", "allow_private": true, "api_key": simKey}
}

// soon waits for what a change leads to.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	if err := vel.Poll(deadline(t), what, func() (bool, error) { return is(), nil }); err != nil {
		t.Fatal(err)
	}
}

// calls makes a call and gives its answer.
func (o *office) calls(t *testing.T, key, model string) answer {
	t.Helper()
	return ask(t, request(t, "POST", o.URL+"/v1/chat/completions", key, chat(model, "[[latency=1ms]] hi", "")))
}

// TestPrivateAddresses: nobody makes Vel look into a network that it stands in by naming an address of it, in any form,
// or a name that leads there, unless allow_private says that it is meant.
func TestPrivateAddresses(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	reached := make(chan string, 100)
	go func() { // ends with the listener
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			reached <- c.LocalAddr().String()
			_ = c.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	for _, host := range []string{
		"127.0.0.1", "127.9.9.9", "localhost", "LOCALHOST.", "a.localhost", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "10.0.0.1", "172.16.0.1", "192.168.1.1",
		"169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[fd00:ec2::254]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "224.0.0.1",
	} {
		body := members{"name": "inside", "kind": "openai", "base_url": fmt.Sprintf("http://%s:%d/v1", host, port), "api_key": "canary-of-the-inside"}
		p := o.root.do(t, "POST", "/api/providers", body).problem(t, http.StatusUnprocessableEntity, "invalid")
		if len(p.Errors) != 1 || p.Errors[0].Location != "body.base_url" || !strings.Contains(p.Errors[0].Message, "allow_private") {
			t.Errorf("%s: %+v", host, p.Errors)
		}
	}
	// What only a look-up tells is refused when it is dialled.
	for i, host := range append(namesOfHere(t), "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1") {
		name := fmt.Sprint("name-", i)
		body := members{"name": name, "kind": "openai", "base_url": fmt.Sprintf("http://%s:%d/v1", host, port), "api_key": "canary-of-the-inside"}
		made := o.root.do(t, "POST", "/api/providers", body)
		if made.status == http.StatusUnprocessableEntity {
			continue // some forms are no host at all
		}
		id := read[members](t, made.want(t, http.StatusCreated))["id"].(string)
		tried := o.root.do(t, "POST", "/api/providers/"+id+"/test", members{"model": "m"}).want(t, http.StatusOK)
		if tried.member(t, "ok") != false {
			t.Errorf("%s: %s", host, tried.body)
		}
		o.root.create(t, "/api/routes", members{"name": name, "targets": []members{{"provider": name}}, "attempts": 1})
		key := o.firstKey(t)
		soon(t, "a call to "+host+" to fail", func() bool { return o.calls(t, key, name).status == http.StatusBadGateway })
	}
	select {
	case at := <-reached:
		t.Errorf("something was dialled at %s", at)
	default:
	}
	// And it is the guard that keeps them out: with leave, the same address is dialled.
	body := members{"name": "meant", "kind": "openai", "base_url": fmt.Sprintf("http://127.0.0.1:%d/v1", port), "api_key": "canary-of-the-inside", "allow_private": true}
	id := o.root.create(t, "/api/providers", body)["id"].(string)
	o.root.do(t, "POST", "/api/providers/"+id+"/test", nil).want(t, http.StatusOK)
	select {
	case <-reached:
	case <-deadline(t).Done():
		t.Error("with allow_private it is not dialled")
	}
}

// namesOfHere are names that lead to private addresses and do not show it.
func namesOfHere(t *testing.T) (names []string) {
	t.Helper()
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{here, "ip6-localhost", "ip6-loopback", "localhost6"} {
		found, err := net.LookupHost(name)
		if err != nil {
			continue
		}
		if a, err := netip.ParseAddr(found[0]); err == nil && (a.IsLoopback() || a.IsPrivate()) {
			names = append(names, name)
		}
	}
	return names
}

// firstKey is the key that the first start has printed.
func (o *office) firstKey(t *testing.T) string {
	t.Helper()
	line, err := o.Out.Wait(deadline(t), "the first key", keyLine.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	return keyLine.FindStringSubmatch(line)[1]
}

// TestKeysOfProvidersAreNowhere: a key that is put in is sent to its provider, and shows up nowhere else: in no answer,
// no log, no metric and no byte on the disk. The log is looked through when the test ends.
func TestKeysOfProvidersAreNowhere(t *testing.T) {
	t.Parallel()
	const later = "sk-sim-canary-later-0123456789abcdefghijklmnopqrs"
	sim := simulate(t)
	o := openOffice(t, "")
	o.Guard(later)
	key := o.firstKey(t)
	var seen bytes.Buffer
	look := func(method, path string, body any, edits ...func(*http.Request)) answer {
		t.Helper()
		a := o.root.do(t, method, path, body, edits...)
		fmt.Fprint(&seen, method, path, a.header)
		seen.Write(a.body)
		return a
	}
	for range 2 {
		look("POST", "/api/providers", sim.account("mine"), once("mine")).want(t, http.StatusCreated)
	}
	look("POST", "/api/providers", sim.account("mine")).problem(t, http.StatusConflict, "taken")
	wrong := sim.account("other")
	wrong["kind"], wrong["api_key"] = later, later+"\x00"
	look("POST", "/api/providers", wrong).problem(t, http.StatusUnprocessableEntity, "invalid")
	look("POST", "/api/providers", `{"name": "x", "api_key": "`+later+`", "api_key": "`+later+`"}`)
	id := read[page](t, look("GET", "/api/providers?name=mine", nil)).Data[0]["id"].(string)
	look("POST", "/api/routes", members{"name": "echo", "targets": []members{{"provider": "mine", "model": "sim-echo"}}}).want(t, http.StatusCreated)
	soon(t, "the route to serve", func() bool { return o.calls(t, key, "echo").status == http.StatusOK })
	look("POST", "/api/providers/"+id+"/test", members{"model": "sim-echo"}).want(t, http.StatusOK)

	changed := sim.account("mine") // to one that the provider refuses, and quotes
	changed["api_key"] = later
	look("PUT", "/api/providers/"+id, changed).want(t, http.StatusOK)
	soon(t, "the key to be refused", func() bool {
		a := o.calls(t, key, "echo")
		seen.Write(a.body)
		return a.status == http.StatusBadGateway
	})
	if a := look("POST", "/api/providers/"+id+"/test", members{"model": "sim-echo"}).want(t, http.StatusOK); a.member(t, "ok") != false {
		t.Errorf("a wrong key: %s", a.body)
	}
	for _, path := range []string{"/api/providers", "/api/providers/" + id, "/api/routes", "/api/secrets", "/api/health", "/api/audit?limit=100"} {
		look("GET", path, nil)
	}
	var export []byte
	soon(t, "the change to be sealed in the audit log", func() bool {
		export = ask(t, request(t, "GET", o.URL+"/api/audit/export?format=ndjson", rootKey, "")).body
		return bytes.Contains(export, []byte("providers.update")) && bytes.Contains(export, []byte("api_key"))
	})
	seen.Write(export)
	seen.Write(ask(t, request(t, "GET", o.URL+"/metrics", rootKey, "")).body)
	seen.Write(ask(t, request(t, "GET", o.URL+"/v1/models", key, "")).body)
	files := filesBelow(t, filepath.Join(o.Dir, "data"))
	if len(files) < 3 {
		t.Fatalf("%q", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a segment of the spool is removed when it is shipped
		}
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(text)
	}
	if !bytes.Contains(seen.Bytes(), []byte("SQLite format 3")) || !bytes.Contains(seen.Bytes(), []byte(id)) {
		t.Error("the database was not looked through")
	}
	for _, secret := range []string{simKey, later} {
		if i := bytes.Index(seen.Bytes(), []byte(secret)); i >= 0 {
			t.Errorf("a key shows up: …%q", seen.Bytes()[max(0, i-200):i])
		}
	}
}

// TestTheFileWins: where a name is in both, the file's is in force, with an alarm. What only the file had can go, and
// routes that need it then say so.
func TestTheFileWins(t *testing.T) {
	t.Parallel()
	mine, files := simulate(t), simulate(t)
	const other = "\nproviders:\n  other: {kind: openai, base_url: \"http://127.0.0.1:9/v1\", api_key: none, allow_private: true}\nmodels:\n  unused: {targets: [{provider: other}]}\n"
	o := openOffice(t, complete(other))
	id := o.root.create(t, "/api/providers", mine.account("sim"))["id"].(string)
	route := o.root.create(t, "/api/routes", members{"name": "echo", "targets": []members{{"provider": "sim", "model": "sim-echo"}}})["id"].(string)
	soon(t, "the route to serve", func() bool { return o.calls(t, fullKey, "echo").status == http.StatusOK })
	o.root.do(t, "POST", "/api/routes", members{"name": "unused", "targets": []members{{"provider": "sim"}}}).problem(t, http.StatusConflict, "taken")

	asked := files.Stats().Calls
	taking := strings.Replace(other, "\nmodels:", "\n  sim: {kind: openai, base_url: \""+files.URL()+"/v1\", api_key: env:SIM_KEY, allow_private: true}\nmodels:\n  echo: {targets: [{provider: sim, model: sim-echo}]}", 1)
	if err := o.WriteConfig(complete(taking)); err != nil {
		t.Fatal(err)
	}
	shadowed := func(path string) bool { return o.root.do(t, "GET", path, nil).member(t, "shadowed").(bool) }
	soon(t, "the file to win", func() bool { return shadowed("/api/providers/"+id) && shadowed("/api/routes/"+route) })
	if a := o.calls(t, fullKey, "echo"); a.status != http.StatusOK || files.Stats().Calls == asked {
		t.Errorf("%d, and the file's provider has %d calls", a.status, files.Stats().Calls-asked)
	}
	for _, kind := range []string{"provider", "route"} {
		if _, err := o.Log.Wait(deadline(t), "the alarm", func(line string) bool {
			return strings.Contains(line, `"ERROR"`) && strings.Contains(line, "shadowed by the configuration file") && strings.Contains(line, `"kind":"`+kind+`"`)
		}); err != nil {
			t.Error(err)
		}
		if m, err := o.Metrics(deadline(t)); err != nil || m.Sum("vel_shadowed_objects", `kind="`+kind+`"`) != 1 {
			t.Errorf("%s: %v shadowed, %v", kind, m.Sum("vel_shadowed_objects", `kind="`+kind+`"`), err)
		}
	}
	if v := o.root.do(t, "GET", "/api/providers/provider:sim", nil).want(t, http.StatusOK); v.member(t, "managed_by") != "file" || v.member(t, "base_url") != files.URL()+"/v1" {
		t.Errorf("%s", v.body)
	}
	if a := o.root.do(t, "POST", "/api/providers/provider:sim/test", nil).want(t, http.StatusOK); a.member(t, "ok") != true {
		t.Errorf("%s", a.body)
	}

	// A route of the database may use a provider of the file, and outlives it.
	o.root.create(t, "/api/routes", members{"name": "borrowed", "targets": []members{{"provider": "other"}}})
	soon(t, "the route to be known", func() bool { return o.calls(t, fullKey, "borrowed").status != http.StatusNotFound })
	if err := o.WriteConfig(complete(strings.ReplaceAll(other, "other", "another"))); err != nil {
		t.Fatal(err)
	}
	soon(t, "the database's provider to be in force again", func() bool { return !shadowed("/api/providers/" + id) })
	if a := o.calls(t, fullKey, "echo"); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}
	a := o.calls(t, fullKey, "borrowed")
	if a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "no_provider_available") {
		t.Errorf("without its provider: %d %s", a.status, a.body)
	}
	list := read[page](t, o.root.do(t, "GET", "/api/routes?name="+url.QueryEscape("borrowed"), nil)).Data
	if problem, _ := list[0]["problem"].(string); !strings.Contains(problem, `"other" is not there`) {
		t.Errorf("%v", list)
	}
}

// TestTrialsEnd: a provider that never answers keeps nobody waiting.
func TestTrialsEnd(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	silent := scripted(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // who leaves is seen only then
		<-r.Context().Done()
	})
	body := members{"name": "silent", "kind": "openai", "base_url": silent.url + "/v1", "allow_private": true, "api_key": simKey}
	id := o.root.create(t, "/api/providers", body)["id"].(string)
	began := time.Now()
	a := o.root.do(t, "POST", "/api/providers/"+id+"/test", members{"model": "m"}).want(t, http.StatusOK)
	if took := time.Since(began); a.member(t, "ok") != false || took > 15*time.Second {
		t.Errorf("after %s: %s", took, a.body)
	}
}
