package upstream

import (
	"crypto/tls"
	"io"
	"sync"
	"syscall"

	"github.com/valyala/fasthttp"

	"github.com/vel-gateway/vel/adapters"
)

// body follows the end of an answer's body.
type body struct {
	kind   bodyKind
	left   int64 // of a fixed length
	chunks dechunker
	ended  bool
	extra  bool // bytes came after the end: nobody asked for them
}

type bodyKind uint8

const (
	bodyUnread bodyKind = iota // no head was read
	bodyFixed
	bodyChunked
	bodyUntilClose
)

// reusable tells whether the connection stands right behind the answer.
func (b *body) reusable() bool { return b.ended && !b.extra && b.kind != bodyUntilClose }

// take cuts the payload out of bytes from the socket.
func (b *body) take(p []byte) ([]byte, error) {
	switch b.kind {
	case bodyFixed:
		n := min(int64(len(p)), b.left)
		b.left -= n
		b.ended, b.extra = b.left == 0, n < int64(len(p))
		return p[:n], nil
	case bodyChunked:
		payload, used, err := b.chunks.feed(p)
		b.ended, b.extra = b.chunks.done(), used < len(p)
		return payload, err
	default:
		return p, nil
	}
}

// beginBody decides from the head how the body ends and whether it is compressed.
func (x *Exchange) beginBody() error {
	length := x.head.length
	switch status := x.head.status; {
	case status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified:
		x.body = body{kind: bodyFixed, ended: true}
	case length >= 0:
		x.body = body{kind: bodyFixed, left: int64(length), ended: length == 0}
	case length == lengthChunked:
		x.body = body{kind: bodyChunked}
	default:
		x.body = body{kind: bodyUntilClose}
	}
	return x.beginInflate()
}

// Length is the size of the body as it will come out of Next, or -1 if the head does not tell.
func (x *Exchange) Length() int {
	if x.body.kind != bodyFixed || x.inflate != nil {
		return -1
	}
	return max(x.head.length, 0)
}

// Next waits for the next piece of the body, without its transfer and content encoding. The piece is valid
// until the next Next or Finish. io.EOF is the clean end; any other error is an *adapters.Error.
func (x *Exchange) Next() ([]byte, error) {
	if x.inflate != nil {
		return x.inflate.next()
	}
	return x.next()
}

func (x *Exchange) next() ([]byte, error) {
	for !x.body.ended {
		p, err := x.more()
		if err == io.EOF && x.body.kind == bodyUntilClose {
			x.body.ended = true
			break
		}
		if err != nil {
			return nil, x.explain(err, adapters.ClassTruncated)
		}
		payload, err := x.body.take(p)
		if err != nil {
			return nil, failure(adapters.ClassTruncated, "The provider's answer was malformed.", err)
		}
		if len(payload) > 0 {
			return payload, nil
		}
	}
	return nil, io.EOF
}

// more gives the next bytes of the connection: first what came with the head, then what the socket brings.
func (x *Exchange) more() ([]byte, error) {
	if x.reader == nil {
		return x.readPiece()
	}
	if x.held > 0 {
		_, _ = x.reader.Discard(x.held) // it was buffered
		x.held = 0
	}
	if x.reader.Buffered() == 0 {
		if _, secure := x.conn.Conn.(*tls.Conn); !secure {
			x.dropReader()
			return x.readPiece()
		}
		if err := x.rearm(); err != nil {
			return nil, err
		}
		if _, err := x.reader.Peek(1); err != nil {
			return nil, err
		}
	}
	x.held = x.reader.Buffered()
	return x.reader.Peek(x.held)
}

// pieces are the buffers of reads. One is held only while its bytes are on their way to the client, so that
// thousands of parked streams share a few.
var pieces = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// readPiece waits until the socket is readable and reads it once.
func (x *Exchange) readPiece() ([]byte, error) {
	if err := x.rearm(); err != nil {
		return nil, err
	}
	if err := x.conn.raw.Read(x.pull); err != nil {
		return nil, err
	}
	switch {
	case x.pullErr != nil:
		return nil, x.pullErr
	case x.got == 0:
		return nil, io.EOF
	}
	return (*x.piece)[:x.got], nil
}

// pullFrom reads the socket; false means that nothing is there yet.
func (x *Exchange) pullFrom(fd uintptr) bool {
	if x.piece == nil {
		x.piece = pieces.Get().(*[]byte)
	}
	for {
		x.got, x.pullErr = syscall.Read(int(fd), *x.piece)
		if x.pullErr == syscall.EAGAIN {
			x.dropPiece()
			return false
		}
		if x.pullErr != syscall.EINTR {
			return true
		}
	}
}

func (x *Exchange) dropPiece() {
	if x.piece != nil {
		pieces.Put(x.piece)
		x.piece = nil
	}
}
