package admin

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
	"sync"
)

// problemPage is how a person sees a problem.
var problemPage = sync.OnceValue(func() *template.Template {
	return template.Must(template.ParseFS(web, "web/problem.html"))
})

// show fails as a browser's reader can read it, and as everybody else does.
func (s *Server) show(a *answering, r *http.Request, p *Problem) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.fail(a, p)
		return
	}
	s.sign(a, p)
	var page bytes.Buffer
	if err := problemPage().Execute(&page, p); err != nil {
		panic(err) // the page is our own
	}
	for name, values := range p.header {
		a.Header()[name] = values
	}
	a.Header().Set("Content-Type", "text/html; charset=utf-8")
	a.Header().Set("Content-Security-Policy", pagePolicy)
	a.WriteHeader(p.Status)
	_, _ = a.Write(page.Bytes()) // the client may be gone
}
