package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/gateway/upstream"
)

func testListener(t *testing.T) *listener {
	t.Helper()
	tcp, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	w, err := upstream.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	l := newListener(tcp, w, nil, 1<<20, 16, func(net.Addr) {})
	t.Cleanup(func() {
		_ = l.Close()
		l.wait()
		_ = w.Close()
	})
	return l
}

// pair accepts one client.
func (l *listener) pair(t *testing.T) (*conn, *net.TCPConn) {
	t.Helper()
	theirs, err := net.DialTCP("tcp", nil, l.tcp.Addr().(*net.TCPAddr))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	return ours.(*conn), theirs
}

// Running out of descriptors passes: the listener must not end with it, because fasthttp ends with the listener.
func TestAcceptOutlivesItsFailures(t *testing.T) {
	t.Parallel()
	l := testListener(t)
	honest, failures := l.accept, 2
	l.accept = func() (*net.TCPConn, error) {
		if failures--; failures >= 0 {
			return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
		}
		return honest()
	}
	l.pair(t)
	l.accept = func() (*net.TCPConn, error) { return nil, syscall.EMFILE }
	ended := make(chan error, 1)
	go func() { _, err := l.Accept(); ended <- err }()
	_ = l.Close()
	if err := within(t, "accept to end", ended); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A client that takes nothing does not hold its connection for ever, and the deadline of one answer does not kill
// the next.
func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	l := testListener(t)
	l.stall = 200 * time.Millisecond
	ours, theirs := l.pair(t)
	in := make([]byte, 5)
	for range 3 {
		if _, err := ours.Write([]byte("hello")); err != nil {
			t.Fatalf("the answer after a pause: %v", err)
		}
		if _, err := io.ReadFull(theirs, in); err != nil {
			t.Fatal(err)
		}
		<-time.After(l.stall + l.stall/4) // the deadline itself has to pass
	}
	piece := make([]byte, 1<<20)
	var err error
	for err == nil {
		_, err = ours.Write(piece)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that takes nothing: %v", err)
	}
}

// Close comes twice, from fasthttp's shutdown and from its worker: the second must not touch what is another's.
func TestCloseTwice(t *testing.T) {
	t.Parallel()
	l := testListener(t)
	first, _ := l.pair(t)
	first.received = 100_000
	if !first.reserve() || l.bodies.used.Load() != 100_000 {
		t.Fatalf("%d bytes counted", l.bodies.used.Load())
	}
	_ = first.Close()
	second, _ := l.pair(t)
	_ = first.Close()
	if l.bodies.used.Load() != 0 || l.open() != 1 {
		t.Errorf("%d bytes counted, %d connections", l.bodies.used.Load(), l.open())
	}
	_ = second.Close()
	l.closing.Wait()
}

// A lingering connection lets the client finish its sentence, and no more of them linger than there are places.
func TestLingerIsBounded(t *testing.T) {
	t.Parallel()
	l := testListener(t)
	for range lingerPlaces {
		l.places <- struct{}{}
	}
	ours, theirs := l.pair(t)
	ours.linger.Store(true)
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read %v, want the end", err)
	}
	for range lingerPlaces {
		<-l.places
	}
}

func TestBodyBound(t *testing.T) {
	t.Parallel()
	b := bodyBound{max: 10}
	if !b.take(10) || b.take(1) || b.used.Load() != 10 {
		t.Errorf("%d used", b.used.Load())
	}
	b.give(10)
	if !b.take(1) {
		t.Error("what was given back is not free")
	}
}

// writePair writes a certificate for 127.0.0.1 and returns the pool that believes it.
func writePair(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, content := range map[string][]byte{certFile: certificate, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return roots
}

func TestListenerTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	roots := writePair(t, certFile, keyFile, 1)
	reached, cancelled := make(chan struct{}), make(chan struct{})
	h := newHouse(t, []func(*asked) bool{func(a *asked) bool {
		a.send(streamHead + chunk(piece))
		close(reached)
		a.gone()
		close(cancelled)
		return false
	}}, func(h *house) { h.config.Server.TLS = TLSConfig{Cert: certFile, Key: keyFile} })
	dial := func(roots *x509.CertPool) (*tls.Conn, error) {
		return tls.Dial("tcp", h.Addr().String(), &tls.Config{RootCAs: roots})
	}
	c, err := dial(roots)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, request("POST", "/v1/chat/completions", streamBody, "Authorization: Bearer "+goodKey))
	within(t, "the provider to be reached", reached)
	first := make([]byte, 12)
	if _, err := io.ReadFull(c, first); err != nil || string(first) != "HTTP/1.1 200" {
		t.Fatalf("%q, error %v", first, err)
	}
	_ = c.Close() // the watcher looks below TLS
	within(t, "the provider to see that the call was given up", cancelled)
	h.settled(1)

	next := writePair(t, certFile, keyFile, 2)
	if err := h.ReloadTLS(); err != nil {
		t.Fatal(err)
	}
	if c, err := dial(next); err != nil {
		t.Errorf("the new certificate: %v", err)
	} else {
		_ = c.Close()
	}
	if err := os.WriteFile(keyFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.ReloadTLS(); err == nil {
		t.Error("a broken file was taken")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: next}, DisableKeepAlives: true}
	r, err := (&http.Client{Transport: transport}).Get("https://" + h.Addr().String() + "/healthz")
	if err != nil {
		t.Fatalf("after a reload that failed: %v", err)
	}
	_ = r.Body.Close()
}
