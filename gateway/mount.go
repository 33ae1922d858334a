package gateway

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxMountedBody is the largest request body below a mounted path: there are forms and small JSON, and whoever sends
// them is not known before the handler has looked.
const maxMountedBody = 1 << 20

// maxMounted is that, or less where server.max_body is less; on a path that takes files it is server.max_upload.
func (s *Server) maxMounted(uri string) int {
	path, _, _ := strings.Cut(uri, "?")
	if s.Uploads != nil && s.Uploads(path) {
		return int(min(s.config.Server.MaxUpload, s.config.Server.MaxBodyInFlight))
	}
	return min(maxMountedBody, int(s.config.Server.MaxBody))
}

// mounts are the handlers of paths that are none of the data plane's.
type mounts []mount

type mount struct {
	prefix  string
	handler http.Handler
}

// Mount hands everything at and below a path, such as /api, to a handler: on the port of admin.listen if there is one,
// else on the data plane's. Nothing below it reaches the data plane. It is called before Start.
//
// The handler's request is its own copy, its context ends when the client leaves or when a drain is over, and its
// RemoteAddr is the client behind the trusted proxies, with port 0. It has X-Forwarded-Proto only from one of those. The
// body has at most 1 MiB, unless Uploads says that its path takes files.
func (s *Server) Mount(prefix string, h http.Handler) {
	if s.admin != nil {
		s.admin.mounts = append(s.admin.mounts, mount{prefix, h})
		return
	}
	s.mounts = append(s.mounts, mount{prefix, h})
}

// find gives the handler of a path, or nil. It compares the exact bytes of the request line; every call passes here.
func (m mounts) find(uri string) http.Handler {
	for i := range m {
		if rest, ok := strings.CutPrefix(uri, m[i].prefix); ok && (rest == "" || rest[0] == '/' || rest[0] == '?') {
			return m[i].handler
		}
	}
	return nil
}

// mounted gives the handler of a request on the data plane's port, or nil.
func (s *Server) mounted(h *fasthttp.RequestHeader) http.Handler {
	return s.mounts.find(view(h.RequestURI()))
}

// serveMounted answers a request on a mounted path.
func (s *Server) serveMounted(ctx *fasthttp.RequestCtx, h http.Handler) {
	head := &ctx.Request.Header
	why := s.earlier(head).why
	if marked(head) {
		connOf(ctx).served()
		s.refuse(ctx, cmp.Or(why, error(errMalformed)))
		ctx.SetConnectionClose()
		return
	}
	s.bridge(ctx, h)
}

// standard makes a request for net/http. All that it says is copied, for a handler may keep it and fasthttp uses its own
// memory again; only a large body is taken away from there instead, so that it is in memory once.
func (s *Server) standard(ctx *fasthttp.RequestCtx) (*http.Request, error) {
	h := &ctx.Request.Header
	uri := string(h.RequestURI())
	parsed, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, fmt.Errorf("read the path: %w", err)
	}
	body := ownBody(&ctx.Request)
	r := &http.Request{
		Method: string(h.Method()), URL: parsed, RequestURI: uri, Host: string(h.Host()), Header: http.Header{},
		Proto: string(h.Protocol()), ProtoMajor: 1, Body: http.NoBody, ContentLength: int64(len(body)),
		RemoteAddr: net.JoinHostPort(s.clientOf(ctx), "0"), TLS: ctx.TLSConnectionState(),
	}
	if h.IsHTTP11() {
		r.ProtoMinor = 1
	}
	if len(body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	for name, value := range h.All() {
		if name := string(name); name != "Host" && name != "Transfer-Encoding" {
			r.Header.Add(name, string(value))
		}
	}
	s.distrust(r, connOf(ctx).peer)
	return r, nil
}

// ownBody gives the body in memory that is the caller's alone.
func ownBody(r *fasthttp.Request) []byte {
	if len(r.Body()) > largeBody {
		return r.SwapBody(nil)
	}
	return bytes.Clone(r.Body())
}

// distrust takes away what only a trusted proxy may say of the client's side.
func (s *Server) distrust(r *http.Request, peer netip.Addr) {
	if !s.trusts(peer) {
		r.Header.Del("X-Forwarded-Proto")
	}
}
