package admin

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
)

// document is what Document makes, as it is committed and a test keeps it: to make it at each start would take longer than
// all the rest of the room.
//
//go:embed openapi.json
var document []byte

//go:embed web/docs.html web/docs.css web/docs.js web/problem.html
var web embed.FS

// serveDocument serves the OpenAPI document and the page that shows it.
func (s *Server) serveDocument() {
	s.mux.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // the client may be gone
	})
	for path, file := range map[string]string{"/api/docs": "docs.html", "/api/docs/docs.css": "docs.css", "/api/docs/docs.js": "docs.js"} {
		s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Security-Policy", pagePolicy)
			w.Header().Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, web, "web/"+file)
		})
	}
}

// Document is the OpenAPI document of the API. It depends on nothing but the code.
func (s *Server) Document() []byte {
	text, err := json.MarshalIndent(s.api.OpenAPI(), "", "  ")
	if err != nil {
		panic(fmt.Errorf("encode the OpenAPI document: %w", err)) // it is made of our own types
	}
	return append(text, '\n')
}
