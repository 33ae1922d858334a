package admin

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
)

// newProblemPage is how a person sees a problem.
func newProblemPage() *template.Template {
	return template.Must(template.ParseFS(web, "web/problem.html")) // it is our own
}

// show fails with a page for a person, and with a problem for everybody else.
func (s *Server) show(a *answering, r *http.Request, p *Problem) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.fail(a, p)
		return
	}
	s.sign(a, p)
	var page bytes.Buffer
	if err := s.problemPage.Execute(&page, p); err != nil {
		panic(err) // it asks only for what a problem has
	}
	for name, values := range p.header {
		a.Header()[name] = values
	}
	a.Header().Set("Content-Type", "text/html; charset=utf-8")
	a.Header().Set("Content-Security-Policy", pagePolicy)
	a.WriteHeader(p.Status)
	_, _ = a.Write(page.Bytes()) // the client may be gone
}
