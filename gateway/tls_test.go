package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// served is what the listener would show: a certificate with this key, read from files.
func served(t *testing.T, public, private any) *certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"vel.example"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := &certificate{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem")}
	err = errors.Join(
		os.WriteFile(c.certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(c.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600), c.load())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTLSVersionsAndSuites offers what old clients do. What is not modern fails, whatever the certificate.
func TestTLSVersionsAndSuites(t *testing.T) {
	t.Parallel()
	elliptical, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	certificates := map[string]*certificate{"ECDSA": served(t, &elliptical.PublicKey, elliptical), "RSA": served(t, &old.PublicKey, old)}
	for name, c := range map[string]struct {
		lowest, highest uint16
		suites          []uint16
		version         uint16 // that is agreed on; 0: none
	}{
		"whatever it can": {tls.VersionTLS10, 0, nil, tls.VersionTLS13},
		"1.2 with GCM": {tls.VersionTLS12, tls.VersionTLS12, []uint16{
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		}, tls.VersionTLS12},
		"1.2 with ChaCha": {tls.VersionTLS12, tls.VersionTLS12, []uint16{
			tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		}, tls.VersionTLS12},
		"1.0": {tls.VersionTLS10, tls.VersionTLS10, nil, 0},
		"1.1": {tls.VersionTLS11, tls.VersionTLS11, nil, 0},
		"1.2 with CBC": {tls.VersionTLS12, tls.VersionTLS12, []uint16{
			tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
		}, 0},
		"1.2 with keys by RSA": {tls.VersionTLS12, tls.VersionTLS12, []uint16{
			tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_RSA_WITH_AES_128_CBC_SHA,
		}, 0},
		"1.2 with RC4 or 3DES": {tls.VersionTLS12, tls.VersionTLS12, []uint16{
			tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA,
		}, 0},
	} {
		for kind, cert := range certificates {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				client := &tls.Config{MinVersion: c.lowest, MaxVersion: c.highest, CipherSuites: c.suites, InsecureSkipVerify: true}
				version, err := agree(t, cert.config(), client)
				if version != c.version || (err == nil) != (c.version != 0) {
					t.Errorf("agreed on %s, %v; want %s", tls.VersionName(version), err, tls.VersionName(c.version))
				}
			})
		}
	}
}

// agree shakes hands and gives the version that both took.
func agree(t *testing.T, server, client *tls.Config) (version uint16, err error) {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = tls.Server(ours, server).HandshakeContext(t.Context())
		_ = ours.Close()
	}()
	c := tls.Client(theirs, client)
	if err = c.HandshakeContext(t.Context()); err == nil {
		version = c.ConnectionState().Version
	}
	_ = theirs.Close()
	<-ended
	return version, err
}
