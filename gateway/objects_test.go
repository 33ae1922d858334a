package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// vault is a provider that keeps what it is told to, under ids that begin with its name.
type vault struct {
	name string
	mu   sync.Mutex
	made int
	docs map[string]string
	hold chan struct{} // if set, what is read waits for it
	last asked         // without its connection
}

func (v *vault) script(a *asked) bool {
	v.mu.Lock()
	v.last = asked{http: a.http, body: a.body}
	hold := v.hold
	v.mu.Unlock()
	path := strings.TrimPrefix(a.http.URL.Path, "/v1")
	family, id, _ := strings.Cut(path[1:], "/")
	switch {
	case a.http.Method == "POST" && id == "":
		a.send(jsonAnswer(200, v.put(strings.TrimSuffix(family, "s"))))
	case a.http.Method == "GET" && id != "" && hold != nil:
		<-hold
		return false
	default:
		a.send(v.look(a.http.Method, id))
	}
	return true
}

func (v *vault) put(kind string) string {
	if kind == "batche" {
		kind = "batch"
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.made++
	id := fmt.Sprintf("%s-%s-%d", v.name, kind, v.made)
	if v.docs == nil {
		v.docs = map[string]string{}
	}
	v.docs[id] = fmt.Sprintf(`{"id":%q,"object":%q,"purpose":"p%d"}`, id, kind, v.made%3)
	return v.docs[id]
}

func (v *vault) look(method, id string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	doc, ok := v.docs[id]
	switch {
	case !ok:
		return jsonAnswer(404, `{"error":{"message":"gone","type":"invalid_request_error","param":null,"code":null}}`)
	case method == "DELETE":
		delete(v.docs, id)
		return jsonAnswer(200, `{"id":"`+id+`","object":"file","deleted":true}`)
	}
	return jsonAnswer(200, doc)
}

func (v *vault) lose(id string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.docs, id)
}

// keepers is a gateway before two providers that everybody shares.
func keepers(t *testing.T, changes ...plan) (h *house, p1, p2 *vault) {
	p1, p2 = &vault{name: "one"}, &vault{name: "two"}
	return newHouse(t, []func(*asked) bool{p1.script, p2.script}, changes...), p1, p2
}

// as makes a call with a key.
func (h *house) with(key, method, path, body string, fields ...string) got {
	h.t.Helper()
	c := h.dial()
	defer func() { _ = c.Close() }()
	c.write(request(method, "/v1"+path, body, append(fields, "Authorization: Bearer "+key)...))
	return c.answerTo(method)
}

// make makes an object and gives its id.
func (h *house) make(key, path, body string, fields ...string) string {
	h.t.Helper()
	g := h.with(key, "POST", path, body, fields...)
	var doc struct{ ID string }
	if err := json.Unmarshal([]byte(g.body), &doc); err != nil || doc.ID == "" || g.StatusCode != 200 {
		h.t.Fatalf("status %d, body %s", g.StatusCode, g.body)
	}
	return doc.ID
}

func (g got) want(t *testing.T, status int, code string) {
	t.Helper()
	if e := errorOf(t, g.body); g.StatusCode != status || e.code() != code {
		t.Errorf("status %d, body %s, want %d %s", g.StatusCode, g.body, status, code)
	}
}

// ids are those of a list, and whether there are more.
func (g got) ids(t *testing.T) (all []string, more bool) {
	t.Helper()
	var list struct {
		Object  string
		Data    []struct{ ID string }
		First   *string `json:"first_id"`
		Last    *string `json:"last_id"`
		HasMore bool    `json:"has_more"`
	}
	if err := json.Unmarshal([]byte(g.body), &list); err != nil || g.StatusCode != 200 || list.Object != "list" || list.Data == nil {
		t.Fatalf("status %d, body %s", g.StatusCode, g.body)
	}
	for _, d := range list.Data {
		all = append(all, d.ID)
	}
	if n := len(all); n > 0 && (*list.First != all[0] || *list.Last != all[n-1]) || n == 0 && (list.First != nil || list.Last != nil) {
		t.Errorf("the ends of %s", g.body)
	}
	return all, list.HasMore
}

var toOne, toTwo = "X-Vel-Provider: p1", "X-Vel-Provider: p2"

