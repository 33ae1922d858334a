package admin

import "net/http"

// apiPolicy lets a browser do nothing with an answer of the API but read it; pagePolicy lets a page load its own files
// and the API, and nothing else.
const (
	apiPolicy  = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// harden writes what every answer tells browsers: to guess no types, to tell no other site where they come from, to
// keep nothing, to let no other site frame, open or embed it, and to come back by TLS if they came by it.
func harden(h http.Header, r *http.Request) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", apiPolicy)
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	if encrypted(r) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}
