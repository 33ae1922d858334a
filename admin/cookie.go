package admin

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/vel-gateway/vel/admin/issuer"
)

// The cookies that a browser may have of us.
const (
	sessionCookie = "vel"         // the token of a session
	flowCookie    = "vel-sign-on" // what must be known when the issuer sends somebody back; sealed
)

// jar says how cookies go to and come from the browser that made a request. By TLS they have the prefix __Host-, which
// binds them to this host alone. In plain HTTP there are only those of a browser on the same machine as its Vel, and
// anywhere else none: whoever is on the way could take them.
type jar struct {
	prefix string
	closed bool // there are none
}

func jarOf(r *http.Request) jar {
	if encrypted(r) {
		return jar{prefix: "__Host-"}
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]")
	}
	return jar{closed: !issuer.Loopback(host)}
}

// encrypted tells whether the client's side is TLS: ours, or that of a proxy which is trusted to say so. The gateway
// takes the word of all others away.
func encrypted(r *http.Request) bool {
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	return r.TLS != nil || strings.EqualFold(strings.TrimSpace(proto), "https")
}

// open refuses where there are no cookies.
func (j jar) open() error {
	if j.closed {
		return notEncrypted.new("Cookies need https. If a proxy speaks it for Vel, name the proxy in server.trusted_proxies and let it send X-Forwarded-Proto.")
	}
	return nil
}

// read is the value of a cookie; empty: there is none.
func (j jar) read(r *http.Request, name string) string {
	if c, err := r.Cookie(j.prefix + name); err == nil && !j.closed {
		return c.Value
	}
	return ""
}

// cookie is one that lives for a while, as Set-Cookie. No script reads it, and no other site's request but a link brings it.
func (j jar) cookie(name, value string, life time.Duration) string {
	c := http.Cookie{
		Name: j.prefix + name, Value: value, Path: "/", MaxAge: int(life.Seconds()), Secure: j.prefix != "", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1 // it is taken away
	}
	return c.String()
}

// sameSite refuses what a page of another site makes a browser send: the browser adds the cookies by itself.
func (s *Server) sameSite(r *http.Request) error {
	if err := s.crossOrigin.Check(r); err != nil {
		return crossOrigin.new("A page of another site has made this request.")
	}
	return nil
}

// newCrossOrigin believes the pages of this host, and of the address by which people know it: a proxy may have
// replaced the name of the host.
func newCrossOrigin(cfg *OIDC) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	if origin, ok := strings.CutSuffix(cfg.RedirectURL, CallbackPath); ok {
		_ = p.AddTrustedOrigin(origin) // what is no origin is nobody's
	}
	return p
}