func TestWhereAnObjectIsMade(t *testing.T) {
	t.Parallel()
	h, p1, p2 := keepers(t)
	const body = `{"x":1}`
	g := h.with(goodKey, "POST", "/batches", body)
	if g.want(t, 400, "ambiguous_provider"); !strings.Contains(g.body, "p1, p2") {
		t.Errorf("the providers are not named: %s", g.body)
	}
	h.with(goodKey, "POST", "/batches", body, "X-Vel-Provider: p3").want(t, 400, "unknown_provider")
	one, two := h.make(goodKey, "/batches", body, toOne), h.make(goodKey, "/batches", body, toTwo)
	if p1.made != 1 || p2.made != 1 {
		t.Errorf("made %d and %d", p1.made, p2.made)
	}
	// By its id each is found where it is, also by a call that names it.
	for id, at := range map[string]string{one: "p1", two: "p2"} {
		if g := h.with(goodKey, "GET", "/batches/"+id, ""); g.StatusCode != 200 || g.Header.Get("X-Vel-Provider") != at {
			t.Errorf("%s: status %d at %s", id, g.StatusCode, g.Header.Get("X-Vel-Provider"))
		}
		if g := h.with(goodKey, "POST", "/batches", `{"input_file_id":"`+id+`"}`); g.StatusCode != 200 || g.Header.Get("X-Vel-Provider") != at {
			t.Errorf("made from %s: status %d at %s", id, g.StatusCode, g.Header.Get("X-Vel-Provider"))
		}
	}
	h.with(goodKey, "GET", "/batches/"+one, "", toTwo).want(t, 404, "object_not_found")
	h.with(goodKey, "POST", "/vector_stores", `{"file_ids":["`+one+`","`+two+`"]}`).want(t, 400, "different_providers")
	h.with(goodKey, "POST", "/batches", `{"input_file_id":"`+one+`"}`, toTwo).want(t, 404, "object_not_found")
	h.with(goodKey, "POST", "/batches", `{"input_file_id":"`+one+`"`).want(t, 400, "invalid_json")
	c := h.dial()
	c.write("POST /v1/batches HTTP/1.1\r\nHost: vel\r\nAuthorization: Bearer " + goodKey + "\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 5\r\n\r\n--b--")
	c.answer().want(t, 400, "unsupported_content_type")
}

