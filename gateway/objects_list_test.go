package gateway

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/vel-gateway/vel/routing"
)

// stock makes files at the first provider, and gives their ids, the newest first.
func (h *house) stock(n int) (ids []string) {
	for range n {
		ids = append(ids, h.make(goodKey, "/files", `{}`, toOne))
	}
	slices.Reverse(ids)
	return ids
}

func TestListInPages(t *testing.T) {
	t.Parallel()
	h, _, _ := keepers(t)
	all := h.stock(45)
	list := func(query string) ([]string, bool) { return h.with(goodKey, "GET", "/files"+query, "").ids(t) }
	for query, want := range map[string]struct {
		ids  []string
		more bool
	}{
		"":                         {all[:20], true},
		"?limit=3":                 {all[:3], true},
		"?limit=45":                {all, false},
		"?limit=10000":             {all, false},
		"?limit=44&order=desc":     {all[:44], true},
		"?limit=2&after=" + all[5]: {all[6:8], true},
		"?after=" + all[40]:        {all[41:], false},
		"?after=" + all[44]:        {nil, false},
		"?order=asc&limit=2":       {[]string{all[44], all[43]}, true},
		"?order=asc&after=" + all[1] + "&api-version=1": {[]string{all[0]}, false},
		"?purpose=p1&limit=4":                           {[]string{all[2], all[5], all[8], all[11]}, true}, // every third one has it
	} {
		if ids, more := list(query); !slices.Equal(ids, want.ids) || more != want.more {
			t.Errorf("%s: %v %v", query, ids, more)
		}
	}
	if ids, more := list("?purpose=nothing"); len(ids) > 0 || more {
		t.Errorf("for nothing: %v %v", ids, more)
	}
	for query, want := range map[string][2]string{
		"?limit=0": {"invalid_value", "limit"}, "?limit=x": {"invalid_value", "limit"}, "?order=up": {"invalid_value", "order"},
		"?after=file-x": {"invalid_value", "after"}, "?after=%00": {"invalid_value", "after"}, "?before=x": {"unsupported_parameter", "before"},
		"?metadata[a]=b": {"unsupported_parameter", "metadata[a]"}, "?%zz": {"invalid_value", "query"},
	} {
		g := h.with(goodKey, "GET", "/files"+query, "")
		if g.want(t, 400, want[0]); *errorOf(t, g.body).Param != want[1] {
			t.Errorf("%s: %s", query, g.body)
		}
	}
	if ids, more := h.with(otherKey, "GET", "/files", "").ids(t); len(ids) > 0 || more {
		t.Errorf("another organization sees %v", ids)
	}
}

// What is gone at the provider is left out, and a page is filled up all the same.
func TestListWithoutWhatIsGone(t *testing.T) {
	t.Parallel()
	h, p1, _ := keepers(t)
	all := h.stock(6)
	p1.lose(all[1])
	if g := h.with(goodKey, "DELETE", "/files/"+all[2], ""); g.StatusCode != 200 {
		t.Fatalf("status %d, %s", g.StatusCode, g.body)
	}
	want := []string{all[0], all[3], all[4]}
	for range 2 {
		if ids, more := h.with(goodKey, "GET", "/files?limit=3", "").ids(t); !slices.Equal(ids, want) || !more {
			t.Errorf("%v %v, want %v", ids, more, want)
		}
	}
	if ids, _ := h.with(goodKey, "GET", "/files?after="+all[2], "").ids(t); !slices.Equal(ids, all[3:]) {
		t.Errorf("behind what was deleted: %v", ids)
	}
	for _, o := range h.objects.all() {
		if o.ID == all[1] || o.ID == all[2] {
			t.Errorf("%s is still known", o.ID)
		}
	}
}

func TestListOfProvidersThatAreNotThere(t *testing.T) {
	t.Parallel()
	h, _, _ := keepers(t)
	all := h.stock(2)
	h.objects.objects = append(h.objects.objects, routing.StoredObject{Org: "org", ID: "far", Provider: "p9", Kind: "file"})
	if ids, more := h.with(goodKey, "GET", "/files", "").ids(t); !slices.Equal(ids, all) || more {
		t.Errorf("%v %v", ids, more)
	}
	if len(h.objects.all()) != 3 {
		t.Error("what may come back was forgotten")
	}
}

