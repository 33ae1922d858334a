package gateway

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/adapters"
)

// path is what a request asks for.
type path struct {
	kind     pathKind
	endpoint adapters.Endpoint // of pathCall
	methods  string            // that the path allows
	id       []byte            // of pathModel, still escaped
}

type pathKind uint8

const (
	pathUnknown  pathKind = iota
	pathCall              // an inference call
	pathModels            // the list of models
	pathModel             // one model
	pathUnserved          // OpenAI has it, Vel does not serve it yet
	pathHealth
	pathReady
	pathMetrics
)

// unserved are the parts of OpenAI's API that are answered with a 501 instead of a 404, by their first segment.
var unserved = [...]string{
	"/responses", "/embeddings", "/completions", "/moderations", "/images", "/audio", "/files", "/uploads", "/batches",
	"/fine_tuning", "/vector_stores", "/conversations", "/realtime", "/assistants", "/threads", "/evals", "/containers",
	"/skills", "/videos", "/chatkit", "/organization", "/chat/completions",
}

// match finds what a request path means. It works on the exact bytes of the request line, with or without /v1 and a
// slash at the end; nothing is decoded, and no upstream URL is ever built from it.
func match(uri []byte) path {
	raw, _, _ := bytes.Cut(uri, []byte("?"))
	switch string(raw) {
	case "/healthz":
		return path{kind: pathHealth, methods: "GET"}
	case "/readyz":
		return path{kind: pathReady, methods: "GET"}
	case "/metrics":
		return path{kind: pathMetrics, methods: "GET"}
	}
	if rest, ok := bytes.CutPrefix(raw, []byte("/v1")); ok && len(rest) > 0 && rest[0] == '/' {
		raw = rest
	}
	if n := len(raw); n > 1 && raw[n-1] == '/' {
		raw = raw[:n-1]
	}
	switch string(raw) {
	case "/chat/completions":
		return path{kind: pathCall, endpoint: adapters.ChatCompletions, methods: "POST"}
	case "/models":
		return path{kind: pathModels, methods: "GET"}
	}
	if id, ok := bytes.CutPrefix(raw, []byte("/models/")); ok {
		return path{kind: pathModel, methods: "GET", id: id}
	}
	for _, prefix := range unserved {
		if rest, ok := bytes.CutPrefix(raw, []byte(prefix)); ok && (len(rest) == 0 || rest[0] == '/') {
			return path{kind: pathUnserved}
		}
	}
	return path{}
}

// allows tells whether the path has the request's method; HEAD goes with GET.
func (p *path) allows(h *fasthttp.RequestHeader) bool {
	method := string(h.Method())
	return p.methods == "" || method == p.methods || method == "HEAD" && p.methods == "GET"
}
