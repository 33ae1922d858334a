package openai

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// classify goes by the status, and by the few codes that say more than it.
func classify(e *adapters.Error) adapters.Class {
	if e.Status < 500 {
		switch {
		case said(e, "insufficient_quota", "billing_hard_limit_reached", "billing_not_active"):
			return adapters.ClassQuota
		case e.Code == "API_KEY_INVALID":
			return adapters.ClassCredential
		case said(e, "ThrottlingException"):
			return adapters.ClassRate
		}
	}
	switch s := e.Status; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		return adapters.ClassCredential
	case s == http.StatusPaymentRequired:
		return adapters.ClassQuota
	case s == http.StatusRequestTimeout:
		return adapters.ClassTimeout
	case s == http.StatusTooManyRequests:
		return adapters.ClassRate
	case s == http.StatusServiceUnavailable, s == 529, s == 498: // Anthropic: overloaded; Groq: no flex capacity
		return adapters.ClassOverloaded
	case 400 <= s && s < 500:
		return adapters.ClassInvalid
	}
	return adapters.ClassServer
}

func said(e *adapters.Error, words ...string) bool {
	for _, word := range words {
		if e.Code == word || e.Type == word {
			return true
		}
	}
	return false
}

// typeOf is OpenAI's word for what the provider gave no type to.
func typeOf(e *adapters.Error) string {
	switch e.Class {
	case adapters.ClassInvalid:
		return "invalid_request_error"
	case adapters.ClassCredential:
		return "authentication_error"
	case adapters.ClassRate:
		return "rate_limit_error"
	case adapters.ClassQuota:
		return "insufficient_quota"
	}
	return "server_error"
}

// statedStatus is the status that an error under a 200 stands for: a number that it names, or what its words
// mean; 500 otherwise.
func statedStatus(data []byte) int {
	root := unwrap(gjson.Parse(stringOf(data)))
	inner := root.Get("error")
	if !inner.IsObject() {
		inner = root
	}
	for _, name := range []string{"code", "status", "status_code", "raw_status_code"} {
		if n := inner.Get(name).Int(); 400 <= n && n <= 599 {
			return int(n)
		}
	}
	for _, name := range []string{"code", "type", "status"} {
		if n := statusOfWord(inner.Get(name).Str); n != 0 {
			return n
		}
	}
	return http.StatusInternalServerError
}

// statusOfWord knows the words of OpenAI, Anthropic, Google and vLLM.
func statusOfWord(word string) int {
	switch strings.ToLower(word) {
	case "invalid_request_error", "invalid_argument", "badrequesterror", "context_length_exceeded", "content_filter",
		"failed_precondition", "validationexception":
		return http.StatusBadRequest
	case "authentication_error", "invalid_api_key", "unauthenticated":
		return http.StatusUnauthorized
	case "permission_error", "permission_denied":
		return http.StatusForbidden
	case "not_found_error", "notfounderror", "model_not_found", "not_found":
		return http.StatusNotFound
	case "request_too_large":
		return http.StatusRequestEntityTooLarge
	case "rate_limit_error", "rate_limit_exceeded", "insufficient_quota", "resource_exhausted", "throttlingexception":
		return http.StatusTooManyRequests
	case "overloaded_error", "unavailable", "service_unavailable", "serviceunavailableerror", "modelnotreadyexception":
		return http.StatusServiceUnavailable
	}
	return 0
}

// amazonType is the exception that Bedrock names in a field: "ThrottlingException:http://…".
func amazonType(h adapters.Header) string {
	name, _, _ := strings.Cut(peek(h, "x-amzn-errortype"), ":")
	return name
}

// longest is the most that a provider may ask us to wait.
const longest = 24 * time.Hour

// retryAfter reads how long to wait, from the finest of the fields that say so. A date is taken relative to the
// answer's own Date, since a codec has no clock, and so that a clock that is wrong does no harm.
func retryAfter(h adapters.Header) time.Duration {
	if ms, ok := number(peek(h, "retry-after-ms")); ok {
		return wait(ms, time.Millisecond)
	}
	value := peek(h, "retry-after")
	if seconds, ok := number(value); ok {
		return wait(seconds, time.Second)
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(peek(h, "date"))
	if err != nil {
		return 0
	}
	return min(max(until.Sub(now), 0), longest)
}

func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}

func wait(n float64, unit time.Duration) time.Duration {
	return time.Duration(min(max(n*float64(unit), 0), float64(longest)))
}

// retryDelay is Google's way to say it: a detail {"@type":"…RetryInfo","retryDelay":"32s"}.
func retryDelay(inner gjson.Result) time.Duration {
	for _, detail := range inner.Get("details").Array() {
		if d, err := time.ParseDuration(detail.Get("retryDelay").String()); err == nil {
			return min(max(d, 0), longest)
		}
	}
	return 0
}

func peek(h adapters.Header, name string) string {
	if h == nil {
		return ""
	}
	return string(h.Peek(name))
}
