package routing

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
)

func (k checker) provider(at, name string, p *ProviderConfig) {
	k.form(at, name, nameForm, "a provider's name has letters, digits, dots, dashes and underscores, at most 64; it stands in headers and ids")
	if p.Kind == "" {
		k.fault(at+".kind", "is missing", "write one of: "+strings.Join(kinds, ", ")+"; every OpenAI-compatible server is openai")
	}
	k.oneOf(at+".kind", p.Kind, kinds)
	k.oneOf(at+".api", p.API, apis)
	if p.API != "" && p.Kind == "groq" {
		k.fault(at+".api", "belongs to the kinds openai and perplexity", "remove it: Groq has both")
	}
	k.base(at+".base_url", p)
	k.key(at+".api_key", p)
	k.proxy(at+".proxy", p.Proxy)
	k.text(at+".tls.ca", "the path", p.TLS.CA)
	k.timeouts(at+".timeouts", &p.Timeouts)
	if p.Timeouts.Total != nil {
		k.fault(at+".timeouts.total", "is the limit of a call, not of a provider", "write it under defaults.timeouts or under a model")
	}
	k.breaker(at+".breaker", &p.Breaker)
	k.account(at, p)
	if d := p.Probe; d != nil && (*d < shortestProbe || *d > longestProbe) {
		k.fault(at+".probe", "must be 1s to 24h", "write a duration as 30s; leave it out, and calls alone find out whether a target is back")
	}
}

// How often a target may be probed.
const (
	shortestProbe = time.Second
	longestProbe  = 24 * time.Hour
)

// base checks where the API begins. A URL with a name and password or with a query would carry a secret into logs.
func (k checker) base(at string, p *ProviderConfig) {
	if p.BaseURL == "" {
		return
	}
	u, ok := k.url(at, p.BaseURL, "http", "https")
	if !ok {
		return
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(p.BaseURL, "#") {
		k.fault(at, "has a query or a fragment", "write scheme, host and path only, as https://api.example.com/v1")
	}
	if !p.AllowPrivate && privateHost(u) {
		k.fault(at, fmt.Sprintf("%s is a loopback or private address", u.Hostname()), "write allow_private: true beside it if that is meant")
	}
}

func (k checker) key(at string, p *ProviderConfig) {
	switch {
	case p.APIKey == nil:
		k.fault(at, "is missing", "write a reference as env:NAME or file:PATH, or none for a server that wants no key")
	case strings.ContainsFunc(p.APIKey.Reveal(), func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsGraphic(r) || r == ' ' }):
		k.fault(at, "has a character that can not stand in a header", "look for a line break or a space at its end")
	}
}

func (k checker) proxy(at, proxy string) {
	if proxy == "" {
		return
	}
	if u, ok := k.url(at, proxy, "http"); ok && (u.RawQuery != "" || strings.Trim(u.Path, "/") != "") {
		k.fault(at, "has more than scheme, host and port", "write it as http://proxy.example.com:3128")
	}
}

// url reports what every URL of the file must not be. It never quotes the URL: it may hold a password.
func (k checker) url(at, raw string, schemes ...string) (*url.URL, bool) {
	if strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		k.fault(at, "has a space or a control character", "write the URL on one line")
		return nil, false
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme):
		k.fault(at, "is no URL with "+strings.Join(schemes, " or "), "write it as "+schemes[0]+"://host:port")
		return nil, false
	case u.User != nil:
		k.fault(at, "has a user or password in it", "write the credential as api_key; a proxy's comes from the environment (HTTPS_PROXY)")
		return nil, false
	}
	return u, true
}

func (k checker) account(at string, p *ProviderConfig) {
	for i, org := range p.Organizations {
		here := fmt.Sprintf("%s.organizations[%d]", at, i)
		k.text(here, "the name", string(org))
		if org == "" {
			k.fault(here, "is empty", "write a name under organizations")
		} else if slices.Contains(p.Organizations[:i], org) {
			k.fault(here, fmt.Sprintf("%q stands there twice", string(org)), "remove one")
		}
	}
	if p.Organizations != nil && len(p.Organizations) == 0 {
		k.fault(at+".organizations", "is empty", "leave the line out if everybody may use the provider")
	}
	if l := p.Limits; l != nil {
		for _, n := range []struct {
			name string
			is   *int64
		}{{"rpm", l.RPM}, {"in_flight", l.InFlight}} {
			if n.is != nil && *n.is < 1 {
				k.fault(at+".limits."+n.name, "must be at least 1", "leave the line out if there is no limit")
			}
		}
	}
	k.prices(at+".prices", p)
}
