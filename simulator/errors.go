package simulator

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// apiError is an error in OpenAI's shape. The texts are those that OpenAI sends, since clients have been
// seen to match them.
type apiError struct {
	status     int
	message    string
	kind       string // "type"; empty means invalid_request_error
	param      string // empty is sent as null
	code       string // empty is sent as null
	retryAfter opt[time.Duration]
}

// appendJSON writes the object with all four members, as the wire has it.
func (e *apiError) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"error":{"message":`...), e.message)
	b = appendString(append(b, `,"type":`...), e.kindOr("invalid_request_error"))
	b = appendNullable(append(b, `,"param":`...), e.param)
	b = appendNullable(append(b, `,"code":`...), e.code)
	return append(b, "}}"...)
}

func (e *apiError) kindOr(usual string) string {
	if e.kind == "" {
		return usual
	}
	return e.kind
}

func appendNullable(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// wait sets the headers that ask a client to come back later.
func (e *apiError) wait(h http.Header) {
	if !e.retryAfter.ok {
		return
	}
	d := e.retryAfter.v
	h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	h.Set("Retry-After-Ms", strconv.FormatInt(d.Milliseconds(), 10))
}

// send writes the error as the answer, in OpenAI's shape.
func (e *apiError) send(w http.ResponseWriter) {
	e.wait(w.Header())
	sendStatus(w, e.status, "application/json", e.appendJSON(nil))
}

// sendStatus writes a whole answer with a status.
func sendStatus(w http.ResponseWriter, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that is gone by now is not worth a word: the call is counted as refused.
	_, _ = w.Write(body)
}

func errNotJSON() *apiError {
	return &apiError{status: 400, message: "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your " +
		"HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble figuring out " +
		"how to fix this, please contact us through our help center at help.openai.com.)"}
}

func errMissing(param string) *apiError {
	return &apiError{status: 400, message: fmt.Sprintf("Missing required parameter: '%s'.", param), param: param, code: "missing_required_parameter"}
}

func errType(param, want, got string) *apiError {
	return &apiError{
		status: 400, param: param, code: "invalid_type",
		message: fmt.Sprintf("Invalid type for '%s': expected %s, but got %s instead.", param, want, got),
	}
}

func errValue(param, message string) *apiError {
	return &apiError{status: 400, message: message, param: param, code: "invalid_value"}
}

func errModel(model string) *apiError {
	return &apiError{status: 404, message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", model), code: "model_not_found"}
}

func errNoKey() *apiError {
	return &apiError{status: 401, message: "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer " +
		"auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with blank username) if you're accessing the API from your browser " +
		"and are prompted for a username and password. You can obtain an API key from https://platform.openai.com/account/api-keys."}
}

// errKey quotes the key in full. OpenAI stars the middle of a key that looks like its own and quotes others
// as they are: the worse case is the one to be tested.
func errKey(key string) *apiError {
	return &apiError{
		status: 401, code: "invalid_api_key",
		message: "Incorrect API key provided: " + key + ". You can find your API key at https://platform.openai.com/account/api-keys.",
	}
}

func errURL(method, path string) *apiError {
	return &apiError{status: 404, message: fmt.Sprintf("Invalid URL (%s %s)", method, path), code: "unknown_url"}
}

func errMethod(method, path string) *apiError {
	return &apiError{
		status: 405, code: "method_not_supported",
		message: fmt.Sprintf("Not allowed to %s on %s. (HINT: Perhaps you meant to use a different HTTP method?)", method, path),
	}
}

func errTooLarge(limit int64) *apiError {
	return &apiError{status: 413, message: fmt.Sprintf("Request body is larger than the maximum of %d bytes.", limit), code: "request_too_large"}
}

func errContext(param string, limit, got int) *apiError {
	return &apiError{
		status: 400, param: param, code: "context_length_exceeded",
		message: fmt.Sprintf("This model's maximum context length is %[1]d tokens. However, your %[2]s resulted in %[3]d tokens. "+
			"Please reduce the length of the %[2]s.", limit, param, got),
	}
}

// errStatus is the error that OpenAI sends with a status, for status=… and error_rate=….
func errStatus(status int, model string) *apiError {
	e := &apiError{status: status}
	switch {
	case status == 401:
		return &apiError{status: status, code: "invalid_api_key", message: "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."}
	case status == 403:
		e.message, e.code = "You are not allowed to sample from this model.", "model_not_allowed"
	case status == 404:
		return errModel(model)
	case status == 408:
		e.message, e.kind = "Request timed out.", "timeout"
	case status == 429:
		e.message, e.kind, e.code = fmt.Sprintf("Rate limit reached for %s in organization org-simulator on requests per min (RPM): Limit 500, Used 500, "+
			"Requested 1. Please try again in 120ms. Visit https://platform.openai.com/account/rate-limits to learn more.", model), "requests", "rate_limit_exceeded"
	case status == 503:
		e.message, e.kind = "The engine is currently overloaded, please try again later.", "server_error"
	case status >= 500:
		e.message, e.kind = "The server had an error while processing your request. Sorry about that!", "server_error"
	default:
		e.message = fmt.Sprintf("The simulator was asked for status %d.", status)
	}
	return e
}

// withCode gives the error another code, and what goes with a code that is a type as well.
func (e *apiError) withCode(code string) *apiError {
	e.code = code
	if code == "insufficient_quota" {
		e.kind = code
		e.message = "You exceeded your current quota, please check your plan and billing details. For more information on this error, " +
			"read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
	}
	return e
}
