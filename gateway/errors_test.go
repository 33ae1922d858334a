package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

func TestErrorsInBytes(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp 10.0.0.3:443: connection refused " + ourSecret)
	body := func(message, kind, param, code string) string {
		return `{"error":{"message":"` + message + `","type":"` + kind + `","param":` + param + `,"code":` + code + `}}`
	}
	for name, c := range map[string]struct {
		err      error
		attempts int
		status   int
		retry    string // x-should-retry
		body     string
	}{
		"invalid":      {&adapters.Error{Class: adapters.ClassInvalid, Status: 422, Type: "t", Param: "p", Code: "c", Message: "m"}, 1, 422, "", body("m", "t", `"p"`, `"c"`)},
		"a conflict":   {&adapters.Error{Class: adapters.ClassInvalid, Status: 409, Type: "t", Message: "m"}, 1, 409, "false", body("m", "t", "null", "null")},
		"its own body": {&adapters.Error{Class: adapters.ClassInvalid, Status: 400, Body: []byte(`{"error":{"message":"` + ourSecret + `"},"x":1}`)}, 1, 400, "", `{"error":{"message":"***"},"x":1}`},
		"credential": {
			&adapters.Error{Class: adapters.ClassCredential, Status: 401, Type: "x", Code: "invalid_api_key", Param: "p", Message: "bad " + ourSecret, Body: []byte("{}")}, 1, 502, "false",
			body("The provider refused this gateway's credential. The operator of the gateway has to correct it.", "server_error", "null", `"provider_credential"`),
		},
		"rate":                {&adapters.Error{Class: adapters.ClassRate, Status: 429, Type: "t", Message: "m"}, 1, 429, "", body("m", "t", "null", "null")},
		"quota":               {&adapters.Error{Class: adapters.ClassQuota, Status: 402, Type: "t", Code: "insufficient_quota", Message: "m"}, 1, 429, "false", body("m", "t", "null", `"insufficient_quota"`)},
		"timeout":             {&adapters.Error{Class: adapters.ClassTimeout, Message: "m", Cause: cause}, 1, 504, "", body("m", "server_error", "null", `"provider_timeout"`)},
		"overloaded":          {&adapters.Error{Class: adapters.ClassOverloaded, Status: 529, Message: "m"}, 1, 503, "", body("m", "server_error", "null", `"provider_overloaded"`)},
		"server":              {&adapters.Error{Class: adapters.ClassServer, Status: 507, Message: "m"}, 1, 507, "", body("m", "server_error", "null", `"provider_error"`)},
		"server, odd status":  {&adapters.Error{Class: adapters.ClassServer, Status: 302, Message: "m"}, 1, 502, "", body("m", "server_error", "null", `"provider_error"`)},
		"server, after three": {&adapters.Error{Class: adapters.ClassServer, Status: 500, Message: "m"}, 3, 500, "false", body("m", "server_error", "null", `"provider_error"`)},
		"connect":             {&adapters.Error{Class: adapters.ClassConnect, Message: "m", Cause: cause}, 1, 502, "", body("m", "server_error", "null", `"provider_unreachable"`)},
		"connect, all of two": {&adapters.Error{Class: adapters.ClassConnect, Message: "m", Cause: cause}, 2, 503, "false", body("m", "server_error", "null", `"provider_unreachable"`)},
		"reset":               {&adapters.Error{Class: adapters.ClassReset, Message: "m", Cause: cause}, 1, 502, "", body("m", "server_error", "null", `"provider_connection_lost"`)},
		"garbage":             {&adapters.Error{Class: adapters.ClassGarbage, Message: "m"}, 1, 502, "", body("m", "server_error", "null", `"provider_invalid_answer"`)},
		"truncated":           {&adapters.Error{Class: adapters.ClassTruncated, Message: "m"}, 1, 502, "", body("m", "server_error", "null", `"provider_answer_truncated"`)},
		"draining":            {endedError(adapters.ClassDraining), 1, 503, "", body("Vel is shutting down.", "server_error", "null", `"shutting_down"`)},
		"internal":            {&adapters.Error{Class: adapters.ClassInternal, Message: "m", Cause: cause}, 1, 500, "false", body("internal error", "server_error", "null", `"internal_error"`)},
		"an unknown error":    {cause, 1, 500, "false", body("internal error", "server_error", "null", `"internal_error"`)},
		"a wrapped one":       {errors.Join(cause, &adapters.Error{Class: adapters.ClassGarbage, Message: "m"}), 1, 502, "", body("m", "server_error", "null", `"provider_invalid_answer"`)},
		"secrets everywhere": {
			&adapters.Error{Class: adapters.ClassServer, Status: 500, Type: "t" + ourSecret, Code: "c" + ourSecret, Param: "p" + ourSecret, Message: "m" + ourSecret}, 1, 500, "",
			body("m***", "t***", `"p***"`, `"c***"`),
		},
		"unknown model":   {routing.UnknownModel, 0, 404, "", body(`The model 'a\"b' does not exist. GET /v1/models lists the models of this key.`, "invalid_request_error", `"model"`, `"model_not_found"`)},
		"not allowed":     {routing.NotAllowed, 0, 403, "", body(`This API key may not use the model 'a\"b'.`, "invalid_request_error", `"model"`, `"model_not_allowed"`)},
		"not served":      {routing.NotServed, 0, 501, "", body(`No provider of the model 'a\"b' serves unknown.`, "invalid_request_error", `"model"`, `"unsupported_endpoint"`)},
		"no target":       {routing.NoTarget, 0, 503, "", body(`No provider of the model 'a\"b' can be used: its credential is not configured, or it is gone.`, "server_error", "null", `"no_provider_available"`)},
		"an unknown key":  {tenancy.ErrUnknownKey, 0, 401, "", body(errBadKey.Message, "invalid_request_error", "null", `"invalid_api_key"`)},
		"a disabled key":  {tenancy.ErrKeyDisabled, 0, 401, "", body(errBadKey.Message, "invalid_request_error", "null", `"invalid_api_key"`)},
		"an expired key":  {tenancy.ErrKeyExpired, 0, 401, "", body(errBadKey.Message, "invalid_request_error", "null", `"invalid_api_key"`)},
		"a stale key":     {tenancy.ErrKeyStale, 0, 503, "", body(errDatabase.Message, "server_error", "null", `"database_unavailable"`)},
		"no database":     {fmt.Errorf("find: %w", &tenancy.Unavailable{Cause: cause}), 0, 503, "", body(errDatabase.Message, "server_error", "null", `"database_unavailable"`)},
		"an odd refusal":  {routing.Refusal(200), 0, 500, "false", body("internal error", "server_error", "null", `"internal_error"`)},
		"too many bodies": {errTooManyBodies, 0, 503, "", body(errTooManyBodies.Message, "server_error", "null", `"overloaded"`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := &Call{snapshot: &Snapshot{Redactor: secrets.NewRedactor(secrets.New(ourSecret))}, record: accounting.Record{Attempts: make([]accounting.Attempt, c.attempts)}, question: adapters.Question{Model: `a"b`}}
			call.plan.Targets = make([]*routing.Target, c.attempts)
			a := refuse(call, c.err)
			if a.status != c.status || a.shouldRetry != c.retry || string(a.body) != c.body {
				t.Errorf("status %d, retry %q, body %s\nwant %d, %q, %s", a.status, a.shouldRetry, a.body, c.status, c.retry, c.body)
			}
			if !json.Valid(a.body) {
				t.Errorf("body %s is no JSON", a.body)
			}
		})
	}
}