func TestObjectsOfAnother(t *testing.T) {
	t.Parallel()
	h, p1, _ := keepers(t)
	theirs := h.make(otherKey, "/files", `{}`, toOne)
	mine := h.make(goodKey, "/files", `{}`, toOne)
	before := h.backends[0].calls.Load()
	nothing := h.with(goodKey, "GET", "/files/nothing", "")
	nothing.want(t, 404, "object_not_found")
	if g := h.with(goodKey, "GET", "/files/"+theirs, ""); strings.ReplaceAll(g.body, theirs, "nothing") != nothing.body {
		t.Errorf("it can be told from nothing: %s", g.body)
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/files/" + theirs + "/content", ""},
		{"DELETE", "/files/" + theirs, ""},
		{"POST", "/batches", `{"input_file_id":"` + theirs + `"}`},
		{"POST", "/batches", `{"input_file_id":"` + mine + `","input_file_id":"` + theirs + `"}`},
		{"POST", "/batches", `{"input\u005ffile_id":"` + theirs + `"}`},
		{"POST", "/vector_stores", `{"file_ids":["` + mine + `","` + theirs + `"]}`},
		{"POST", "/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"` + theirs + `"}}]}]}`},
		{"POST", "/responses", `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file\u005fid":"` + theirs + `"}]}]}`},
		{"POST", "/responses", `{"model":"m","input":"x","tools":[{"type":"file_search","vector_store_ids":["` + theirs + `"]}]}`},
		{"POST", "/responses", `{"model":"m","input":[{"type":"item_reference","id":"` + theirs + `"}]}`},
		{"POST", "/responses", `{"model":"m","input":[{"type":"item_reference","id":"` + theirs + `\u0000"}]}`},
		{"POST", "/responses", `{"model":"m","input":"x","conversation":{"id":"` + theirs + `"}}`},
	} {
		h.with(goodKey, c.method, c.path, c.body, toOne).want(t, 404, "object_not_found")
	}
	h.with(goodKey, "POST", "/responses", `{"model":"m","input":"x","previous_response_id":"`+theirs+`"}`).want(t, 404, "previous_response_not_found")
	if ids, more := h.with(goodKey, "GET", "/files", "").ids(t); !slices.Equal(ids, []string{mine}) || more {
		t.Errorf("listed %v", ids)
	}
	if n := h.backends[0].calls.Load() - before; n != 1 {
		t.Errorf("%d calls reached the provider, want the one for the list", n)
	}
	if p1.docs[theirs] == "" {
		t.Error("it is gone")
	}
	if g := h.with(otherKey, "GET", "/files/"+theirs, ""); g.StatusCode != 200 {
		t.Errorf("its owner gets %d", g.StatusCode)
	}
}

// An account of one's own has what was made outside Vel, too; other accounts have not.
func TestOwnAccount(t *testing.T) {
	t.Parallel()
	h, p1, p2 := keepers(t, func(h *house) {
		p := h.routing.Providers["p2"]
		p.Organizations = []tenancy.ID{"org"}
		h.routing.Providers["p2"] = p
	})
	p1.put("file")
	p2.put("file")
	for id, status := range map[string]int{"one-file-1": 404, "two-file-1": 200} {
		if g := h.with(goodKey, "GET", "/files/"+id, ""); g.StatusCode != status {
			t.Errorf("%s: status %d, want %d", id, g.StatusCode, status)
		}
	}
	h.with(otherKey, "GET", "/files/two-file-1", "").want(t, 404, "object_not_found")
	if made := h.make(goodKey, "/files", `{}`); !strings.HasPrefix(made, "two") {
		t.Errorf("made %s", made)
	}
	if made := h.make(otherKey, "/files", `{}`); !strings.HasPrefix(made, "one") {
		t.Errorf("made %s for the other", made)
	}
	mine := h.make(goodKey, "/files", `{}`, toOne)
	if g := h.with(goodKey, "GET", "/files/"+mine, ""); g.StatusCode != 200 || g.Header.Get("X-Vel-Provider") != "p1" {
		t.Errorf("%s: status %d", mine, g.StatusCode)
	}
	if g := h.with(goodKey, "GET", "/files", ""); g.Header.Get("X-Vel-Provider") != "p2" {
		t.Errorf("the list is of %q: %s", g.Header.Get("X-Vel-Provider"), g.body)
	}
	if ids, _ := h.with(goodKey, "GET", "/files", "", toOne).ids(t); !slices.Equal(ids, []string{mine}) {
		t.Errorf("the list of the shared account: %v", ids)
	}
	h.with(otherKey, "GET", "/files", "", toTwo).want(t, 400, "unknown_provider")
	// A call for a model whose id nobody made goes to the own account alone.
	if g := h.with(goodKey, "POST", "/chat/completions", `{"model":"m","messages":[{"file_id":"nobodys"}]}`); g.Header.Get("X-Vel-Provider") != "p2" {
		t.Errorf("at %q: %s", g.Header.Get("X-Vel-Provider"), g.body)
	}
	if g := h.with(goodKey, "POST", "/chat/completions", `{"model":"m","messages":[{"file_id":"`+mine+`"}]}`); g.Header.Get("X-Vel-Provider") != "p1" {
		t.Errorf("at %q: %s", g.Header.Get("X-Vel-Provider"), g.body)
	}
}

func TestCallGoesWhereItsObjectsAre(t *testing.T) {
	t.Parallel()
	h, _, _ := keepers(t, func(h *house) {
		h.routing.Models["first"] = routing.ModelConfig{Targets: []routing.TargetConfig{{Provider: "p1"}}}
	})
	h.objects.objects = []routing.StoredObject{{Org: "org", ID: "file-2", Provider: "p2", Kind: "file"}, {Org: "org", ID: "file-gone", Provider: "p9", Kind: "file"}}
	ask := func(model, id string) got {
		return h.with(goodKey, "POST", "/chat/completions", `{"model":"`+model+`","messages":[{"content":[{"file":{"file_id":"`+id+`"}}]}]}`)
	}
	if g := ask("m", "file-2"); g.Header.Get("X-Vel-Provider") != "p2" {
		t.Errorf("at %q: %s", g.Header.Get("X-Vel-Provider"), g.body)
	}
	ask("first", "file-2").want(t, 400, "different_providers")
	ask("first", "file-9").want(t, 404, "object_not_found")
	ask("nothing", "file-9").want(t, 404, "model_not_found")
	h.with(goodKey, "GET", "/files/file-gone", "").want(t, 404, "object_not_found")
}

const respond = `{"model":"m","input":"x","stream":true}`

// What an answer shows can be used before the answer has ended, and what a stream showed later is remembered as well.
func TestStreamedResponse(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		if a.http.Method == "GET" {
			a.send(jsonAnswer(200, `{"id":"resp_1","object":"response","output":[{"id":"msg_2"}]}`))
			return true
		}
		a.send(streamHead + chunk(`data: {"type":"response.created","response":{"id":"resp_1","output":[]}}`+"\n\n"))
		<-next
		a.send(chunk(`data: {"type":"response.completed","response":{"id":"resp_1","output":[{"id":"msg_1"}]}}`+"\n\n") + lastChunk)
		return true
	}})
	c := h.dial()
	c.write(request("POST", "/v1/responses", respond, "Authorization: Bearer "+goodKey))
	c.head("POST")
	if g := h.with(goodKey, "GET", "/responses/resp_1", ""); g.StatusCode != 200 {
		t.Errorf("while it runs: status %d, %s", g.StatusCode, g.body)
	}
	h.with(otherKey, "GET", "/responses/resp_1", "").want(t, 404, "object_not_found")
	next <- struct{}{}
	eventually(t, "all is remembered", func() bool { return len(h.objects.all()) == 3 })
	var kinds []string
	for _, o := range h.objects.all() {
		kinds = append(kinds, string(o.Org)+" "+o.Provider+" "+o.Kind+" "+o.ID)
	}
	slices.Sort(kinds)
	if want := []string{"org p1 response resp_1", "org p1 response.item msg_1", "org p1 response.item msg_2"}; !slices.Equal(kinds, want) {
		t.Errorf("remembered %q", kinds)
	}
}

