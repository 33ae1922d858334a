package tests

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

const otherSimKey = "sk-sim-canary-other-account-0123456789abcdefghijk"

// owners is a Vel with two organizations. Acme has the provider "mine" for itself, "ours" is everybody's.
func owners(t *testing.T) (*vel.Process, *simulated) {
	t.Helper()
	sim := simulate(t)
	return vel.Start(t, options(strings.ReplaceAll(`
defaults: {attempts: 1}
providers:
  ours: {kind: openai, base_url: "URL", api_key: env:SIM_KEY, allow_private: true}
  mine: {kind: openai, base_url: "URL", api_key: env:SIM_KEY, allow_private: true, organizations: [acme]}
models:
  sim-echo: {targets: [{provider: ours}]}
  mine: {targets: [{provider: mine, model: sim-echo}]}
organizations:
  acme: {keys: {full: {key: env:FULL_KEY}}}
  other: {keys: {narrow: {key: env:NARROW_KEY}}}
`, "URL", sim.URL()+"/v1"))), sim
}

// id is the id in an answer.
func (a answer) id(t *testing.T) string {
	t.Helper()
	id, _ := a.member(t, "id").(string)
	if id == "" {
		t.Fatalf("no id: %s", a.body)
	}
	return id
}

// account makes calls on objects with one key.
type account struct{ at, key string }

func (o account) get(t *testing.T, path string) answer {
	t.Helper()
	return ask(t, request(t, "GET", o.at+path, o.key, ""))
}

func (o account) post(t *testing.T, path, body string) answer {
	t.Helper()
	return ask(t, request(t, "POST", o.at+path, o.key, body))
}

// remove deletes an object, and checks that it is gone.
func (o account) remove(t *testing.T, path string) {
	t.Helper()
	if a := ask(t, request(t, "DELETE", o.at+path, o.key, "")); a.member(t, "deleted") != true {
		t.Errorf("%s", a.body)
	}
	o.get(t, path).wantError(t, 404, "")
}

// upload makes a file and returns its id.
func (o account) upload(t *testing.T, purpose, name string, content []byte) string {
	t.Helper()
	return ask(t, newForm(t, "purpose", purpose).file(t, "file", name, content).post(t, o.at+"/files", o.key)).id(t)
}

// inBothAccounts runs a test with an account that is the organization's alone, and with one that it shares.
func inBothAccounts(t *testing.T, test func(t *testing.T, o account, model string)) {
	t.Helper()
	t.Parallel()
	own, _ := owners(t)
	shared, _ := tenants(t)
	t.Run("own", func(t *testing.T) { test(t, account{own.URL + "/v1", fullKey}, "mine") })
	t.Run("shared", func(t *testing.T) { test(t, account{shared.URL + "/v1", fullKey}, "sim-echo") })
}

func TestObjects(t *testing.T) { inBothAccounts(t, testObjects) }