// Every class has a status and, where the provider says nothing, a code: none may be forgotten.
func TestEveryClassHasWords(t *testing.T) {
	t.Parallel()
	for class := adapters.ClassNone + 1; class.String() != "unknown"; class++ {
		a := refuse(&Call{}, &adapters.Error{Class: class, Message: "m"})
		if a.status < 400 || http.StatusText(a.status) == "" {
			t.Errorf("%s: status %d", class, a.status)
		}
		switch class {
		case adapters.ClassInvalid, adapters.ClassRate, adapters.ClassQuota: // in the provider's own words
			continue
		}
		if strings.Contains(string(a.body), `"code":null`) {
			t.Errorf("%s: no code: %s", class, a.body)
		}
	}
}

func TestRetryAfterSeconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Nanosecond: "1", time.Second: "1", time.Second + 1: "2", 1500 * time.Millisecond: "2", time.Hour: "3600", 24 * time.Hour: "86400",
	} {
		if got := retryAfterSeconds(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}

func TestErrorEvent(t *testing.T) {
	t.Parallel()
	e := &adapters.Error{Class: adapters.ClassServer, Type: "t", Code: "c", Message: "two\nlines " + ourSecret, Body: []byte("{\n}")}
	got := string(appendErrorEvent(nil, adapters.ChatCompletions, e, secrets.NewRedactor(secrets.New(ourSecret)).Scrub))
	if want := "\n\ndata: {\"error\":{\"message\":\"two\\u000alines ***\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}\n\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if string(e.Body) != "{\n}" {
		t.Error("the error itself was changed")
	}
}

