package tests

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answer is one HTTP answer, read whole. cut says how its body ended before its time, if it did.
type answer struct {
	status int
	header http.Header
	body   []byte
	cut    error
}

// ask sends one request and reads the answer. The client follows no redirect and keeps no connection.
func ask(t *testing.T, req *http.Request) answer {
	t.Helper()
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	res, err := transport.RoundTrip(req.WithContext(t.Context()))
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, body, err}
}

// request builds a request with a bearer key; edits come last.
func request(t *testing.T, method, url, key, body string, edits ...func(*http.Request)) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, edit := range edits {
		edit(req)
	}
	return req
}

// chat builds the body of a chat call. The message is quoted as JSON; more is put in as it stands, for example
// `,"stream":true`.
func chat(model, message, more string) string {
	text, _ := json.Marshal(message) // a string always marshals
	return `{"model":"` + model + `","messages":[{"role":"user","content":` + string(text) + `}]` + more + `}`
}

// content is the text of the first choice of a whole chat answer.
func (a answer) content(t *testing.T) string {
	t.Helper()
	var v struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal(a.body, &v); err != nil || a.status != http.StatusOK || len(v.Choices) == 0 {
		t.Fatalf("not a chat answer: status %d, %v\n%s", a.status, err, a.body)
	}
	return v.Choices[0].Message.Content
}

// wireError is the error object as the OpenAI specification has it, with what the shape check needs to see.
type wireError struct {
	Message string
	Type    string
	Param   *string
	Code    *string
}

// readError checks that the answer is an OpenAI-shaped error: all four members, code a string or null, an
// x-request-id, JSON by its content type.
func (a answer) readError(t *testing.T) wireError {
	t.Helper()
	if a.cut != nil {
		t.Errorf("the error answer was cut: %v", a.cut)
	}
	if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
		t.Errorf("content-type %q, want application/json", ct)
	}
	if a.header.Get("X-Request-Id") == "" {
		t.Error("no x-request-id")
	}
	return readErrorObject(t, a.body)
}

// readErrorObject reads {"error":{…}} and checks its members.
func readErrorObject(t *testing.T, body []byte) wireError {
	t.Helper()
	var members struct{ Error map[string]json.RawMessage }
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, body)
	}
	for _, name := range []string{"message", "type", "param", "code"} {
		if _, ok := members.Error[name]; !ok {
			t.Errorf("error has no member %q: %s", name, body)
		}
	}
	var v struct{ Error wireError }
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("a member of the error has a wrong type: %v\n%s", err, body)
	}
	if v.Error.Message == "" || v.Error.Type == "" {
		t.Errorf("error without message or type: %s", body)
	}
	return v.Error
}

// wantError checks status and code of an error answer; code "" means any.
func (a answer) wantError(t *testing.T, status int, code string) wireError {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d\n%s", a.status, status, a.body)
	}
	e := a.readError(t)
	if code != "" && (e.Code == nil || *e.Code != code) {
		t.Errorf("code %v, want %q\n%s", e.Code, code, a.body)
	}
	return e
}

// stream is a stream of events, read whole.
type stream struct {
	answer
	data []string // of each event, joined as the SSE rules say, [DONE] included
}

// askStream sends a request and reads the answer as server-sent events.
func askStream(t *testing.T, req *http.Request) stream {
	t.Helper()
	a := ask(t, req)
	return stream{a, events(a.body)}
}

// endings makes one line ending of the three that the rules allow.
var endings = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// events reads the data of every event that an empty line has ended; openai's clients drop the others too.
func events(body []byte) []string {
	var all, lines []string
	for line := range strings.SplitSeq(endings.Replace(string(body)), "\n") {
		if data, ok := strings.CutPrefix(line, "data:"); ok {
			lines = append(lines, strings.TrimPrefix(data, " "))
		} else if line == "" && lines != nil {
			all = append(all, strings.Join(lines, "\n"))
			lines = nil
		}
	}
	return all
}

// text is what the content deltas of the first choice add up to.
func (s stream) text(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, d := range s.data {
		if d == "[DONE]" {
			continue
		}
		var v struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(d), &v); err != nil {
			t.Fatalf("an event that is no JSON: %v\n%s", err, d)
		}
		if len(v.Choices) > 0 {
			text.WriteString(v.Choices[0].Delta.Content)
		}
	}
	return text.String()
}

// said is the whole text of an answer, however it came.
func (s stream) said(t *testing.T) string {
	t.Helper()
	if !strings.HasPrefix(s.header.Get("Content-Type"), "text/event-stream") {
		return s.content(t)
	}
	s.whole(t)
	return s.text(t)
}

// whole checks that the stream came to its proper end and carried no error.
func (s stream) whole(t *testing.T) {
	t.Helper()
	if s.status != http.StatusOK || s.cut != nil || len(s.data) == 0 || s.data[len(s.data)-1] != "[DONE]" {
		t.Fatalf("not a whole stream: status %d, %v\n%s", s.status, s.cut, s.body)
	}
	if err := s.failure(t); err != nil {
		t.Fatalf("the stream carries an error: %v\n%s", *err, s.body)
	}
}

// broken checks that nobody can take the stream for complete: its last event is an error, no [DONE] and no finish
// reason came, and the transfer ended (properly or not).
func (s stream) broken(t *testing.T) wireError {
	t.Helper()
	if s.status != http.StatusOK {
		t.Fatalf("status %d, want a stream that had begun\n%s", s.status, s.body)
	}
	if s.cut != nil && !errors.Is(s.cut, io.ErrUnexpectedEOF) {
		t.Errorf("the transfer ended with %v", s.cut)
	}
	e := s.failure(t)
	if e == nil {
		t.Fatalf("the last event is no error\n%s", s.body)
	}
	for _, d := range s.data {
		var v struct {
			Choices []struct {
				FinishReason *string `json:"finish_reason"`
			}
		}
		if d == "[DONE]" {
			t.Errorf("a broken stream says [DONE]\n%s", s.body)
		} else if json.Unmarshal([]byte(d), &v) == nil && len(v.Choices) > 0 && v.Choices[0].FinishReason != nil {
			t.Errorf("a broken stream has a finish reason\n%s", s.body)
		}
	}
	return *e
}

// failure is the error of the last event, if it is one.
func (s stream) failure(t *testing.T) *wireError {
	t.Helper()
	if len(s.data) == 0 {
		return nil
	}
	last := s.data[len(s.data)-1]
	var v struct{ Error json.RawMessage }
	if json.Unmarshal([]byte(last), &v) != nil || v.Error == nil {
		return nil
	}
	e := readErrorObject(t, []byte(last))
	return &e
}
