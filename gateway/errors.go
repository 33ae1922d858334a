package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// This file alone turns an error into bytes for a client: OpenAI's shape, all four members, a code that is a
// string or null, no text of Go's and no secret. Below a mounted path it is a problem of RFC 9457.

// answer is an error as a client sees it.
type answer struct {
	status      int
	retryAfter  time.Duration // 0: not said
	shouldRetry string        // x-should-retry; empty: the SDK decides by status
	body        []byte
}

// refuse decides what the client sees of an error. c may have got no further than its id.
func refuse(c *Call, err error) answer {
	e := inWords(c, err)
	a := answer{status: statusOf(c, e), retryAfter: e.RetryAfter}
	a.body = appendError(nil, e, c.scrub)
	switch {
	case never(err), e.Class == adapters.ClassQuota, e.Class == adapters.ClassCredential, a.status == http.StatusConflict && e.RetryAfter == 0, e == errInternal:
		a.shouldRetry = "false" // nothing is better the next time
	case len(c.record.Attempts) > 1 && a.status >= http.StatusInternalServerError && a.retryAfter == 0:
		a.shouldRetry = "false" // Vel has tried what there is; the SDK's retries would multiply it
	}
	return a
}

// inWords gives every error the words for a client.
func inWords(c *Call, err error) *adapters.Error {
	if e, ok := errors.AsType[*adapters.Error](err); ok {
		return ofProvider(e)
	}
	if r, ok := errors.AsType[routing.Refusal](err); ok {
		return ofRouting(c, r)
	}
	if d, ok := errors.AsType[*accounting.Denied](err); ok {
		return ofDenied(c, d)
	}
	switch {
	case errors.Is(err, accounting.ErrUnpriced):
		return errUnpriced
	case opensNothing(err):
		return errBadKey
	case unavailable(err):
		return errDatabase
	}
	return errInternal
}

// opensNothing tells whether an error says that a key is none of ours, or no longer one.
func opensNothing(err error) bool {
	return errors.Is(err, tenancy.ErrUnknownKey) || errors.Is(err, tenancy.ErrKeyDisabled) || errors.Is(err, tenancy.ErrKeyExpired)
}

// unavailable tells whether an error says that nothing can be said of a key, because its database is away.
func unavailable(err error) bool {
	_, away := errors.AsType[*tenancy.Unavailable](err)
	return away || errors.Is(err, tenancy.ErrKeyStale)
}

// ofProvider completes an error of an attempt: what a provider did not say in OpenAI's words gets a type and a
// code, and what concerns our own account at the provider is none of the client's business.
func ofProvider(e *adapters.Error) *adapters.Error {
	if e.Class == adapters.ClassInternal || e.Class == adapters.ClassOvertaken { // of the other attempt the client hears
		return errInternal
	}
	words := *e
	if e.Class == adapters.ClassCredential {
		words.Type, words.Code, words.Param, words.Body = "server_error", "provider_credential", "", nil
		words.Message = "The provider refused this gateway's credential. The operator of the gateway has to correct it."
	}
	if words.Type == "" {
		words.Type = "server_error"
	}
	if words.Code == "" && words.Body == nil {
		words.Code = codes[e.Class]
	}
	return &words
}

var codes = map[adapters.Class]string{
	adapters.ClassTimeout: "provider_timeout", adapters.ClassOverloaded: "provider_overloaded", adapters.ClassServer: "provider_error",
	adapters.ClassConnect: "provider_unreachable", adapters.ClassReset: "provider_connection_lost", adapters.ClassGarbage: "provider_invalid_answer",
	adapters.ClassTruncated: "provider_answer_truncated", adapters.ClassDraining: "shutting_down", adapters.ClassGone: "client_left",
}

// statusOf is the status for the client. What the request caused keeps the provider's status; what the provider
// or the way to it caused is a 5xx of ours.
func statusOf(c *Call, e *adapters.Error) int {
	switch e.Class {
	case adapters.ClassInvalid:
		if e.Status >= 400 && e.Status <= 599 {
			return e.Status
		}
		return http.StatusBadRequest
	case adapters.ClassRate, adapters.ClassQuota:
		return http.StatusTooManyRequests
	case adapters.ClassOverloaded, adapters.ClassDraining:
		return http.StatusServiceUnavailable
	case adapters.ClassTimeout:
		return http.StatusGatewayTimeout
	case adapters.ClassServer:
		if e.Status >= 500 && e.Status <= 599 {
			return e.Status
		}
	case adapters.ClassInternal:
		return http.StatusInternalServerError
	case adapters.ClassConnect:
		if e.Status != 0 || len(c.plan.Targets) > 1 {
			return http.StatusServiceUnavailable // not one provider: all of them
		}
	}
	return http.StatusBadGateway
}

