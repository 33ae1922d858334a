package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/routing"
)

// ErrPrivateAddress refuses a provider whose name leads to a loopback, private or link-local address without
// allow_private. It is decided on the address that is dialled, so that no DNS answer gets around it.
var ErrPrivateAddress = errors.New("the provider's address is private and allow_private is not set")

// errProxyKind refuses a proxy that is not spoken to by plain HTTP.
var errProxyKind = errors.New("the proxy in the environment must be http://, it is")

// errProxy says that the proxy did not open the tunnel.
var errProxy = errors.New("the proxy refused the tunnel")

// dialer opens connections to one provider: dual stack, through a proxy if one is set, with TLS if the base
// URL asks for it.
type dialer struct {
	address string // host:port of the provider
	proxy   *url.URL
	tls     *tls.Config // nil: plain
	net     net.Dialer
}

func newDialer(p *routing.Provider) (*dialer, error) {
	d := &dialer{address: hostPort(p.Base), proxy: p.Proxy}
	d.net = net.Dialer{KeepAlive: 15 * time.Second}
	if d.proxy == nil {
		var err error
		if d.proxy, err = http.ProxyFromEnvironment(&http.Request{URL: p.Base}); err != nil {
			return nil, fmt.Errorf("read the proxy from the environment: %w", err)
		}
	}
	if d.proxy != nil && d.proxy.Scheme != "http" {
		return nil, fmt.Errorf("%w: %s", errProxyKind, d.proxy.Scheme)
	}
	if !p.AllowPrivate && d.proxy == nil { // a proxy is the operator's own and resolves names itself
		d.net.ControlContext = refusePrivate
	}
	if p.Base.Scheme == "https" {
		d.tls = &tls.Config{
			ServerName: p.Base.Hostname(), RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(64), // without one each connect is a full handshake
		}
	}
	return d, nil
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		if port = "80"; u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func refusePrivate(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse the dialled address: %w", err)
	}
	if routing.Private(at.Addr()) {
		return ErrPrivateAddress
	}
	return nil
}

func (d *dialer) dial(ctx context.Context) (net.Conn, *net.TCPConn, error) {
	address := d.address
	if d.proxy != nil {
		address = hostPort(d.proxy)
	}
	raw, err := d.net.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the provider: %w", err)
	}
	tcp := raw.(*net.TCPConn) // "tcp" gives no other
	stream, err := d.secure(ctx, tcp)
	if err != nil {
		_ = tcp.Close()
		return nil, nil, err
	}
	return stream, tcp, nil
}

// secure puts the tunnel and TLS on a connection that stands.
func (d *dialer) secure(ctx context.Context, tcp *net.TCPConn) (net.Conn, error) {
	if d.proxy != nil {
		stop := context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(past) })
		err := d.tunnel(tcp)
		if !stop() || err != nil {
			return nil, errors.Join(err, ctx.Err())
		}
	}
	if d.tls == nil {
		return tcp, nil
	}
	secure := tls.Client(tcp, d.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS handshake with the provider: %w", err)
	}
	return secure, nil
}

// tunnel asks an HTTP proxy for a tunnel (CONNECT), for http and https upstreams alike.
func (d *dialer) tunnel(tcp *net.TCPConn) error {
	head := "CONNECT " + d.address + " HTTP/1.1\r\nHost: " + d.address + "\r\n"
	if u := d.proxy.User; u != nil {
		password, _ := u.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)) + "\r\n"
	}
	if _, err := tcp.Write([]byte(head + "\r\n")); err != nil {
		return fmt.Errorf("ask the proxy for a tunnel: %w", err)
	}
	var answer fasthttp.ResponseHeader
	answer.SetNoDefaultContentType(true)
	br := bufio.NewReader(tcp)
	if err := answer.Read(br); err != nil {
		return fmt.Errorf("read the proxy's answer: %w", err)
	}
	if answer.StatusCode() != fasthttp.StatusOK || br.Buffered() != 0 {
		return fmt.Errorf("%w: status %d", errProxy, answer.StatusCode())
	}
	return nil
}