// Whatever an error says, what leaves is valid JSON in valid UTF-8 on one line, says the same, and has no secret.
func FuzzErrorWriter(f *testing.F) {
	f.Add("message", "type", "param", "code")
	f.Add("\"\\\x00\x7f\n\r\u2028\U0001f600", "<script>", "a\xffb\xc3", "")
	f.Add("x"+ourSecret+"y", ourSecret, ourSecret+ourSecret, "sk-provider-secret-")
	redactor := secrets.NewRedactor(secrets.New(ourSecret))
	f.Fuzz(func(t *testing.T, message, kind, param, code string) {
		b := appendError(nil, &adapters.Error{Message: message, Type: kind, Param: param, Code: code}, redactor.Scrub)
		if !json.Valid(b) || !utf8.Valid(b) || strings.ContainsAny(string(b), "\r\n\x00") {
			t.Fatalf("%q", b)
		}
		if strings.Contains(string(b), ourSecret) {
			t.Fatalf("a secret is in %s", b)
		}
		var got struct {
			Error struct {
				Message, Type string
				Param, Code   *string
			}
		}
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		want := func(s string) string { return strings.ToValidUTF8(redactor.Scrub(s), "\ufffd") }
		if g := strings.ToValidUTF8(got.Error.Message, "\ufffd"); squeeze(g) != squeeze(want(message)) {
			t.Fatalf("message %q, want %q", g, want(message))
		}
		if (got.Error.Param == nil) != (param == "") || (got.Error.Code == nil) != (code == "") {
			t.Fatalf("%s: only an empty text is null", b)
		}
	})
}

// squeeze makes runs of replacement characters one: libraries differ in how many they write.
func squeeze(s string) string {
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}

// TestErrorEventOfResponses: the typed event that this API knows, with the error object on which every SDK raises.
func TestErrorEventOfResponses(t *testing.T) {
	t.Parallel()
	e := &adapters.Error{Class: adapters.ClassTruncated, Message: `broke "off" with ` + ourSecret}
	got := string(appendErrorEvent(nil, adapters.Responses, e, secrets.NewRedactor(secrets.New(ourSecret)).Scrub))
	data, ok := strings.CutPrefix(got, "\n\nevent: error\ndata: ")
	data, ended := strings.CutSuffix(data, "\n\n")
	var event struct {
		Type, Code, Message string
		Error               failure
	}
	if err := json.Unmarshal([]byte(data), &event); !ok || !ended || err != nil {
		t.Fatalf("%v in %q", err, got)
	}
	if event.Type != "error" || event.Code != "provider_answer_truncated" || event.Message != event.Error.Message ||
		event.Error.code() != event.Code || strings.Contains(got, ourSecret) {
		t.Errorf("event %+v", event)
	}
}
