package gateway

import (
	"bytes"
	"errors"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// What is decided before a body is read. fasthttp shows us the head alone here, no connection, and forgets the head of
// a chunked body that it refuses. So a refusal is a body limit of one byte, and the reason is kept under the address of
// the head, which is the same when refuseEarly or the handler asks for it. The handler checks everything once more.

// markRefused marks a head that was refused, for the handler: a body of no more than a byte gets that far. A client
// that sends the field itself only refuses itself.
const markRefused = "X-Vel-Refused"

// largeBody is from where it pays to look at the key before the body comes.
const largeBody = 64 << 10

// headReceived refuses what needs no body and gives a large body the time that it needs.
func (s *Server) headReceived(h *fasthttp.RequestHeader) (cfg fasthttp.RequestConfig) {
	length := h.ContentLength()
	chunked := length == -1
	if length <= largeBody && !chunked {
		return cfg
	}
	if why := s.refusesHead(h, chunked); why != nil {
		h.Set(markRefused, "1")
		h.SetConnectionClose()
		s.refused.Store(h, why)
		cfg.MaxRequestBodySize = 1
		return cfg
	}
	if chunked {
		length = int(s.config.Server.MaxBody)
	}
	cfg.ReadTimeout = headTimeout + time.Duration(length/slowestBody)*time.Second
	return cfg
}

func (s *Server) refusesHead(h *fasthttp.RequestHeader, chunked bool) error {
	if chunked && hasLengthField(h) {
		return errTwoLengths // fasthttp would take one and keep the connection, and a proxy before us may have taken the other
	}
	_, err := s.pipe.lookup(s.pipe.Snapshot(), presentedKey(h))
	return err
}

// whyRefused takes the reason that headReceived left, or nil.
func (s *Server) whyRefused(h *fasthttp.RequestHeader) error {
	if why, ok := s.refused.LoadAndDelete(h); ok {
		return why.(error)
	}
	return nil
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
	s.cors.allow(ctx)
	s.refuse(ctx, s.earlyFault(ctx, c, err))
}

func (s *Server) earlyFault(ctx *fasthttp.RequestCtx, c *conn, err error) error {
	small, timeout := (*fasthttp.ErrSmallBuffer)(nil), net.Error(nil)
	switch why := s.whyRefused(&ctx.Request.Header); {
	case why != nil:
		return why
	case c != nil && c.overfull:
		return errTooManyBodies
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return errTooLarge
	case errors.As(err, &small):
		return errLargeHead
	case errors.As(err, &timeout) && timeout.Timeout():
		return errSlow
	}
	return errMalformed
}
