package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync"
	"time"
)

const (
	keptRequests = 64       // requests that are remembered
	keptBody     = 4 << 20  // bytes of one body that are kept
	keptBytes    = 32 << 20 // bytes of all bodies together
)

// Request is a request as it came in. Head and Body are the bytes received, after TLS and after the removal
// of chunk framing.
type Request struct {
	ID      string      `json:"id"`               // the x-request-id of our answer
	Marker  string      `json:"marker,omitempty"` // the marker's id=…
	At      time.Time   `json:"at"`
	Remote  string      `json:"remote"` // the peer's address: equal for calls on one connection
	Method  string      `json:"method"`
	URI     string      `json:"uri"`
	Head    string      `json:"head,omitempty"` // request line and fields, unchanged; empty for a pipelined request
	Header  http.Header `json:"header"`         // the same fields, canonical names, without Host
	Chunked bool        `json:"chunked"`        // the body came in chunks
	Length  int         `json:"length"`         // bytes of the body
	SHA256  string      `json:"sha256"`         // of the whole body, hexadecimal
	Body    []byte      `json:"body,omitempty"` // base64 in JSON; the first 4 MiB
	// Parts are those of a multipart body, in their order, each with the digest of its bytes.
	Parts []Part `json:"parts,omitempty"`
}

// recorder keeps the last requests in a ring, within keptBytes.
type recorder struct {
	mu    sync.Mutex // guards all below, and the records' Marker and Parts
	ring  []*Request // oldest first
	bytes int
}

// add keeps a request and drops the oldest beyond the bounds.
func (r *recorder) add(q *Request, body []byte) {
	q.Length = len(body)
	if len(body) > keptBody {
		// Hashed now because the rest is let go; a small body is hashed only when somebody asks.
		q.SHA256 = digest(body)
		q.Body = append([]byte(nil), body[:keptBody]...)
	} else {
		q.Body = body
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring = append(r.ring, q)
	r.bytes += len(q.Body)
	for len(r.ring) > keptRequests || r.bytes > keptBytes {
		r.bytes -= len(r.ring[0].Body)
		r.ring[0] = nil
		r.ring = r.ring[1:]
	}
}

// mark remembers the marker's id of a request.
func (r *recorder) mark(q *Request, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q.Marker = id
}

// noteParts remembers the parts of a request's form, without their bytes.
func (r *recorder) noteParts(q *Request, parts []Part) {
	kept := make([]Part, len(parts))
	for i, p := range parts {
		kept[i] = p
		kept[i].data = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	q.Parts = kept
}

// find returns the newest request with that id, or the newest of all for "last".
func (r *recorder) find(id string) (Request, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.ring) - 1; i >= 0; i-- {
		if q := r.ring[i]; id == "last" || id == q.ID || id == q.Marker {
			return hashed(*q), true
		}
	}
	return Request{}, false
}

// list returns the requests, newest first, without their bodies.
func (r *recorder) list() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Request, 0, len(r.ring))
	for i := len(r.ring) - 1; i >= 0; i-- {
		q := hashed(*r.ring[i])
		q.Body = nil
		all = append(all, q)
	}
	return all
}

func hashed(q Request) Request {
	if q.SHA256 == "" {
		q.SHA256 = digest(q.Body)
	}
	return q
}

func digest(p []byte) string {
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:])
}
