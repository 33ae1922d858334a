package gateway

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/adapters"
)

// path is what a request asks for.
type path struct {
	kind       pathKind
	endpoint   adapters.Endpoint // of pathCall
	methods    string            // that the path allows; empty: whatever the provider allows
	rest       []byte            // of pathCall: what stands below /v1; of pathModel: the id; both still escaped
	query      []byte
	deployment []byte // the model that the path of an Azure SDK names, still escaped
}

type pathKind uint8

const (
	pathUnknown  pathKind = iota
	pathCall              // an inference call, or a call on an object
	pathModels            // the list of models
	pathModel             // one model
	pathUnserved          // OpenAI has it, Vel does not serve it
	pathHealth
	pathReady
	pathMetrics
)

// inference are the endpoints that name a model, by their path below /v1.
var inference = map[string]adapters.Endpoint{
	"/chat/completions": adapters.ChatCompletions, "/completions": adapters.Completions,
	"/responses": adapters.Responses, "/responses/input_tokens": adapters.ResponsesInputTokens, "/responses/compact": adapters.ResponsesCompact,
	"/embeddings": adapters.Embeddings, "/moderations": adapters.Moderations,
	"/images/generations": adapters.ImageGenerations, "/images/edits": adapters.ImageEdits, "/images/variations": adapters.ImageVariations,
	"/audio/speech": adapters.Speech, "/audio/transcriptions": adapters.Transcriptions, "/audio/translations": adapters.Translations,
}

// objects are the families of paths whose objects live in one account, by their first segments.
var objects = [...]string{
	"/files", "/uploads", "/batches", "/fine_tuning", "/vector_stores", "/conversations", "/responses", "/chat/completions",
}

// unserved are the parts of OpenAI's API that are answered with a 501 instead of a 404. Realtime is among them, and
// is so refused before any upgrade.
var unserved = [...]string{
	"/realtime", "/assistants", "/threads", "/evals", "/containers", "/skills", "/videos", "/chatkit", "/organization", "/images", "/audio",
}

// match finds what a request path means. It works on the exact bytes of the request line, with or without /v1 and a
// slash at the end; nothing is decoded, and what goes upstream of it are bytes that plainSegments has seen.
func match(h *fasthttp.RequestHeader) path {
	raw, query, _ := bytes.Cut(h.RequestURI(), []byte("?"))
	switch string(raw) {
	case "/healthz":
		return path{kind: pathHealth, methods: "GET"}
	case "/readyz":
		return path{kind: pathReady, methods: "GET"}
	case "/metrics":
		return path{kind: pathMetrics, methods: "GET"}
	}
	to := path{rest: raw, query: query}
	to.underAzure()
	if rest, ok := bytes.CutPrefix(to.rest, []byte("/v1")); ok && len(rest) > 0 && rest[0] == '/' {
		to.rest = rest
	}
	if n := len(to.rest); n > 1 && to.rest[n-1] == '/' {
		to.rest = to.rest[:n-1]
	}
	to.find(h.Method())
	return to
}

// underAzure takes the prefixes of Azure's SDKs off: /openai/v1/… and /openai/deployments/{model}/….
func (p *path) underAzure() {
	rest, ok := bytes.CutPrefix(p.rest, []byte("/openai/"))
	if !ok {
		return
	}
	p.rest = p.rest[len("/openai"):]
	if rest, ok = bytes.CutPrefix(rest, []byte("deployments/")); ok {
		if model, rest, ok := bytes.Cut(rest, []byte("/")); ok && len(model) > 0 {
			p.deployment, p.rest = model, p.rest[len(p.rest)-len(rest)-1:]
		}
	}
}

// find decides by the path below /v1. A path may be both: POST /responses makes one, DELETE /responses/{id} ends it.
func (p *path) find(method []byte) {
	if endpoint, ok := inference[string(p.rest)]; ok {
		p.kind, p.endpoint, p.methods = pathCall, endpoint, "POST"
		if endpoint == adapters.ChatCompletions && string(method) == "GET" { // the list of stored ones
			p.endpoint, p.methods = adapters.Objects, "GET"
		}
		return
	}
	if string(p.rest) == "/models" {
		p.kind, p.methods = pathModels, "GET"
		return
	}
	if id, ok := bytes.CutPrefix(p.rest, []byte("/models/")); ok {
		p.kind, p.methods, p.rest = pathModel, "GET", id
		return
	}
	switch {
	case under(p.rest, objects[:]):
		p.kind, p.endpoint = pathCall, adapters.Objects
	case under(p.rest, unserved[:]):
		p.kind = pathUnserved
	}
}

func under(raw []byte, prefixes []string) bool {
	for _, prefix := range prefixes {
		if rest, ok := bytes.CutPrefix(raw, []byte(prefix)); ok && (len(rest) == 0 || rest[0] == '/') {
			return true
		}
	}
	return false
}

// allows tells whether the path has the request's method; HEAD goes with GET.
func (p *path) allows(h *fasthttp.RequestHeader) bool {
	method := string(h.Method())
	if p.methods == "" {
		return method == "GET" || method == "POST" || method == "DELETE"
	}
	return method == p.methods || method == "HEAD" && p.methods == "GET"
}

// plainSegments tells whether a path may stand in an upstream URL as it is: ids and names only, no escapes, and nothing
// that leads elsewhere.
func plainSegments(path []byte) bool {
	for segment := range bytes.SplitSeq(path[1:], []byte("/")) {
		if len(segment) == 0 || string(segment) == "." || string(segment) == ".." || !plain(segment) {
			return false
		}
	}
	return true
}

func plain(segment []byte) bool {
	for _, c := range segment {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && bytes.IndexByte([]byte("-_.:"), c) < 0 {
			return false
		}
	}
	return true
}

// plainQuery tells whether a query may stand in an upstream URL as it is.
func plainQuery(query []byte) bool {
	for _, c := range query {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}
