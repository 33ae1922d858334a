package gateway

import (
	"bytes"
	"errors"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/tenancy"
)

// What is decided before a body is read. fasthttp shows us the head alone here, no connection; so a refusal is a
// low body limit, and refuseEarly finds out again why. The handler checks everything once more.

// markTwoLengths marks a head that has both framings. fasthttp would take one and keep the connection, and a proxy
// in front might have taken the other. A client that sends the field itself only refuses itself.
const markTwoLengths = "X-Vel-Two-Lengths"

// largeBody is from where it pays to look at the key before the body comes.
const largeBody = 64 << 10

// headReceived refuses what needs no body and gives a large body the time that it needs.
func (s *Server) headReceived(h *fasthttp.RequestHeader) (cfg fasthttp.RequestConfig) {
	length := h.ContentLength()
	chunked := length == -1
	if length <= largeBody && !chunked {
		return cfg
	}
	if chunked && hasLengthField(h) {
		h.Set(markTwoLengths, "1")
		h.SetConnectionClose()
	}
	switch known := s.known(h); {
	case chunked && (marked(h) || !known):
		// fasthttp forgets the head of a chunked body that it refuses. A small one is taken, so that the handler
		// can say what is wrong.
		cfg.MaxRequestBodySize = min(largeBody, int(s.config.Server.MaxBody))
		return cfg
	case !known:
		cfg.MaxRequestBodySize = 1
		return cfg
	case chunked:
		length = int(s.config.Server.MaxBody)
	}
	cfg.ReadTimeout = headTimeout + time.Duration(length/slowestBody)*time.Second
	return cfg
}

// known tells whether the request carries a key that opens anything.
func (s *Server) known(h *fasthttp.RequestHeader) bool {
	_, err := s.pipe.lookup(s.pipe.Snapshot(), presentedKey(h))
	return err == nil
}

func marked(h *fasthttp.RequestHeader) bool { return len(h.Peek(markTwoLengths)) > 0 }

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
	switch {
	case marked(&ctx.Request.Header):
		return errTwoLengths
	case c != nil && c.overfull:
		return errTooManyBodies
	case errors.Is(err, fasthttp.ErrBodyTooLarge) && ctx.Request.Header.ContentLength() <= 0: // chunked, and its head is gone
		if c != nil && c.received > int64(s.config.Server.MaxBody) {
			return errTooLarge
		}
		return tenancy.ErrUnknownKey
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		if key := presentedKey(&ctx.Request.Header); len(key) == 0 {
			return errNoKey
		}
		if !s.known(&ctx.Request.Header) {
			return tenancy.ErrUnknownKey
		}
		return errTooLarge
	case errors.As(err, &small):
		return errLargeHead
	case errors.As(err, &timeout) && timeout.Timeout():
		return errSlow
	}
	return errMalformed
}
