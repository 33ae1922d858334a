package upstream

import (
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// The guard looks at the address that is dialled, so a name that leads to it is refused as well.
func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]", "[64:ff9b::7f00:1]"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			p := provide(t, func(s *peer) { s.answer(fixed("internal")) })
			_, port, _ := net.SplitHostPort(p.Base.Host)
			guarded := *p.Provider
			guarded.AllowPrivate, guarded.Base = false, &url.URL{Scheme: "http", Host: host + ":" + port}
			p.use(t, &guarded)
			x := p.acquire(t)
			sent, err := x.Open(ping(), routing.Timeouts{Connect: brief, FirstByte: patience}, time.Time{})
			if sent || classOf(t, err) != adapters.ClassConnect || !errors.Is(err, ErrPrivateAddress) {
				t.Errorf("sent %v, error %v", sent, err)
			}
			x.Finish(err)
			if n := p.accepted.Load(); n != 0 {
				t.Errorf("%d connections reached the private address", n)
			}
		})
	}
}

func TestErrorsNameNoAddressToClients(t *testing.T) {
	t.Parallel()
	p := provide(t, func(*peer) {})
	address := unusedAddress(t)
	p.host().dialer.address = address
	x := p.acquire(t)
	_, err := x.Open(ping(), ample, time.Time{})
	x.Finish(err)
	if e, _ := errors.AsType[*adapters.Error](err); strings.Contains(e.Message, "127.") || !strings.Contains(e.Error(), address) {
		t.Errorf("message %q, for the log %q", e.Message, e.Error())
	}
}

// throughProxy sends a provider's connections through a scripted proxy.
func throughProxy(t *testing.T, user *url.Userinfo, script func(*peer)) (*provider, *provider) {
	t.Helper()
	target := provide(t, func(s *peer) {
		for s.answer(fixed("through")) {
		}
	})
	proxy := provide(t, script)
	behind := *target.Provider
	behind.Proxy = &url.URL{Scheme: "http", Host: proxy.Base.Host, User: user}
	target.use(t, &behind)
	return target, proxy
}

// tunnel is what an honest proxy does with a CONNECT that has the right credential.
func tunnel(credential string) func(*peer) {
	return func(s *peer) {
		r, err := http.ReadRequest(s.in)
		if err != nil || r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != credential {
			s.send("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
			return
		}
		c, err := net.Dial("tcp", r.Host)
		if err != nil {
			s.send("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
			return
		}
		defer func() { _ = c.Close() }()
		s.send("HTTP/1.1 200 Connection established\r\n\r\n")
		done := make(chan struct{})
		go func() { defer close(done); _, _ = io.Copy(s.stream, c); _ = s.CloseWrite() }()
		_, _ = io.Copy(c, s.in)
		_ = c.(*net.TCPConn).CloseWrite()
		<-done
	}
}

func TestProxy(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]*url.Userinfo{"open": nil, "with credentials": url.UserPassword("vel", "p:w€"), "with a name alone": url.User("vel")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := ""
			if user != nil {
				password, _ := user.Password()
				want = "Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password))
			}
			p, proxy := throughProxy(t, user, tunnel(want))
			p.call(t, "through")
			p.call(t, "through")
			if proxy.accepted.Load() != 1 || p.accepted.Load() != 1 {
				t.Errorf("%d tunnels, %d connections", proxy.accepted.Load(), p.accepted.Load())
			}
		})
	}
}

func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]func(*peer){
		"a wrong credential": tunnel("Basic other"),
		"silence":            func(s *peer) { s.gone() },
		"the end":            func(*peer) {},
		"no HTTP":            func(s *peer) { s.answer("what?\r\n\r\n") },
		"bytes too many":     func(s *peer) { s.answer("HTTP/1.1 200 OK\r\n\r\n" + fixed("of the proxy's own")); s.gone() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := throughProxy(t, url.UserPassword("vel", "s3cret-proxy-word"), script)
			x := p.acquire(t)
			sent, err := x.Open(ping(), routing.Timeouts{Connect: 10 * brief, FirstByte: patience}, time.Time{})
			if sent || classOf(t, err) != adapters.ClassConnect {
				t.Errorf("sent %v, error %v", sent, err)
			}
			if strings.Contains(err.Error(), "s3cret-proxy-word") {
				t.Errorf("the error has the proxy's password: %v", err)
			}
			x.Finish(err)
			if n := p.held(); n != 0 {
				t.Errorf("%d places still taken", n)
			}
		})
	}
}

func TestProxyCancel(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	p, _ := throughProxy(t, nil, func(s *peer) {
		_, _, _ = s.request()
		close(asked)
		s.gone()
	})
	x := p.acquire(t)
	done := openApart(x)
	within(t, "the question to the proxy", asked)
	x.Cancel()
	r := within(t, "the owner", done)
	x.Finish(r.err)
	if r.sent || classOf(t, r.err) != adapters.ClassGone {
		t.Errorf("sent %v, error %v", r.sent, r.err)
	}
}
