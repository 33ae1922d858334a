package admin

import (
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
)

// answering is the answer to one request, and what is known of the request for the log.
type answering struct {
	http.ResponseWriter
	id        string
	operation string // empty: none was reached
	by        tenancy.Actor
	status    int
	detail    string               // of the problem that was answered
	adminKey  bool                 // they came with the admin key
	failed    []tenancy.AuditEvent // whom they tried to be, in vain
}

// WriteHeader notes the status.
func (a *answering) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write notes that the status is 200 unless another was written.
func (a *answering) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap gives http.ResponseController the writer below.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.Now()
	a := &answering{ResponseWriter: w, id: string(tenancy.NewID("req"))}
	w.Header().Set("X-Request-Id", a.id)
	harden(w.Header(), r)
	defer func() {
		cause := recover()
		if cause == http.ErrAbortHandler { // an answer broke off: its client must not take it for whole
			s.note(a, r, s.Now().Sub(began))
			panic(cause)
		}
		if cause != nil {
			s.Log.Error("panic", slog.String("id", a.id), slog.String("operation", a.operation), slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
			s.fail(a, bug())
		}
		s.note(a, r, s.Now().Sub(began))
	}()
	if p := s.lost(r); p != nil {
		s.fail(a, p)
		return
	}
	s.mux.ServeHTTP(a, r)
}

// lost says what is wrong with a path or a method that leads nowhere; nil: it leads somewhere.
func (s *Server) lost(r *http.Request) *Problem {
	if item := s.api.OpenAPI().Paths[r.URL.EscapedPath()]; item != nil { // else /api/users/me would be a user with the id me
		if allowed := methodsOf(item); !slices.Contains(allowed, r.Method) {
			return wrongMethod.new("This path allows "+sentence(allowed)+".").with("Allow", sentence(allowed))
		}
		return nil
	}
	handler, pattern := s.mux.Handler(r)
	if pattern != "" && path.Clean(r.URL.EscapedPath()) == r.URL.EscapedPath() {
		return nil
	}
	probe := &probe{header: http.Header{}} // the mux's own handler knows which methods there are
	handler.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); probe.status == http.StatusMethodNotAllowed {
		return wrongMethod.new("This path allows "+allow+".").with("Allow", allow)
	}
	return notFound.new("There is nothing at this path. The API is described at /api/docs.")
}

func methodsOf(item *huma.PathItem) (methods []string) {
	for method, op := range map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodHead: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodDelete: item.Delete,
	} {
		if op != nil {
			methods = append(methods, method)
		}
	}
	slices.Sort(methods)
	return methods
}

// probe sees what a handler would answer.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }

// fail answers with a problem, unless an answer has begun.
func (s *Server) fail(a *answering, p *Problem) {
	s.sign(a, p)
	if a.status == 0 {
		writeProblem(a, p)
	}
}

// sign puts the request's id on a problem, and the cause of it into the log.
func (s *Server) sign(a *answering, p *Problem) {
	p.RequestID, a.detail = a.id, p.Detail
	if p.cause != nil {
		s.Log.Error("admin request failed", slog.String("id", a.id), slog.String("operation", a.operation), slog.Any("err", p.cause))
	}
}

// note counts a request and writes its line into the log.
func (s *Server) note(a *answering, r *http.Request, took time.Duration) {
	s.metrics.note(a.operation, a.status, took)
	s.trace(a, r)
	s.Log.Info("admin", slog.String("id", a.id), slog.String("operation", a.operation), slog.Int("status", a.status),
		slog.String("method", r.Method), slog.String("path", s.plain(r.URL.Path)),
		slog.String("org", string(a.by.Org)), slog.String("user", string(a.by.User)), slog.String("key", string(a.by.Key)),
		slog.Float64("total_ms", float64(took.Microseconds())/1000), slog.String("client", s.Client(r)))
}

// plain is text from a client for the log: without what is a secret, or looks like one.
func (s *Server) plain(text string) string {
	if key := s.AdminKey.Reveal(); key != "" {
		text = strings.ReplaceAll(text, key, s.AdminKey.String())
	}
	return tenancy.HideSecrets(text)
}