func TestWhatIsNotKept(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		n := calls.Add(1)
		a.send(jsonAnswer(200, fmt.Sprintf(`{"id":"id-%d","object":"response","output":[],"choices":[]}`, n)))
		return true
	}})
	for _, c := range []struct {
		path, body string
		kept       int
	}{
		{"/chat/completions", chatBody, 0},
		{"/chat/completions", `{"model":"m","messages":[],"store":false}`, 0},
		{"/chat/completions", `{"model":"m","messages":[],"store":true}`, 1},
		{"/responses", `{"model":"m","input":"x","store":false}`, 1},
		{"/responses", `{"model":"m","input":"x"}`, 2},
		{"/responses", `{"model":"m","input":"x","background":true}`, 3},
	} {
		if g := h.with(goodKey, "POST", c.path, c.body); g.StatusCode != 200 {
			t.Fatalf("status %d, %s", g.StatusCode, g.body)
		}
		if _, err := h.keeper.Page(routing.ObjectPage{Org: "org", Kind: "file", Limit: 1}); err != nil { // all is written now
			t.Fatal(err)
		}
		if n := len(h.objects.all()); n != c.kept {
			t.Errorf("%s %s: %d objects are known, want %d", c.path, c.body, n, c.kept)
		}
	}
}

func TestObjectsWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	h, _, _ := keepers(t)
	known := h.make(goodKey, "/files", `{}`, toOne)
	h.objects.fail(&tenancy.Unavailable{Cause: errors.New("host db.internal is down")})
	made := h.make(goodKey, "/files", `{}`, toOne)
	for _, id := range []string{known, made} {
		if g := h.with(goodKey, "GET", "/files/"+id, ""); g.StatusCode != 200 {
			t.Errorf("%s: status %d, %s", id, g.StatusCode, g.body)
		}
	}
	for path, g := range map[string]got{
		"an unknown one": h.with(goodKey, "GET", "/files/x", ""), "a list": h.with(goodKey, "GET", "/files", ""),
		"in a body": h.with(goodKey, "POST", "/responses", `{"model":"m","input":"x","previous_response_id":"resp_0"}`),
	} {
		if g.want(t, 503, "database_unavailable"); strings.Contains(g.body, "internal") || g.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %v %s", path, g.Header, g.body)
		}
	}
	h.objects.fail(nil)
	eventually(t, "the list is there again", func() bool { return h.with(goodKey, "GET", "/files", "").StatusCode == 200 })
	if ids, _ := h.with(goodKey, "GET", "/files", "").ids(t); !slices.Equal(ids, []string{made, known}) {
		t.Errorf("listed %v", ids)
	}
	h.objects.fail(errors.New("a bug"))
	h.with(goodKey, "GET", "/files/x", "").want(t, 500, "internal_error")
}

// A provider that gives one organization the id of another's object gives it nothing.
func TestIDOfAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t, []func(*asked) bool{answers(jsonAnswer(200, `{"id":"file-1","object":"file"}`))})
	h.make(otherKey, "/files", `{}`)
	h.make(goodKey, "/files", `{}`)
	eventually(t, "it is noticed", func() bool {
		return len(h.log.lines(t, "a provider gave the id of one organization's object to another")) > 0
	})
	h.with(goodKey, "GET", "/files/file-1", "").want(t, 404, "object_not_found")
	if g := h.with(otherKey, "GET", "/files/file-1", ""); g.StatusCode != 200 {
		t.Errorf("its owner gets %d", g.StatusCode)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/files": "file", "/files/a": "file a", "/files/a/content": "file a below", "/fine_tuning/jobs/a": "fine_tuning.job a", "/fine_tuning": "", "/fine_tuning/x/y": "",
		"/chat/completions/a/messages": "chat.completion a below", "/responses/a": "response a", "/filesx": "",
	} {
		at, got := placeOf([]byte(path)), ""
		if at.of != nil {
			got = strings.TrimSpace(at.of.kind + " " + at.id)
		}
		if at.below {
			got += " below"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestTooManyNamed(t *testing.T) {
	t.Parallel()
	h, _, _ := keepers(t)
	list, err := json.Marshal(slices.Repeat([]string{"a"}, mostNamed+1))
	if err != nil {
		t.Fatal(err)
	}
	h.with(goodKey, http.MethodPost, "/vector_stores", `{"file_ids":`+string(list)+`}`).want(t, 400, "too_many_objects")
}
