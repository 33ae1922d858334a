package upstream

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// identity makes a certificate for the provider, and the pool that believes it.
func identity(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}

func provideTLS(t testing.TB, script func(*peer)) *provider {
	t.Helper()
	cfg, roots := identity(t)
	p := provideOver(t, "https", script, func(c *net.TCPConn) net.Conn { return tls.Server(c, cfg) })
	p.RootCAs = roots
	p.pool.Close() // the pool was made before the roots were known
	p.use(t, p.Provider)
	return p
}

func TestTLS(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 60_000)
	var full, resumed atomic.Int64
	p := provideTLS(t, func(s *peer) {
		first := true
		for {
			if _, _, ok := s.request(); !ok {
				return
			}
			if state := s.stream.(*tls.Conn).ConnectionState(); first && state.DidResume {
				resumed.Add(1)
			} else if first {
				full.Add(1)
			}
			first = false
			s.send(chunkedHead + chunk("hello") + chunk(long) + "0\r\n\r\n")
		}
	})
	for range 3 {
		p.call(t, "hello"+long)
		p.call(t, "hello"+long)
		p.host().conns.CloseIdleConnections()
	}
	if p.accepted.Load() != 3 || full.Load() != 1 || resumed.Load() != 2 {
		t.Errorf("%d connections, %d full handshakes, %d resumed", p.accepted.Load(), full.Load(), resumed.Load())
	}
}

func TestTLSRefusesStrangers(t *testing.T) {
	t.Parallel()
	p := provideTLS(t, func(s *peer) { s.answer(fixed("secret")) })
	_, others := identity(t)
	stranger := *p.Provider
	stranger.RootCAs = others
	p.use(t, &stranger)
	x := p.acquire(t)
	sent, err := x.Open(ping(), ample, time.Time{})
	if sent || classOf(t, err) != adapters.ClassConnect {
		t.Errorf("sent %v, error %v", sent, err)
	}
	x.Finish(err)
}

func TestTLSCancel(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"for the first byte": "", "in a fixed body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "in a chunked body": chunkedHead + chunk("hello"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			written, left := make(chan struct{}), make(chan struct{})
			p := provideTLS(t, func(s *peer) {
				if s.number > 1 {
					s.answer(fixed("clean"))
					return
				}
				s.answer(answer)
				close(written)
				s.gone()
				close(left)
			})
			x := p.acquire(t)
			done := openApart(x)
			within(t, "the answer", written)
			x.Cancel()
			r := within(t, "the owner", done)
			if classOf(t, r.err) != adapters.ClassGone {
				t.Errorf("error %v", r.err)
			}
			x.Finish(r.err)
			within(t, "the provider to see the client leave", left)
			p.call(t, "clean")
		})
	}
}

// silentTLS is a provider that takes the connection and the client's hello, and never says a word.
func silentTLS(t *testing.T, hello chan struct{}) *provider {
	p := provide(t, func(s *peer) {
		if _, err := s.in.Peek(1); err == nil {
			hello <- struct{}{}
		}
		s.gone()
	})
	secure := *p.Provider
	base := *p.Base
	base.Scheme = "https"
	secure.Base = &base
	p.Provider = &secure
	p.use(t, p.Provider)
	return p
}

func TestTLSHandshakeEnds(t *testing.T) {
	t.Parallel()
	hello := make(chan struct{}, 2)
	p := silentTLS(t, hello)
	x := p.acquire(t)
	done := openApart(x)
	within(t, "the client's hello", hello)
	x.Cancel()
	r := within(t, "the owner", done)
	x.Finish(r.err)
	if r.sent || classOf(t, r.err) != adapters.ClassGone {
		t.Errorf("cancelled: sent %v, error %v", r.sent, r.err)
	}
	x = p.acquire(t)
	sent, err := x.Open(ping(), routing.Timeouts{Connect: brief, FirstByte: patience}, time.Time{})
	x.Finish(err)
	if sent || classOf(t, err) != adapters.ClassConnect || p.held() != 0 {
		t.Errorf("timeout: sent %v, error %v, %d places taken", sent, err, p.held())
	}
}

func TestTLSDeadlines(t *testing.T) {
	t.Parallel()
	p := provideTLS(t, func(s *peer) {
		s.answer(chunkedHead + chunk("data: {}\n\n"))
		s.gone()
	})
	x := p.open(t)
	if _, err := x.Next(); err != nil {
		t.Fatal(err)
	}
	x.Streaming(brief)
	_, err := readAll(x)
	if classOf(t, err) != adapters.ClassTimeout {
		t.Errorf("error %v", err)
	}
	x.Finish(err)
}

// Bytes that the TLS layer has decrypted but nobody read are not in the socket: only a look into the layer finds
// them before they become the next caller's answer.
func TestTLSPlaintextLeftOver(t *testing.T) {
	t.Parallel()
	cfg, roots := identity(t)
	cfg.MaxVersion = tls.VersionTLS12
	p := provideOver(t, "https", func(s *peer) {
		if s.number > 1 {
			s.answer(fixed("clean"))
			return
		}
		// Two records in one segment: the client's read of the first brings both into its TLS layer.
		_, _, _ = s.request()
		w := bufio.NewWriterSize(s.TCPConn, 1<<16)
		under := s.stream.(*tls.Conn).NetConn().(*gathering)
		under.to = w
		s.send(fixed("mine"))
		s.send(fixed("of another caller"))
		under.to = nil
		_ = w.Flush()
		s.gone()
	}, func(c *net.TCPConn) net.Conn { return tls.Server(&gathering{TCPConn: c}, cfg) })
	p.RootCAs = roots
	p.pool.Close()
	p.use(t, p.Provider)
	p.call(t, "mine")
	p.call(t, "clean")
	if n := p.accepted.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// gathering puts what is written into one segment.
type gathering struct {
	*net.TCPConn
	to *bufio.Writer
}

func (g *gathering) Write(p []byte) (int, error) {
	if g.to != nil {
		return g.to.Write(p)
	}
	return g.TCPConn.Write(p)
}
