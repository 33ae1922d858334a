package simulator

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The dialects that a Provider may speak.
const (
	// OpenAI is the wire of api.openai.com with all its endpoints; the default. It takes unknown members.
	OpenAI = "openai"
	// Groq is that of api.groq.com below /openai/v1: strict about unknown members, usage in x_groq.
	Groq = "groq"
	// Perplexity is the Agent API of api.perplexity.ai: Responses below /v1, strict about unknown members.
	Perplexity = "perplexity"
	// PerplexityChat is Sonar as it was until September 2026, and as compatible servers still have it.
	PerplexityChat = "perplexity-chat"
)

// dialect is what one provider's wire has of its own. The zero value is OpenAI's. It is never changed.
type dialect struct {
	name     string
	bases    []string             // what stands before an endpoint's path
	serves   func(rt *route) bool // nil: every endpoint
	profiles func() []Profile
	headers  func(h http.Header, id string) // beside what every provider sends
	// retired is answered on whole paths of an API that the provider has ended.
	retired func(path string) *apiError
	// openPath tells that a path, without its base, needs no key.
	openPath func(path string) bool

	// errors
	translate func(e *apiError) *apiError              // into the provider's own statuses, types and words
	shape     func(b []byte, e *apiError) []byte       // nil: OpenAI's
	byStatus  func(status int, model string) *apiError // nil: OpenAI's
	page      func(e *apiError) (body string, ok bool) // an error that is an HTML page

	// chat completions
	chat           func(q *chatRequest, body []byte) *apiError // refuses what the provider refuses
	chatMark       string                                      // the members that name the backend; empty: OpenAI's
	bareMark       bool                                        // nothing names the backend
	chatUsage      func(b []byte, r *chatReply) []byte         // the end of usage, without its brace
	reasoningField bool                                        // reasoning models show their thoughts in "reasoning"
	groq           bool                                        // x_groq
	bareMessage    bool                                        // messages have no refusal and no annotations
	usageEvery     bool                                        // usage so far stands in every chunk
	tailEvery      bool                                        // so do citations
	bareLast       bool                                        // the last chunk has no choices
	searchResults  bool                                        // search_results beside citations

	// responses
	responses func(q *responsesRequest) *apiError
	agent     bool // Perplexity's events and items

	// audio
	transcription func(f *form) *apiError
}

// Dialects are the names of the dialects.
func Dialects() []string { return []string{OpenAI, Groq, Perplexity, PerplexityChat} }

// newDialect returns a dialect by its name; the error names those that there are.
func newDialect(name string) (*dialect, error) {
	switch name {
	case "", OpenAI:
		return &dialect{name: OpenAI, bases: []string{"/v1", ""}, profiles: Profiles, headers: openaiHeaders}, nil
	case Groq:
		return groqDialect(), nil
	case Perplexity:
		return agentDialect(), nil
	case PerplexityChat:
		return sonarDialect(), nil
	}
	return nil, fmt.Errorf("unknown dialect %q; known are %s", name, strings.Join(Dialects(), ", "))
}

// trim takes the base off a path; ok is false where the provider serves nothing.
func (d *dialect) trim(path string) (rest string, ok bool) {
	for _, base := range d.bases {
		if rest, ok := strings.CutPrefix(path, base+"/"); ok {
			return "/" + strings.TrimSuffix(rest, "/"), true
		}
	}
	return "", false
}

// status is the error that the provider sends with a status.
func (d *dialect) status(status int, model string) *apiError {
	if d.byStatus != nil {
		return d.byStatus(status, model)
	}
	return errStatus(status, model)
}

// appendError writes an error in the provider's shape.
func (d *dialect) appendError(b []byte, e *apiError) []byte {
	if d.translate != nil {
		e = d.translate(e)
	}
	if d.shape != nil {
		return d.shape(b, e)
	}
	return e.appendJSON(b)
}

// send answers with an error in the provider's shape.
func (d *dialect) send(w http.ResponseWriter, e *apiError) {
	e.wait(w.Header())
	if d.page != nil {
		if page, ok := d.page(e); ok {
			sendStatus(w, e.status, "text/html", []byte(page))
			return
		}
	}
	if d.translate != nil {
		e = d.translate(e)
	}
	shape := d.shape
	if shape == nil {
		shape = func(b []byte, e *apiError) []byte { return e.appendJSON(b) }
	}
	sendStatus(w, e.status, "application/json", shape(nil, e))
}

func openaiHeaders(h http.Header, id string) {
	h["Openai-Processing-Ms"] = []string{"1"}
	h["Openai-Version"] = []string{"2020-10-01"}
	h["Access-Control-Expose-Headers"] = []string{"X-Request-ID"}
	h["Alt-Svc"] = []string{`h3=":443"; ma=86400`}
	h["Set-Cookie"] = []string{cookie(id, "api.openai.com")}
}

func cookie(id, domain string) string {
	return "__cf_bm=" + id + "; path=/; domain=." + domain + "; HttpOnly; Secure; SameSite=None"
}

// strangers are the members of an object that are not in a list, sorted.
func (m members) strangers(known ...string) []string {
	var out []string
	for name := range m {
		if !slices.Contains(known, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
