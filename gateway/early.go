package gateway

import (
	"bytes"
	"errors"
	"net"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"
)

// What is decided before a body is read. fasthttp shows us the head alone here, no connection, and forgets the head of
// every body that it can not read. So a refusal is a body limit of one byte, and the reason is kept under the address of
// the head, which is the same when refuseEarly or the handler asks for it. The handler checks everything once more.

// early is what headReceived leaves of a head.
type early struct {
	why error  // it was refused
	uri string // of a mounted path: it decides on the shape of every refusal
}

// markRefused marks a head that was refused, for the handler: a body of no more than a byte gets that far. A client
// that sends the field itself only refuses itself.
const markRefused = "X-Vel-Refused"

// largeBody is from where it pays to look at the key before the body comes.
const largeBody = 64 << 10

// headReceived refuses what needs no body and gives a large body the time that it needs.
func (s *Server) headReceived(h *fasthttp.RequestHeader) (cfg fasthttp.RequestConfig) {
	length := h.ContentLength()
	chunked := length == -1
	if s.mounted(h) != nil {
		return s.mountedHead(h, length, chunked)
	}
	if length <= largeBody && !chunked {
		return cfg
	}
	if why := s.refusesHead(h, chunked); why != nil {
		s.leave(h, early{why: why})
		cfg.MaxRequestBodySize = 1
		return cfg
	}
	if chunked {
		length = int(s.config.Server.MaxBody)
	}
	cfg.ReadTimeout = timeFor(length)
	return cfg
}

func (s *Server) refusesHead(h *fasthttp.RequestHeader, chunked bool) error {
	if chunked && hasLengthField(h) {
		return errTwoLengths // fasthttp would take one and keep the connection, and a proxy before us may have taken the other
	}
	_, err := s.pipe.known(s.pipe.Snapshot(), presentedKey(h))
	return err
}

// mountedHead bounds a body below a mounted path, whoever sends it: what is presented there need be no key.
func (s *Server) mountedHead(h *fasthttp.RequestHeader, length int, chunked bool) (cfg fasthttp.RequestConfig) {
	if length <= 0 && !chunked {
		return cfg
	}
	left := early{uri: string(h.RequestURI())}
	cfg.MaxRequestBodySize = s.maxMounted(left.uri)
	if chunked {
		length = cfg.MaxRequestBodySize
	}
	cfg.ReadTimeout = timeFor(max(maxMountedBody, min(length, cfg.MaxRequestBodySize)))
	if chunked && hasLengthField(h) {
		left.why, cfg.MaxRequestBodySize = errTwoLengths, 1
	}
	s.leave(h, left)
	return cfg
}

// timeFor is how long a body of this size may take.
func timeFor(length int) time.Duration {
	return headTimeout + time.Duration(length/slowestBody)*time.Second
}

// leave keeps what is known of a head. The address is no pointer, so that a head of which nobody asks again, because
// its client left in the middle, can go; the next one at its place takes its entry.
func (s *Server) leave(h *fasthttp.RequestHeader, e early) {
	if e.why != nil {
		h.Set(markRefused, "1")
		h.SetConnectionClose()
	}
	s.heads.Store(uintptr(unsafe.Pointer(h)), e)
}

// earlier takes what headReceived left.
func (s *Server) earlier(h *fasthttp.RequestHeader) early {
	e, _ := s.heads.LoadAndDelete(uintptr(unsafe.Pointer(h)))
	left, _ := e.(early)
	return left
}

func marked(h *fasthttp.RequestHeader) bool { return len(h.Peek(markRefused)) > 0 }

// hasLengthField looks for the field itself: with a chunked body fasthttp forgets its value.
func hasLengthField(h *fasthttp.RequestHeader) bool {
	for line := range bytes.Lines(h.RawHeaders()) {
		name, _, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(bytes.TrimSpace(name), []byte("Content-Length")) {
			return true
		}
	}
	return false
}

// refuseEarly answers a request that could not be read. The client may still be sending: the connection lingers,
// so that it reads the answer instead of a reset.
func (s *Server) refuseEarly(ctx *fasthttp.RequestCtx, err error) {
	c := connOf(ctx)
	if c != nil {
		c.linger.Store(true)
	}
	h := &ctx.Request.Header
	left := s.earlier(h)
	if left.uri != "" {
		h.SetRequestURI(left.uri)
	}
	below := s.mounted(h) != nil
	if !below {
		s.cors.allow(ctx)
	}
	s.refuse(ctx, earlyFault(left.why, c, err, below))
}

func earlyFault(why error, c *conn, err error, below bool) error {
	small, timeout := (*fasthttp.ErrSmallBuffer)(nil), net.Error(nil)
	switch {
	case why != nil:
		return why
	case c != nil && c.overfull:
		return errTooManyBodies
	case errors.Is(err, fasthttp.ErrBodyTooLarge) && below:
		return errTooLargeBelow
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return errTooLarge
	case errors.As(err, &small):
		return errLargeHead
	case errors.As(err, &timeout) && timeout.Timeout():
		return errSlow
	}
	return errMalformed
}
