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

// Faults of a call on what a provider keeps.
var (
	errForm  = invalid(http.StatusBadRequest, "unsupported_content_type", "", "This path takes JSON.")
	errApart = invalid(http.StatusBadRequest, "different_providers", "",
		"The call names objects that are kept by different providers. Make copies at one of them.")
	errTooManyNamed = invalid(http.StatusBadRequest, "too_many_objects", "", "The call names more objects than Vel looks up for one call (4096).")
	errFewFit       = invalid(http.StatusBadRequest, "too_many_objects", "",
		"None of the newest objects fits the filter, and Vel looks at no more than 1000 for one list. Go on after a later one, or list without the filter.")
)

// Faults of a call that is made once.
var (
	errLongKey   = invalid(http.StatusBadRequest, "invalid_value", "idempotency-key", "Invalid header 'idempotency-key': expected at most 255 bytes.")
	errKeyReused = invalid(http.StatusUnprocessableEntity, "idempotency_key_reused", "idempotency-key",
		"This Idempotency-Key was used for another request. Use another key for another request.")
	errAnswerLarge = invalid(http.StatusConflict, "idempotency_answer_too_large", "idempotency-key",
		"The first request with this Idempotency-Key was made, but its answer was too large to be kept (cache.max_answer).")
	errAnswerLost = invalid(http.StatusConflict, "idempotency_answer_lost", "idempotency-key",
		"The first request with this Idempotency-Key was made, but its answer can not be read any more.")
	errStillRuns = &adapters.Error{
		Class: adapters.ClassInvalid, Status: http.StatusConflict, Type: "invalid_request_error", Code: "idempotency_in_progress", Param: "idempotency-key",
		Message: "The first request with this Idempotency-Key is still running on another node.", RetryAfter: time.Second,
	}
)

// errUnclaimed refuses a call of which nobody can know whether it was made.
func errUnclaimed(cause error) *adapters.Error {
	e := later("database_unavailable", "Vel's database does not answer, so it is not known whether this Idempotency-Key was used. Try again shortly.")
	e.Cause = cause
	return e
}

// What is wrong with Vel itself.
var (
	errTooManyBodies = later("overloaded", "Too many large requests are in flight. Try again shortly.")
	errFull          = later("overloaded", "This gateway has no connection left. Try again shortly.")
	// errDatabase is no refusal: the key may be good, and nobody can say so now.
	errDatabase = later("database_unavailable", "The database that knows this key can not be reached. Try again shortly.")
	// errUnwell is what a target whose breaker is open answers without being asked.
	errUnwell = later("provider_unavailable", "The provider is failing and is given time to recover.")
	// errNoDatabase is no 404: whose the object is can not be known now.
	errNoDatabase = later("database_unavailable", "Vel's database does not answer, so it is not known whose this object is. Try again shortly.")
	errEntry      = &adapters.Error{
		Class: adapters.ClassGarbage, Type: "server_error", Message: "A provider answered with something that can not stand in a list.",
	}
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

// errUnrecorded refuses a call of which nobody would know what it cost.
func errUnrecorded(cause error) *adapters.Error {
	e := later("recording_unavailable", "This gateway can not write down what calls cost now. Try again shortly.")
	e.Cause = cause
	return e
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

// errNoObject is the same for what does not exist and for what is somebody else's.
func errNoObject(n adapters.Named) *adapters.Error {
	if n.Param == "previous_response_id" {
		return invalid(http.StatusNotFound, "previous_response_not_found", n.Param, "Previous response with id '"+n.ID+"' not found.")
	}
	return invalid(http.StatusNotFound, "object_not_found", n.Param, "No such object: '"+n.ID+"'.")
}

// errElsewhere refuses a call for a model that is not where the object is.
func errElsewhere(model, holder string) *adapters.Error {
	return invalid(http.StatusBadRequest, "different_providers", "model",
		"The call names an object that the provider '"+holder+"' keeps, and the model '"+model+"' is not served from there.")
}

// errOwnAccount refuses a path of which Vel does not know what it could show.
func errOwnAccount(method, path string) *adapters.Error {
	return invalid(http.StatusNotImplemented, "unsupported_endpoint", "",
		method+" "+path+" needs a provider whose account is your organization's alone (providers.NAME.organizations with one entry), and there is none.")
}

func errQuery(name, why string) *adapters.Error {
	return invalid(http.StatusBadRequest, "invalid_value", name, "Invalid '"+name+"': "+why+".")
}

func errFilter(name, path string) *adapters.Error {
	return invalid(http.StatusBadRequest, "unsupported_parameter", name, "Vel can not filter the list of "+path+" by '"+name+"'.")
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
	case routing.NoAccount:
		return invalid(http.StatusNotImplemented, "unsupported_endpoint", "", "No provider that is open to your organization keeps objects.")
	case routing.NoSuchAccount:
		return invalid(http.StatusBadRequest, "unknown_provider", "x-vel-provider", "No provider of this name keeps objects of your organization.")
	case routing.NotHeld:
		return errNoObject(adapters.Named{})
	case routing.HeldElsewhere:
		return errElsewhere(model, "")
	case routing.Ambiguous:
		var names []string
		for i := range c.plan.Why {
			names = append(names, c.plan.Why[i].Provider)
		}
		return invalid(http.StatusBadRequest, "ambiguous_provider", "x-vel-provider",
			"Several providers could take this call: "+strings.Join(names, ", ")+". Name one in the header x-vel-provider.")
	case routing.ByRule:
		return invalid(http.StatusForbidden, "refused_by_rule", "model", c.plan.Refusal)
	case routing.NoTarget:
		return &adapters.Error{
			Class: adapters.ClassConnect, Status: http.StatusServiceUnavailable, Type: "server_error", Code: "no_provider_available",
			Message: "No provider of the model '" + model + "' can be used: its credential is not configured, or it is gone.",
		}
	}
	return errInternal
}
