package simulator

import (
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	keptObjects     = 4096      // objects that are remembered, of all accounts
	keptObjectBytes = 128 << 20 // bytes of their contents together
)

// thing is one stored object: a file, a response, a batch.
type thing struct {
	account string
	kind    string // the beginning of its id: file, resp, batch
	id      string
	created time.Time
	doc     obj    // what the wire shows; replaced, never changed
	data    []byte // of a file
	state   any    // what the kind needs beside; replaced, never changed
	hidden  bool   // can be continued but not read
}

// shelf keeps what callers made, each thing for its account alone, the newest keptObjects.
type shelf struct {
	mu    sync.Mutex // guards all below, and the things' doc, data, state and hidden
	all   map[string]*thing
	order []*thing // oldest first
	bytes int
}

// put keeps a thing under a new id, which is also written into its document.
func (s *shelf) put(t *thing) {
	if t.id == "" {
		t.id = t.kind + "-" + randomName(24)
	}
	if t.created.IsZero() {
		t.created = time.Now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[string]*thing{}
	}
	s.all[t.id] = t
	s.order = append(s.order, t)
	s.bytes += len(t.data)
	for len(s.order) > keptObjects || s.bytes > keptObjectBytes && len(s.order) > 1 {
		s.remove(s.order[0])
	}
}

// remove forgets a thing; the lock is held.
func (s *shelf) remove(t *thing) {
	delete(s.all, t.id)
	s.bytes -= len(t.data)
	s.order = slices.DeleteFunc(s.order, func(o *thing) bool { return o == t })
}

// find returns a copy of an account's thing.
func (s *shelf) find(account, kind, id string) (thing, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.all[id]
	if t == nil || t.account != account || t.kind != kind {
		return thing{}, false
	}
	return *t, true
}

// change lets a function change an account's thing and returns a copy of what became of it.
func (s *shelf) change(account, kind, id string, how func(*thing) *apiError) (thing, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.all[id]
	if t == nil || t.account != account || t.kind != kind {
		return thing{}, errNoObject(kind, id)
	}
	before := len(t.data)
	if e := how(t); e != nil {
		return thing{}, e
	}
	s.bytes += len(t.data) - before
	return *t, nil
}

// drop forgets an account's thing.
func (s *shelf) drop(account, kind, id string) *apiError {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.all[id]
	if t == nil || t.account != account || t.kind != kind {
		return errNoObject(kind, id)
	}
	s.remove(t)
	return nil
}

// list returns copies of an account's things of a kind, oldest first.
func (s *shelf) list(account, kind string) []thing {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []thing
	for _, t := range s.order {
		if t.account == account && t.kind == kind && !t.hidden {
			out = append(out, *t)
		}
	}
	return out
}

// names of the kinds in OpenAI's messages.
var kindNames = map[string]string{
	"file": "file", "resp": "response", "batch": "batch", "ftjob": "fine-tuning job", "vs": "vector store", "upload": "upload", "chatcmpl": "chat completion", "conv": "conversation",
}

func errNoObject(kind, id string) *apiError {
	name := kindNames[kind]
	return &apiError{status: 404, param: "id", message: "No such " + name + " object: " + id, code: "not_found"}
}

// page answers a list of documents as OpenAI does: limit, after, before and order in the query, newest first
// unless asked otherwise. Docs are given oldest first.
func page(query url.Values, docs []obj) (reply, *apiError) {
	if query.Get("order") != "asc" {
		slices.Reverse(docs)
	}
	at := func(id string) int {
		return slices.IndexFunc(docs, func(d obj) bool { return d["id"] == id })
	}
	if after := query.Get("after"); after != "" {
		docs = docs[at(after)+1:]
	}
	if before := query.Get("before"); before != "" {
		if i := at(before); i >= 0 {
			docs = docs[:i]
		}
	}
	limit := 20
	if given := query.Get("limit"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 1 || n > 10_000 {
			return nil, errValue("limit", "Invalid 'limit': expected an integer from 1 to 10000.")
		}
		limit = n
	}
	more := len(docs) > limit
	docs = docs[:min(limit, len(docs))]
	out := obj{"object": "list", "data": docs, "first_id": nil, "last_id": nil, "has_more": more}
	if len(docs) > 0 {
		out["first_id"], out["last_id"] = docs[0]["id"], docs[len(docs)-1]["id"]
	} else {
		out["data"] = []obj{}
	}
	return answered(out)
}

// docs takes the documents out of things.
func docs(things []thing) []obj {
	out := make([]obj, len(things))
	for i, t := range things {
		out[i] = t.doc
	}
	return out
}

// operation is the job of a call that no model works on.
func operation(words []string, do func(c *call) (reply, *apiError)) (job, *apiError) {
	return job{words: words, param: "metadata", make: do}, nil
}

// showing is the job of reading one thing.
func (c *call) showing(kind string) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		t, ok := c.server.shelf.find(c.account, kind, c.path[0])
		if !ok || t.hidden {
			return nil, errNoObject(kind, c.path[0])
		}
		return answered(t.doc)
	})
}

// listing is the job of reading all things of a kind.
func (c *call) listing(kind string) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		return page(c.r.URL.Query(), docs(c.server.shelf.list(c.account, kind)))
	})
}

// dropping is the job of deleting one thing.
func (c *call) dropping(kind, object string) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		if e := c.server.shelf.drop(c.account, kind, c.path[0]); e != nil {
			return nil, e
		}
		return answered(obj{"id": c.path[0], "object": object, "deleted": true})
	})
}

// metadata reads the metadata of a request: strings by name, {} when there is none.
func (m members) metadata() (map[string]string, *apiError) {
	out := map[string]string{}
	return out, m.read("metadata", "metadata", "an object of strings", &out)
}