func testObjects(t *testing.T, o account, _ string) {
	t.Run("files", func(t *testing.T) {
		content := noise(200_000)
		id := o.upload(t, "user_data", "noise.bin", content)
		a := o.get(t, "/files/"+id+"/content")
		if string(a.body) != string(content) || a.header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(a.header.Get("Content-Disposition"), "noise.bin") {
			t.Errorf("%d bytes came back, head %v", len(a.body), a.header)
		}
		if a := o.get(t, "/files?purpose=user_data&limit=5"); !strings.Contains(string(a.body), id) {
			t.Errorf("%s", a.body)
		}
		if a := o.get(t, "/files?purpose=batch"); a.status != 200 || strings.Contains(string(a.body), id) {
			t.Errorf("%s", a.body)
		}
		o.remove(t, "/files/"+id)
	})
	t.Run("uploads", func(t *testing.T) {
		up := o.post(t, "/uploads", `{"purpose":"user_data","filename":"two.bin","bytes":6,"mime_type":"application/octet-stream"}`).id(t)
		var parts []string
		for _, content := range []string{"abc", "def"} {
			parts = append(parts, ask(t, newForm(t).file(t, "data", "part", []byte(content)).post(t, o.at+"/uploads/"+up+"/parts", o.key)).id(t))
		}
		list, _ := json.Marshal(parts)
		file, _ := o.post(t, "/uploads/"+up+"/complete", `{"part_ids":`+string(list)+`}`).member(t, "file").(map[string]any)
		id, _ := file["id"].(string)
		if a := o.get(t, "/files/"+id+"/content"); string(a.body) != "abcdef" {
			t.Errorf("%v: %s", file, a.body)
		}
	})
	t.Run("batches", func(t *testing.T) {
		line := `{"custom_id":"one","method":"POST","url":"/v1/chat/completions","body":` + chat("sim-echo", "hi from a batch", "") + "}\n"
		id := o.post(t, "/batches", `{"input_file_id":"`+o.upload(t, "batch", "in.jsonl", []byte(line))+`","endpoint":"/v1/chat/completions","completion_window":"24h"}`).id(t)
		var a answer
		for range 5 { // it goes on each time it is read
			if a = o.get(t, "/batches/"+id); a.member(t, "status") == "completed" {
				break
			}
		}
		out, _ := a.member(t, "output_file_id").(string)
		if results := o.get(t, "/files/"+out+"/content"); !strings.Contains(string(results.body), "hi from a batch") {
			t.Errorf("%s\n%s", a.body, results.body)
		}
		if a := o.get(t, "/batches?limit=1"); !strings.Contains(string(a.body), id) {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("fine tuning", func(t *testing.T) {
		id := o.post(t, "/fine_tuning/jobs", `{"model":"sim-echo","training_file":"`+o.upload(t, "fine-tune", "t.jsonl", []byte("{}\n"))+`"}`).id(t)
		if a := o.get(t, "/fine_tuning/jobs/"+id+"/events"); a.member(t, "object") != "list" {
			t.Errorf("%s", a.body)
		}
		if a := o.post(t, "/fine_tuning/jobs/"+id+"/cancel", ""); a.member(t, "status") != "cancelled" {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("vector stores", func(t *testing.T) {
		id := o.post(t, "/vector_stores", `{"name":"s"}`).id(t)
		o.post(t, "/vector_stores/"+id+"/files", `{"file_id":"`+o.upload(t, "assistants", "a.txt", []byte("the gateway is called Vel"))+`"}`).id(t)
		if a := o.post(t, "/vector_stores/"+id+"/search", `{"query":"gateway"}`); a.status != 200 {
			t.Errorf("%s", a.body)
		}
		o.remove(t, "/vector_stores/"+id)
	})
}

func TestStoredAnswers(t *testing.T) { inBothAccounts(t, testStoredAnswers) }

func testStoredAnswers(t *testing.T, o account, model string) {
	t.Run("responses", func(t *testing.T) {
		id := o.post(t, "/responses", `{"model":"`+model+`","input":"remember me"}`).id(t)
		if a := o.get(t, "/responses/"+id); a.id(t) != id {
			t.Errorf("%s", a.body)
		}
		if a := o.get(t, "/responses/"+id+"/input_items?limit=1"); !strings.Contains(string(a.body), "remember me") {
			t.Errorf("%s", a.body)
		}
		o.remove(t, "/responses/"+id)
	})
	t.Run("resumed response", func(t *testing.T) {
		made := askStream(t, request(t, "POST", o.at+"/responses", o.key, `{"model":"`+model+`","input":"one two","background":true,"stream":true}`))
		var first struct{ Response struct{ ID string } }
		if err := json.Unmarshal([]byte(made.data[0]), &first); err != nil {
			t.Fatal(err)
		}
		s := askStream(t, request(t, "GET", o.at+"/responses/"+first.Response.ID+"?stream=true&starting_after=2", o.key, ""))
		if s.status != 200 || !slices.Equal(s.data, made.data[3:]) {
			t.Errorf("%d: %q, want %q", s.status, s.data, made.data[3:])
		}
	})
	t.Run("stored completions", func(t *testing.T) {
		id := o.post(t, "/chat/completions", chat(model, "keep this", `,"store":true,"metadata":{"k":"v"}`)).id(t)
		if a := o.get(t, "/chat/completions?metadata[k]=v"); !strings.Contains(string(a.body), id) {
			t.Errorf("%s", a.body)
		}
		if a := o.get(t, "/chat/completions/"+id+"/messages"); !strings.Contains(string(a.body), "keep this") {
			t.Errorf("%s", a.body)
		}
		o.remove(t, "/chat/completions/"+id)
	})
}

// TestObjectsOfOthers asks with the key of an organization that shares one account with the owner of another.
func TestObjectsOfOthers(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, sim := owners(t)
	id := ask(t, newForm(t, "purpose", "user_data").file(t, "file", "mine.txt", []byte("mine")).post(t, p.URL+"/v1/files", w.key)).id(t)
	stored := ask(t, request(t, "POST", p.URL+"/v1/responses", w.key, `{"model":"mine","input":"secret"}`)).id(t)
	before := sim.Stats().Calls
	for _, header := range []string{"", "mine", "ours"} {
		named := func(r *http.Request) {
			if header != "" {
				r.Header.Set("X-Vel-Provider", header)
			}
		}
		for _, c := range []struct{ method, path string }{
			{"GET", "/files"},
			{"GET", "/files/" + id},
			{"GET", "/files/" + id + "/content"},
			{"DELETE", "/files/" + id},
			{"GET", "/batches"},
			{"GET", "/responses/" + stored},
			{"POST", "/responses/" + stored + "/cancel"},
			{"GET", "/chat/completions"},
			{"GET", "/vector_stores"},
			{"GET", "/fine_tuning/jobs"},
		} {
			a := ask(t, request(t, c.method, p.URL+"/v1"+c.path, w.narrow, "", named))
			switch list := strings.Count(c.path, "/") == 1 || c.path == "/chat/completions" || c.path == "/fine_tuning/jobs"; {
			case !list:
				a.wantError(t, 404, "object_not_found")
			case header == "mine":
				a.wantError(t, 400, "unknown_provider")
			case a.status != 200 || !strings.Contains(string(a.body), `"data":[]`):
				t.Errorf("%s: %d %s", c.path, a.status, a.body)
			}
		}
		ask(t, request(t, "GET", p.URL+"/v1/files/"+id, "sk-nobody-0123456789", "", named)).wantError(t, 401, "")
	}
	if after := sim.Stats().Calls; after != before {
		t.Errorf("%d calls reached the account of another organization", after-before)
	}
}

func TestObjectsOfTwoProviders(t *testing.T) {
	t.Parallel()
	w := shared(t)
	sim := simulateWith(t, simulator.Config{Provider: simulator.Provider{Keys: []string{otherSimKey}}})
	o := options(strings.ReplaceAll(`
providers:
  first: {kind: openai, base_url: "URL", api_key: env:SIM_KEY, allow_private: true, organizations: [acme]}
  second: {kind: openai, base_url: "URL", api_key: env:OTHER_KEY, allow_private: true, organizations: [acme]}
models:
  sim-echo: {targets: [{provider: first}]}
organizations:
  acme: {keys: {full: {key: env:FULL_KEY}}}
`, "URL", sim.URL()+"/v1"))
	o.Env, o.Canaries = append(o.Env, "OTHER_KEY="+otherSimKey), append(o.Canaries, otherSimKey)
	v := vel.Start(t, o)
	on := func(name string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Vel-Provider", name) }
	}
	ask(t, request(t, "GET", v.URL+"/v1/files", w.key, "")).wantError(t, 400, "ambiguous_provider")
	ask(t, request(t, "GET", v.URL+"/v1/files", w.key, "", on("nobody"))).wantError(t, 400, "unknown_provider")
	id := ask(t, newForm(t, "purpose", "user_data").file(t, "file", "x", []byte("x")).post(t, v.URL+"/v1/files", w.key, on("second"))).id(t)
	if a := ask(t, request(t, "GET", v.URL+"/v1/files/"+id, w.key, "", on("second"))); a.id(t) != id || a.header.Get("X-Vel-Provider") != "second" {
		t.Errorf("%v", a.header)
	}
	ask(t, request(t, "GET", v.URL+"/v1/files/"+id, w.key, "", on("first"))).wantError(t, 404, "")
	if a := ask(t, request(t, "GET", v.URL+"/v1/files/"+id, w.key, "")); a.id(t) != id || a.header.Get("X-Vel-Provider") != "second" {
		t.Errorf("without the header: %v", a.header)
	}
	ask(t, request(t, "GET", v.URL+"/v1/files/file-nobodys", w.key, "")).wantError(t, 400, "ambiguous_provider")
}

// knows tells whether the request with this id reached the provider.
func knows(s *simulated, id string) bool {
	_, ok := s.Request(id)
	return ok
}

// TestQueriesOnTheLine sends queries that would end the request line early, were they passed on.
func TestQueriesOnTheLine(t *testing.T) {
	t.Parallel()
	w := shared(t)
	for i, query := range []string{"a b", "a\rX-Evil: y", "a\x00b", "a HTTP/1.1"} {
		id := "query-line-" + itoa(i)
		body := chat("sim-echo", "[[id="+id+"]] hi", "")
		a := dial(t, w.vel.Addr()).send(t, "POST /v1/chat/completions?"+query+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+w.key+
			"\r\nContent-Length: "+itoa(len(body))+"\r\nConnection: close\r\n\r\n"+body)
		if a.wantError(t, 400, "malformed_request"); knows(w.sim, id) {
			t.Errorf("%q reached the provider", query)
		}
	}
}

// TestPathTraversal writes what leads out of a family of objects where its ids belong.
func TestPathTraversal(t *testing.T) {
	t.Parallel()
	w := shared(t)
	p, sim := owners(t)
	before := sim.Stats().Calls
	for _, path := range []string{
		"/files/..%2Fmodels", "/files/%2e%2e/models", "/files/%2E%2E%2Fmodels", "/files/..%5cmodels", "/files/..;/models", "/files/a%00b", "/files//content",
		"/responses/..%2Ffiles", "/files/%252e%252e/models", "/files/a%0d%0aX:y", "/files/./content", "/files/../../organization/users", "/vector_stores/x/files/..%2f..%2f..%2ffiles",
		"/files/a@b", "/files/a b", "/batches/%E2%80%AE",
	} {
		conn := "GET /v1" + strings.ReplaceAll(path, " ", "%20") + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + w.key + "\r\nConnection: close\r\n\r\n"
		if a := dial(t, p.Addr()).send(t, conn); a.status != 404 || !strings.Contains(string(a.body), "unknown_url") {
			t.Errorf("%s: %d %.300s", path, a.status, a.body)
		}
	}
	if after := sim.Stats().Calls; after != before {
		t.Errorf("%d of them reached the provider", after-before)
	}
}
