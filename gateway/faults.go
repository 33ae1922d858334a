package gateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// The gateway's own words for what is wrong. How they become an answer is in errors.go.

// Faults of a request, found before a provider is asked.
var (
	errNoKey = invalid(http.StatusUnauthorized, "invalid_api_key", "",
		"You didn't provide an API key. Send your Vel key in the Authorization header: Authorization: Bearer YOUR_KEY.")
	errBadKey = invalid(http.StatusUnauthorized, "invalid_api_key", "",
		"Incorrect API key provided. It must be a key of this Vel gateway, not one of a provider.")
	errTooLarge = invalid(http.StatusRequestEntityTooLarge, "request_too_large", "",
		"The request body is larger than this gateway accepts (server.max_body).")
	errTooLargeBelow = invalid(http.StatusRequestEntityTooLarge, "request_too_large", "",
		"The request body is larger than this API accepts.")
	errSlow       = invalid(http.StatusRequestTimeout, "request_timeout", "", "The request did not arrive in time.")
	errLargeHead  = invalid(http.StatusRequestHeaderFieldsTooLarge, "headers_too_large", "", "The request's header fields are too large.")
	errMalformed  = invalid(http.StatusBadRequest, "malformed_request", "", "The request is not valid HTTP/1.1.")
	errTwoLengths = invalid(http.StatusBadRequest, "malformed_request", "", "A request may have Content-Length or Transfer-Encoding, not both.")
)

// What is wrong with Vel itself.
var (
	errTooManyBodies = later("overloaded", "Too many large requests are in flight. Try again shortly.")
	errFull          = later("overloaded", "This gateway has no connection left. Try again shortly.")
	// errDatabase is no refusal: the key may be good, and nobody can say so now.
	errDatabase = later("database_unavailable", "The database that knows this key can not be reached. Try again shortly.")
	// errUnwell is what a target whose breaker is open answers without being asked.
	errUnwell   = later("provider_unavailable", "The provider is failing and is given time to recover.")
	errInternal = &adapters.Error{
		Class: adapters.ClassInternal, Status: http.StatusInternalServerError, Type: "server_error", Code: "internal_error", Message: "internal error",
	}
)

// invalid is an error that the client can mend.
func invalid(status int, code, param, message string) *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassInvalid, Status: status, Type: "invalid_request_error", Code: code, Param: param, Message: message,
	}
}

// later is an error that time mends.
func later(code, message string) *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassOverloaded, Status: http.StatusServiceUnavailable, Type: "server_error", Code: code, Message: message,
		RetryAfter: time.Second,
	}
}

func errUnknownPath(method, path string) *adapters.Error {
	return invalid(http.StatusNotFound, "unknown_url", "", "Invalid URL ("+method+" "+path+").")
}

func errMethod(method, path, allowed string) *adapters.Error {
	return invalid(http.StatusMethodNotAllowed, "method_not_allowed", "", "Not allowed to "+method+" on "+path+". Expected "+allowed+".")
}

func errNotServed(path string) *adapters.Error {
	return invalid(http.StatusNotImplemented, "unsupported_endpoint", "", "Vel does not serve "+path+" yet.")
}

func errUnknownModel(model string) *adapters.Error {
	return invalid(http.StatusNotFound, "model_not_found", "model", "The model '"+model+"' does not exist. GET /v1/models lists the models of this key.")
}

// errDropped refuses a call on a strict route.
func errDropped(fields []string) *adapters.Error {
	return invalid(http.StatusBadRequest, "unsupported_parameter", fields[0],
		"The model's provider does not take these fields as they were meant: "+strings.Join(fields, ", ")+".")
}

// ofRouting says why a call goes nowhere.
func ofRouting(c *Call, r routing.Refusal) *adapters.Error {
	model := c.question.Model
	switch r {
	case routing.UnknownModel:
		return errUnknownModel(model)
	case routing.NotAllowed:
		return invalid(http.StatusForbidden, "model_not_allowed", "model", "This API key may not use the model '"+model+"'.")
	case routing.NotServed:
		return invalid(http.StatusNotImplemented, "unsupported_endpoint", "model",
			"No provider of the model '"+model+"' serves "+c.Content.Endpoint.String()+".")
	case routing.NotOwned:
		return invalid(http.StatusNotImplemented, "unsupported_endpoint", "",
			"Stored objects need a provider whose account is your organization's alone (providers.NAME.organizations with one entry), and there is none.")
	case routing.Ambiguous:
		return invalid(http.StatusBadRequest, "ambiguous_provider", "",
			"Several providers could hold this object. Name one in the header x-vel-provider.")
	case routing.NoTarget:
		return &adapters.Error{
			Class: adapters.ClassConnect, Status: http.StatusServiceUnavailable, Type: "server_error", Code: "no_provider_available",
			Message: "No provider of the model '" + model + "' can be used: its credential is not configured.",
		}
	}
	return errInternal
}
