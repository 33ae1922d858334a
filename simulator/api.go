package simulator

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// route is one method on one path. In the path * stands for one segment; at the end of a path /** stands for
// the rest.
type route struct {
	method, path string
	read         func(*call) (job, *apiError)
}

// routes is the table of all endpoints, in the order in which they are tried. It is never changed.
var routes = []route{
	{"POST", "/chat/completions", readChat},
	{"GET", "/chat/completions", listCompletions},
	{"GET", "/chat/completions/*", getCompletion},
	{"POST", "/chat/completions/*", updateCompletion},
	{"DELETE", "/chat/completions/*", deleteCompletion},
	{"GET", "/chat/completions/*/messages", completionMessages},
	{"POST", "/responses", readResponses},
	{"POST", "/agent", readResponses},
	{"POST", "/responses/input_tokens", countInput},
	{"GET", "/responses/*", getResponse},
	{"DELETE", "/responses/*", deleteResponse},
	{"POST", "/responses/*/cancel", cancelResponse},
	{"GET", "/responses/*/input_items", responseInput},
	{"POST", "/embeddings", readEmbeddings},
	{"POST", "/completions", readCompletion},
	{"POST", "/moderations", readModeration},
	{"POST", "/images/generations", readGeneration},
	{"POST", "/images/edits", readEdit},
	{"POST", "/images/variations", readVariation},
	{"POST", "/audio/speech", readSpeech},
	{"POST", "/audio/transcriptions", readTranscription},
	{"POST", "/audio/translations", readTranslation},
	{"POST", "/files", createFile},
	{"GET", "/files", listFiles},
	{"GET", "/files/*", getFile},
	{"DELETE", "/files/*", deleteFile},
	{"GET", "/files/*/content", fileContent},
	{"POST", "/uploads", createUpload},
	{"POST", "/uploads/*/parts", addPart},
	{"POST", "/uploads/*/complete", completeUpload},
	{"POST", "/uploads/*/cancel", cancelUpload},
	{"POST", "/batches", createBatch},
	{"GET", "/batches", listBatches},
	{"GET", "/batches/*", getBatch},
	{"POST", "/batches/*/cancel", cancelBatch},
	{"POST", "/fine_tuning/jobs", createTuning},
	{"GET", "/fine_tuning/jobs", listTunings},
	{"GET", "/fine_tuning/jobs/*", getTuning},
	{"POST", "/fine_tuning/jobs/*/cancel", cancelTuning},
	{"GET", "/fine_tuning/jobs/*/events", tuningEvents},
	{"GET", "/fine_tuning/jobs/*/checkpoints", tuningCheckpoints},
	{"POST", "/vector_stores", createVectorStore},
	{"GET", "/vector_stores", listVectorStores},
	{"GET", "/vector_stores/*", getVectorStore},
	{"POST", "/vector_stores/*", updateVectorStore},
	{"DELETE", "/vector_stores/*", deleteVectorStore},
	{"POST", "/vector_stores/*/files", attachFile},
	{"GET", "/vector_stores/*/files", attachedFiles},
	{"GET", "/vector_stores/*/files/*", attachedFile},
	{"DELETE", "/vector_stores/*/files/*", detachFile},
	{"POST", "/vector_stores/*/search", searchVectorStore},
	{"POST", "/conversations", createConversation},
	{"GET", "/conversations/*", getConversation},
	{"DELETE", "/conversations/*", deleteConversation},
	{"POST", "/conversations/*/items", addItems},
	{"GET", "/conversations/*/items", listItems},
}

// match tells whether a path is the route's, and what its wildcards stand for.
func (rt *route) match(path string) (wild []string, ok bool) {
	pattern := rt.path
	for pattern != "" || path != "" {
		want, restWant, _ := strings.Cut(strings.TrimPrefix(pattern, "/"), "/")
		have, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		switch {
		case want == "*" && have != "":
			wild = append(wild, have)
		case want != have:
			return nil, false
		}
		pattern, path = restWant, rest
	}
	return wild, true
}

// api serves a provider's paths.
func (s *Server) api(w http.ResponseWriter, r *http.Request, record *Request, body []byte) {
	d := s.dialect
	path, ok := d.trim(r.URL.Path)
	if !ok || !d.known(path) {
		if e := s.authorize(r, path); e != nil {
			d.send(w, e)
			return
		}
		if d.retired != nil {
			if e := d.retired(r.URL.Path); e != nil {
				d.send(w, e)
				return
			}
		}
		d.send(w, errURL(r.Method, r.URL.Path))
		return
	}
	if e := s.authorize(r, path); e != nil {
		d.send(w, e)
		return
	}
	if path == "/models" || strings.HasPrefix(path, "/models/") {
		s.models(w, r, strings.TrimPrefix(strings.TrimPrefix(path, "/models"), "/"))
		return
	}
	var allowed []string
	for i := range routes {
		rt := &routes[i]
		wild, ok := rt.match(path)
		if !ok || !d.has(rt) {
			continue
		}
		if rt.method != r.Method {
			allowed = append(allowed, rt.method)
			continue
		}
		c := &call{
			server: s, w: w, r: r, ctx: r.Context(), conn: connOf(r.Context()), record: record, path: wild, body: body, began: time.Now(),
		}
		key, _ := bearer(r.Header)
		c.account = digest([]byte(key))
		c.run(rt.method+" "+rt.path, rt.read)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	d.send(w, errMethod(r.Method, r.URL.Path))
}

// has tells whether the provider serves a route. Only Perplexity has /agent.
func (d *dialect) has(rt *route) bool {
	if d.serves == nil {
		return rt.path != "/agent"
	}
	return d.serves(rt)
}

// known tells whether the provider has a path, with any method.
func (d *dialect) known(path string) bool {
	if path == "/models" || strings.HasPrefix(path, "/models/") {
		return d.has(&route{method: http.MethodGet, path: "/models"})
	}
	return slices.ContainsFunc(routes, func(rt route) bool {
		_, ok := rt.match(path)
		return ok && d.has(&rt)
	})
}

// authorize refuses a request without a key that is accepted.
func (s *Server) authorize(r *http.Request, path string) *apiError {
	if s.dialect.openPath != nil && s.dialect.openPath(path) {
		return nil
	}
	key, ok := bearer(r.Header)
	if !ok {
		return errNoKey()
	}
	if p := &s.provider; p.Key != "" && key != p.Key && !slices.Contains(p.Keys, key) {
		return errKey(key)
	}
	return nil
}

// models answers GET /models and GET /models/{id}, whose id may have slashes.
func (s *Server) models(w http.ResponseWriter, r *http.Request, id string) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		s.dialect.send(w, errMethod(r.Method, r.URL.Path))
		return
	}
	if id == "" {
		s.listModels(w)
		return
	}
	s.showModel(w, id)
}

// fail answers with an error in the provider's shape.
func (s *Server) fail(w http.ResponseWriter, e *apiError) { s.dialect.send(w, e) }
