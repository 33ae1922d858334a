package upstream

import (
	"strconv"
	"sync"

	"github.com/vel-gateway/vel/adapters"
)

// copyBelow is up to which size head and body are put into one buffer and one write. Above it the slices go
// to the kernel as they lie.
const copyBelow = 8 << 10

// outgoing are the buffers of requests, each held only while it is written: a stream lasts longer than that.
var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}

// write sends the request. The head is built here, byte by byte, because it is the same few fields for every
// call; whoever fills the request guarantees that no value holds CR or LF.
func (x *Exchange) write(r *adapters.Request) (sent bool, err error) {
	size := 0
	for _, part := range r.Body {
		size += len(part)
	}
	buf := outgoing.Get().(*[]byte)
	defer outgoing.Put(buf)
	out := x.appendHead((*buf)[:0], r, size)
	*buf = out
	if len(out)+size <= copyBelow {
		for _, part := range r.Body {
			out = append(out, part...)
		}
		*buf = out
		n, err := x.conn.Write(out)
		return n > 0, err
	}
	x.vector = append(append(x.vector[:0], out), r.Body...)
	rest := x.vector // WriteTo moves it on; ours keeps the memory
	n, err := rest.WriteTo(x.conn.Conn)
	return n > 0, err
}

func (x *Exchange) appendHead(b []byte, r *adapters.Request, size int) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, x.host.prefix...)
	b = append(b, r.Path...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, x.host.name...)
	b = append(b, "\r\n"...)
	for _, f := range r.Header {
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	if size > 0 || r.Method != "GET" {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(size), 10)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}
