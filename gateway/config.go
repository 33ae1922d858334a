// Package gateway serves the OpenAI API: it takes a call through its phases, from the key to the record.
//
// It owns the data plane's listener and what crosses it. It does not own where a call goes (package routing),
// who calls (package tenancy) or what providers speak (package adapters).
package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Config is the room's part of the file: where the data plane listens and what it lets in.
type Config struct {
	Listen string       `yaml:"listen" jsonschema:"description=Address and port of the API. PORT replaces the port."`
	Server ServerConfig `yaml:"server" jsonschema:"description=What the listener lets in and for how long."`

	// AdminListen is a second address for everything but /v1, with the two probes; empty: the same port. In the
	// file it stands in the block admin, which several rooms share, so package config hands it over.
	AdminListen string `yaml:"-"`
}

// ServerConfig bounds what clients may send and says whom to believe.
type ServerConfig struct {
	MaxBody         Size           `yaml:"max_body" jsonschema:"description=The largest request body; a larger one gets 413."`
	MaxUpload       Size           `yaml:"max_upload" jsonschema:"description=The largest file that is sent to the API in one request, such as the items of a batch; a larger one gets 413. At most server.max_body_in_flight counts."`
	MaxBodyInFlight Size           `yaml:"max_body_in_flight" jsonschema:"description=The memory that all request bodies may take together."`
	Drain           time.Duration  `yaml:"drain" jsonschema:"description=How long a stop waits for open streams."`
	TLS             TLSConfig      `yaml:"tls" jsonschema:"description=Files that are read again when they change; empty: plain HTTP behind a load balancer."`
	TrustedProxies  []netip.Prefix `yaml:"trusted_proxies" jsonschema:"description=Networks whose X-Forwarded-For is believed."`
	CORS            CORSConfig     `yaml:"cors" jsonschema:"description=Browser clients."`
}

// TLSConfig names the PEM files of the listener's certificate.
type TLSConfig struct {
	Cert string `yaml:"cert" jsonschema:"description=The certificate chain as a PEM file."`
	Key  string `yaml:"key" jsonschema:"description=The private key as a PEM file."`
}

// CORSConfig says which pages may call from a browser.
type CORSConfig struct {
	Origins []string `yaml:"origins" jsonschema:"description=Origins as https://app.example.com; * is every origin."`
}

// Defaults is what holds without a file.
func Defaults() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		Server: ServerConfig{MaxBody: 64 << 20, MaxUpload: 256 << 20, MaxBodyInFlight: 1 << 30, Drain: 30 * time.Second},
	}
}

// Validate reports every fault through fault, with its dotted path in the file and what to do about it. It
// opens no file and no port, so that a configuration can be checked on another machine.
func (c *Config) Validate(fault func(path, problem, hint string)) {
	validateAddress(c.Listen, "listen", fault)
	if c.AdminListen != "" {
		validateAddress(c.AdminListen, "admin.listen", fault)
		if c.AdminListen == c.Listen {
			fault("admin.listen", "is the same address as listen", "leave it empty to serve both on one port")
		}
	}
	c.Server.validate(fault)
}

func (s *ServerConfig) validate(fault func(path, problem, hint string)) {
	if s.MaxBody <= 0 {
		fault("server.max_body", "must be more than 0", "write a size such as 64MiB")
	}
	if s.MaxUpload <= 0 {
		fault("server.max_upload", "must be more than 0", "write a size such as 256MiB")
	}
	if s.MaxBodyInFlight < s.MaxBody {
		fault("server.max_body_in_flight", fmt.Sprintf("is less than server.max_body (%s), so the largest body could never be taken", s.MaxBody),
			"make it at least as large as server.max_body")
	}
	if (s.TLS.Cert == "") != (s.TLS.Key == "") {
		fault("server.tls", "names only one of cert and key", "name both files, or neither for plain HTTP")
	}
	for i, origin := range s.CORS.Origins {
		if !validOrigin(origin) {
			fault(fmt.Sprintf("server.cors.origins[%d]", i), fmt.Sprintf("%q is not an origin", origin),
				"write scheme and host without a path, such as https://app.example.com, or *")
		}
	}
}

func validateAddress(address, path string, fault func(path, problem, hint string)) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		fault(path, fmt.Sprintf("%q is not an address with a port", address), "write it as 127.0.0.1:8080, [::1]:8080 or :8080")
		return
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		fault(path, fmt.Sprintf("%q is not a port", port), "write a number from 0 to 65535; 0 takes a free port")
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		fault(path, fmt.Sprintf("%q is not an IP address of this machine", host), "write 127.0.0.1, 0.0.0.0, [::] or localhost")
	}
}

func validOrigin(origin string) bool {
	if origin == "*" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Scheme+"://"+u.Host == origin
}