// A filter that leaves out everything must not make one call into thousands.
func TestListThatFindsTooLittle(t *testing.T) {
	t.Parallel()
	h, p1, _ := keepers(t)
	p1.docs = map[string]string{}
	for i := range looked + 2*atOnce {
		id := fmt.Sprintf("file-%d", i)
		p1.docs[id] = `{"id":"` + id + `","purpose":"` + map[bool]string{true: "rare", false: "usual"}[i == 0] + `"}`
		h.objects.objects = append(h.objects.objects, routing.StoredObject{Org: "org", ID: id, Provider: "p1", Kind: "file"})
	}
	h.with(goodKey, "GET", "/files?purpose=rare", "").want(t, 400, "too_many_objects")
	if n := h.backends[0].calls.Load(); n > looked+atOnce {
		t.Errorf("%d fetches", n)
	}
	if ids, more := h.with(goodKey, "GET", "/files?purpose=rare&order=asc", "").ids(t); !slices.Equal(ids, []string{"file-0"}) || !more {
		t.Errorf("%v %v", ids, more)
	}
}

func TestListThatFails(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]struct {
		with   string
		status int
		code   string
	}{
		"an error":   {jsonAnswer(500, `{"error":{"message":"no","type":"server_error","param":null,"code":null}}`), 500, ""},
		"nonsense":   {jsonAnswer(200, `{"id":`), 502, "provider_invalid_answer"},
		"too much":   {jsonAnswer(200, `"`+string(make([]byte, largestEntry))+`"`), 502, "provider_invalid_answer"},
		"no answer":  {"", 502, "provider_connection_lost"},
		"half of it": {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{", 502, "provider_answer_truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, []func(*asked) bool{func(a *asked) bool { a.send(answer.with); return false }})
			h.objects.objects = []routing.StoredObject{{Org: "org", ID: "file-1", Provider: "p1", Kind: "file"}, {Org: "org", ID: "file-2", Provider: "p1", Kind: "file"}}
			h.with(goodKey, "GET", "/files", "").want(t, answer.status, answer.code)
			if len(h.objects.all()) != 2 {
				t.Error("an object was forgotten")
			}
		})
	}
}

// A client that leaves ends every fetch that is made for it.
func TestListWhoseClientLeaves(t *testing.T) {
	t.Parallel()
	h, p1, _ := keepers(t)
	h.stock(8)
	p1.mu.Lock()
	p1.hold = make(chan struct{})
	p1.mu.Unlock()
	before := h.backends[0].calls.Load()
	c := h.dial()
	c.write(request("GET", "/v1/files", "", "Authorization: Bearer "+goodKey))
	eventually(t, "all fetches are under way", func() bool { return h.backends[0].calls.Load()-before == 8 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if line := h.settled(9); line["status"] != float64(statusGone) {
		t.Errorf("the line of log: %v", line)
	}
	close(p1.hold)
}

// No fetch is a call of anybody's, and the list is one.
func TestListIsOneCall(t *testing.T) {
	t.Parallel()
	h, _, _ := keepers(t)
	h.stock(3)
	h.with(goodKey, "GET", "/files", "")
	if line := h.settled(4); line["endpoint"] != "objects" || line["route"] != "objects" || line["status"] != 200.0 {
		t.Errorf("the line of log: %v", line)
	}
	if n := h.metric("vel_attempts_total"); n != 6 {
		t.Errorf("%v attempts, want 6", n)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	chats := &families[len(families)-1]
	for query, want := range map[string]bool{
		"": true, "model=m": true, "model=x": false, "metadata[a]=b": true, "metadata[a]=c": false, "metadata[x.y]=z": true, "metadata[none]=": true,
		"model=m&metadata[a]=b": true, "model=x&metadata[a]=b": false,
	} {
		l := &listing{of: chats}
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		for name := range values {
			if err := l.read(name, values.Get(name)); err != nil {
				t.Fatal(err)
			}
		}
		if got := l.fits([]byte(`{"model":"m","metadata":{"a":"b","x.y":"z"}}`)); got != want {
			t.Errorf("%s: %v", query, got)
		}
	}
}
