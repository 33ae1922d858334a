package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// This file alone turns an error into bytes for a client: OpenAI's shape, all four members, a code that is a
// string or null, no text of Go's and no secret.

// Faults of the request itself, found before a provider is asked.
var (
	errNoKey = &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusUnauthorized, Type: "invalid_request_error", Code: "invalid_api_key",
		Message: "You didn't provide an API key. Send your Vel key in the Authorization header: Authorization: Bearer YOUR_KEY.",
	}
	errBadKey = &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusUnauthorized, Type: "invalid_request_error", Code: "invalid_api_key",
		Message: "Incorrect API key provided. It must be a key of this Vel gateway, not one of a provider.",
	}
	errTooLarge = &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error", Code: "request_too_large",
		Message: "The request body is larger than this gateway accepts (server.max_body).",
	}
	errTooManyBodies = &adapters.Error{
		Class: adapters.ClassOverloaded, Status: http.StatusServiceUnavailable, Type: "server_error", Code: "overloaded",
		Message: "Too many large requests are in flight. Try again shortly.", RetryAfter: time.Second,
	}
	errFull = &adapters.Error{
		Class: adapters.ClassOverloaded, Status: http.StatusServiceUnavailable, Type: "server_error", Code: "overloaded",
		Message: "This gateway has no connection left. Try again shortly.", RetryAfter: time.Second,
	}
	errSlow = &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusRequestTimeout, Type: "invalid_request_error", Code: "request_timeout",
		Message: "The request did not arrive in time.",
	}
	errLargeHead = &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusRequestHeaderFieldsTooLarge, Type: "invalid_request_error", Code: "headers_too_large",
		Message: "The request's header fields are too large.",
	}
	errMalformed = &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusBadRequest, Type: "invalid_request_error", Code: "malformed_request",
		Message: "The request is not valid HTTP/1.1.",
	}
	errTwoLengths = &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusBadRequest, Type: "invalid_request_error", Code: "malformed_request",
		Message: "A request may have Content-Length or Transfer-Encoding, not both.",
	}
	errInternal = &adapters.Error{
		Class: adapters.ClassInternal, Status: http.StatusInternalServerError, Type: "server_error", Code: "internal_error",
		Message: "internal error",
	}
)

func errUnknownPath(method, path string) *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusNotFound, Type: "invalid_request_error", Code: "unknown_url",
		Message: "Invalid URL (" + method + " " + path + ").",
	}
}

func errMethod(method, path, allowed string) *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusMethodNotAllowed, Type: "invalid_request_error", Code: "method_not_allowed",
		Message: "Not allowed to " + method + " on " + path + ". Expected " + allowed + ".",
	}
}

func errNotServed(path string) *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusNotImplemented, Type: "invalid_request_error", Code: "unsupported_endpoint",
		Message: "Vel does not serve " + path + " yet.",
	}
}

func errUnknownModel(model string) *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusNotFound, Type: "invalid_request_error", Code: "model_not_found", Param: "model",
		Message: "The model '" + model + "' does not exist. GET /v1/models lists the models of this key.",
	}
}

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
	var redactor *secrets.Redactor
	if c.snapshot != nil {
		redactor = c.snapshot.Redactor
	}
	a.body = appendError(nil, e, redactor)
	switch {
	case e.Class == adapters.ClassQuota, e.Class == adapters.ClassCredential, a.status == http.StatusConflict, e == errInternal:
		a.shouldRetry = "false" // nothing is better the next time
	case c.attempts > 1 && a.status >= http.StatusInternalServerError && a.retryAfter == 0:
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
	switch {
	case errors.Is(err, tenancy.ErrUnknownKey), errors.Is(err, tenancy.ErrKeyDisabled), errors.Is(err, tenancy.ErrKeyExpired):
		return errBadKey
	}
	return errInternal
}

func ofRouting(c *Call, r routing.Refusal) *adapters.Error {
	model := c.question.Model
	switch r {
	case routing.UnknownModel:
		return errUnknownModel(model)
	case routing.NotAllowed:
		return &adapters.Error{
			Class: adapters.ClassInvalid, Status: http.StatusForbidden, Type: "invalid_request_error", Code: "model_not_allowed", Param: "model",
			Message: "This API key may not use the model '" + model + "'.",
		}
	case routing.NotServed:
		return &adapters.Error{
			Class: adapters.ClassInvalid, Status: http.StatusNotImplemented, Type: "invalid_request_error", Code: "unsupported_endpoint", Param: "model",
			Message: "No provider of the model '" + model + "' serves " + c.Content.Endpoint.String() + ".",
		}
	case routing.NoTarget:
		return &adapters.Error{
			Class: adapters.ClassConnect, Status: http.StatusServiceUnavailable, Type: "server_error", Code: "no_provider_available",
			Message: "No provider of the model '" + model + "' can be used: its credential is not configured.",
		}
	}
	return errInternal
}

// ofProvider completes an error of an attempt: what a provider did not say in OpenAI's words gets a type and a
// code, and what concerns our own account at the provider is none of the client's business.
func ofProvider(e *adapters.Error) *adapters.Error {
	if e.Class == adapters.ClassInternal {
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

// appendError appends the body of an error answer.
func appendError(b []byte, e *adapters.Error, r *secrets.Redactor) []byte {
	if e.Body != nil {
		return append(b, r.Scrub(string(e.Body))...) // with the members that only this provider has
	}
	b = append(b, `{"error":{"message":`...)
	b = appendString(b, r.Scrub(e.Message))
	b = append(b, `,"type":`...)
	b = appendString(b, r.Scrub(e.Type))
	b = append(b, `,"param":`...)
	b = appendOrNull(b, r.Scrub(e.Param))
	b = append(b, `,"code":`...)
	b = appendOrNull(b, r.Scrub(e.Code))
	return append(b, "}}"...)
}

// appendErrorEvent appends the event that ends a broken stream. Empty lines come first: the provider may have
// stopped in the middle of an event.
func appendErrorEvent(b []byte, e *adapters.Error, r *secrets.Redactor) []byte {
	words := *ofProvider(e)
	words.Body = nil // it may have line ends, which end an event
	b = append(b, "\n\ndata: "...)
	b = appendError(b, &words, r)
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
	if errors.Is(err, tenancy.ErrUnknownKey) || errors.Is(err, tenancy.ErrKeyDisabled) || errors.Is(err, tenancy.ErrKeyExpired) {
		return adapters.ClassInvalid
	}
	return adapters.ClassInternal
}

// retryAfterSeconds is the whole number of seconds for retry-after, never less than what is meant.
func retryAfterSeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
