package gateway

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/accounting"
)

// The fields that tell a client what is left of its limits, as bytes, because setting them must cost nothing.
var (
	limitRequests     = []byte("X-Ratelimit-Limit-Requests")
	remainingRequests = []byte("X-Ratelimit-Remaining-Requests")
	resetRequests     = []byte("X-Ratelimit-Reset-Requests")
	limitTokens       = []byte("X-Ratelimit-Limit-Tokens")
	remainingTokens   = []byte("X-Ratelimit-Remaining-Tokens")
	resetTokens       = []byte("X-Ratelimit-Reset-Tokens")
)

// writeLimits tells what is left of the limits that count the call: of the tightest of requests and of tokens.
func writeLimits(to *fasthttp.ResponseHeader, r *accounting.Reservation) {
	if r.Empty() {
		return
	}
	requests, tokens := r.Tightest()
	writeShown(to, &requests, limitRequests, remainingRequests, resetRequests)
	writeShown(to, &tokens, limitTokens, remainingTokens, resetTokens)
}

func writeShown(to *fasthttp.ResponseHeader, s *accounting.Shown, limit, remaining, reset []byte) {
	if !s.OK {
		return
	}
	var room [24]byte
	to.SetCanonical(limit, strconv.AppendInt(room[:0], s.Limit, 10))
	to.SetCanonical(remaining, strconv.AppendInt(room[:0], max(s.Remaining, 0), 10))
	to.SetCanonical(reset, appendReset(room[:0], s.Reset))
}

// appendReset appends a time as OpenAI writes it: 20ms, 7s, 6m0s, 1h0m0s. It is never shorter than what is meant.
func appendReset(b []byte, d time.Duration) []byte {
	if d < time.Second {
		return append(strconv.AppendInt(b, int64((max(d, 0)+time.Millisecond-1)/time.Millisecond), 10), "ms"...)
	}
	s := int64((d + time.Second - 1) / time.Second)
	if s >= 3600 {
		b = append(strconv.AppendInt(b, s/3600, 10), 'h')
	}
	if s >= 60 {
		b = append(strconv.AppendInt(b, s/60%60, 10), 'm')
	}
	return append(strconv.AppendInt(b, s%60, 10), 's')
}