// scrub takes out of a text what must neither be told nor kept: every secret that is known here, and the key that opened the
// call, of which a database has only a hash.
func (c *Call) scrub(text string) string {
	if c.snapshot != nil {
		text = c.snapshot.Redactor.Scrub(text)
	}
	if c.Who != nil {
		text = c.unkeyed(text)
	}
	return text
}

// unkeyed is a text without the key that opened the call.
func (c *Call) unkeyed(text string) string {
	if len(c.Key) == 0 {
		return text
	}
	return strings.ReplaceAll(text, view(c.Key), "***")
}

// appendError appends the body of an error answer.
func appendError(b []byte, e *adapters.Error, scrub func(string) string) []byte {
	if e.Body != nil {
		return append(b, scrub(string(e.Body))...) // with the members that only this provider has
	}
	b = append(b, `{"error":{"message":`...)
	b = appendString(b, scrub(e.Message))
	b = append(b, `,"type":`...)
	b = appendString(b, scrub(e.Type))
	b = append(b, `,"param":`...)
	b = appendOrNull(b, scrub(e.Param))
	b = append(b, `,"code":`...)
	b = appendOrNull(b, scrub(e.Code))
	return append(b, "}}"...)
}

// problems are the kinds of errors on a mounted path, by their status: type and title, as package admin has them.
var problems = map[int][2]string{
	http.StatusBadRequest:            {"malformed", "Malformed request"},
	http.StatusNotFound:              {"not-found", "Not found"},
	http.StatusRequestTimeout:        {"slow-body", "The body did not arrive"},
	http.StatusRequestEntityTooLarge: {"too-large", "Too large"},
	http.StatusInternalServerError:   {"internal", "Internal error"},
	http.StatusServiceUnavailable:    {"unavailable", "Not available now"},
}

// appendProblem appends the body of an error answer on a mounted path, where the shape is that of RFC 9457.
func appendProblem(b []byte, status int, id string, e *adapters.Error) []byte {
	kind := problems[status]
	b = append(b, `{"type":"urn:vel:problem:`...)
	b = append(b, kind[0]...)
	b = append(b, `","title":`...)
	b = appendString(b, kind[1])
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `,"detail":`...)
	b = appendString(b, e.Message)
	b = append(b, `,"request_id":`...)
	b = appendString(b, id)
	return append(b, '}')
}

// appendErrorEvent appends the event that ends a broken stream. Empty lines come first: the provider may have
// stopped in the middle of an event.
//
// A stream of Responses has an error event of its own kind, which not every SDK raises: it gets both shapes in one.
func appendErrorEvent(b []byte, endpoint adapters.Endpoint, e *adapters.Error, scrub func(string) string) []byte {
	words := *ofProvider(e)
	words.Body = nil // it may have line ends, which end an event
	if endpoint != adapters.Responses {
		b = append(b, "\n\ndata: "...)
		b = appendError(b, &words, scrub)
		return append(b, "\n\n"...)
	}
	b = append(b, "\n\nevent: error\ndata: {\"type\":\"error\",\"code\":"...)
	b = appendOrNull(b, scrub(words.Code))
	b = append(b, `,"message":`...)
	b = appendString(b, scrub(words.Message))
	b = append(b, `,"param":null,`...)
	b = append(b, appendError(nil, &words, scrub)[1:]...) // "error":{…}}
	return append(b, "\n\n"...)
}

func appendOrNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// appendString appends a JSON string, without the escapes for HTML that encoding/json makes.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s { // an invalid byte comes out as U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xf])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// classOf is the class of any error, for the record.
func classOf(err error) adapters.Class {
	if e, ok := errors.AsType[*adapters.Error](err); ok {
		return e.Class
	}
	if _, ok := errors.AsType[routing.Refusal](err); ok {
		return adapters.ClassInvalid
	}
	if d, ok := errors.AsType[*accounting.Denied](err); ok {
		return classOfDenied(d)
	}
	switch {
	case opensNothing(err), errors.Is(err, accounting.ErrUnpriced):
		return adapters.ClassInvalid
	case unavailable(err):
		return errDatabase.Class
	}
	return adapters.ClassInternal
}

// retryAfterSeconds is the whole number of seconds for retry-after, never less than what is meant.
func retryAfterSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
