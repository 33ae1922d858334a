package tests

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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/simulator"
	"github.com/vel-gateway/vel/tests/vel"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vel's tests"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns a certificate for 127.0.0.1 with this serial number, and its key, as PEM.
func (a *authority) issue(t *testing.T, serial int64) (cert, key []byte) {
	t.Helper()
	own := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.cert, &own.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// put writes a certificate and its key into files, each moved into place.
func put(t *testing.T, dir string, cert, key []byte) {
	t.Helper()
	for name, content := range map[string][]byte{"key.pem": key, "cert.pem": cert} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path+".new", content, 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
}

// serial is the number of the certificate that a new connection sees.
func (a *authority) serial(t *testing.T, addr string) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: a.pool})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// secureVel starts a Vel that speaks TLS with certificate number 2.
func secureVel(t *testing.T, a *authority, sim *simulated) (p *vel.Process, dir string) {
	t.Helper()
	dir = t.TempDir()
	cert, key := a.issue(t, 2)
	put(t, dir, cert, key)
	o := options(sim.config(`, tls: {cert: "` + filepath.Join(dir, "cert.pem") + `", key: "` + filepath.Join(dir, "key.pem") + `"}`))
	o.TLS = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool}, DisableKeepAlives: true}
	return vel.Start(t, o), dir
}

func TestTLS(t *testing.T) {
	t.Parallel()
	w := shared(t)
	a := newAuthority(t)
	p, dir := secureVel(t, a, simulate(t))
	x := dialTLS(t, a, p.Addr())
	if got := x.send(t, w.raw(chat("sim-echo", "secretly", ""))).content(t); got != "secretly" {
		t.Errorf("got %q", got)
	}
	s := x.send(t, w.raw(chat("sim-fast", "[[latency=0s chunks=300 delay=1ms]] hi", streaming)))
	stream{s, events(s.body)}.whole(t)

	// A new certificate is taken up; the open connection lives on.
	cert, key := a.issue(t, 3)
	put(t, dir, cert, key)
	err := vel.Poll(deadline(t), "the new certificate", func() (bool, error) { return a.serial(t, p.Addr()) == 3, nil })
	if err != nil {
		t.Error(err)
	}
	x.extend(t)
	if got := x.send(t, w.raw(chat("sim-echo", "still secretly", ""))).content(t); got != "still secretly" {
		t.Errorf("got %q", got)
	}

	// A broken one is not.
	put(t, dir, []byte("no certificate"), key)
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Log.Wait(deadline(t), "a complaint about server.tls", func(line string) bool {
		return strings.Contains(line, "server.tls")
	}); err != nil {
		t.Error(err)
	}
	if n := a.serial(t, p.Addr()); n != 3 {
		t.Errorf("certificate %d, want the old one, 3", n)
	}
}

// TestPlainOnTLSPort: a client that forgot https must not hang, and must not take Vel with it.
func TestPlainOnTLSPort(t *testing.T) {
	t.Parallel()
	w := shared(t)
	a := newAuthority(t)
	p, _ := secureVel(t, a, simulate(t))
	x := dial(t, p.Addr())
	x.write(t, w.raw(chat("sim-echo", "hi", "")))
	x.rest(t)
	if got := dialTLS(t, a, p.Addr()).send(t, w.raw(chat("sim-echo", "hi", ""))).content(t); got != "hi" {
		t.Errorf("got %q", got)
	}
}

// TestClientLeavesTLS: leaving is seen below TLS, on both sides of Vel.
func TestClientLeavesTLS(t *testing.T) {
	t.Parallel()
	w := shared(t)
	a := newAuthority(t)
	cert, key := a.issue(t, 7)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	sim := simulateWith(t, simulator.Config{TLS: &tls.Config{Certificates: []tls.Certificate{pair}}})
	dir := t.TempDir()
	cert, key = a.issue(t, 2)
	put(t, dir, cert, key)
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(complete(`
server: {tls: {cert: "` + filepath.Join(dir, "cert.pem") + `", key: "` + filepath.Join(dir, "key.pem") + `"}}
providers:
  sim: {kind: openai, base_url: "` + sim.URL() + `/v1", api_key: env:SIM_KEY, allow_private: true, tls: {ca: "` + ca + `"}}
models:
  sim-fast: {targets: [{provider: sim}]}
  sim-echo: {targets: [{provider: sim}]}
`))
	o.TLS = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool}, DisableKeepAlives: true}
	p := vel.Start(t, o)
	for i, body := range []string{
		chat("sim-fast", "[[latency=1m]] hi", ""),
		chat("sim-fast", "[[latency=1m]] hi", streaming),
		chat("sim-fast", "[[latency=0s chunks=1000 delay=50ms]] hi", streaming),
	} {
		x := dialTLS(t, a, p.Addr())
		x.write(t, w.raw(body))
		if _, err := sim.Await(deadline(t), func(s simulator.Stats) bool { return s.Open == 1 }); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			if _, err := io.ReadFull(x.in, make([]byte, 2000)); err != nil {
				t.Fatal(err)
			}
		}
		left := time.Now()
		_ = x.conn.Close()
		if _, err := sim.Await(deadline(t), func(s simulator.Stats) bool { return s.Left == int64(i+1) && s.Open == 0 }); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(left); d > time.Second {
			t.Errorf("the provider noticed after %s, must be within 1s", d)
		}
	}
	if got := dialTLS(t, a, p.Addr()).send(t, w.raw(chat("sim-echo", "through two TLS layers", ""))).content(t); got != "through two TLS layers" {
		t.Errorf("got %q", got)
	}
}
