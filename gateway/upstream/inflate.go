package upstream

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"

	"github.com/vel-gateway/vel/adapters"
)

// errEncoding names a content encoding that nobody asked for and that Vel does not read.
var errEncoding = errors.New("unknown content encoding")

// inflater decodes a compressed answer as it comes. Vel asks for none, but some providers compress unasked.
// What the compressor flushed comes out at once, so that events of a stream are not held back.
type inflater struct {
	exchange *Exchange
	decoder  io.Reader // opened with the first bytes
	open     func(io.Reader) (io.Reader, error)
	rest     []byte // of the compressed piece at hand
	err      error  // why it could not be opened
	out      [4 << 10]byte
}

// beginInflate sets the decoder that the head asks for.
func (x *Exchange) beginInflate() error {
	var open func(io.Reader) (io.Reader, error)
	switch string(bytes.ToLower(x.head.at(x.head.encoding))) {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
		open = func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }
	case "deflate":
		open = func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }
	default:
		return failure(adapters.ClassGarbage, "The provider's answer has an encoding that was not asked for.", errEncoding)
	}
	x.inflate = &inflater{exchange: x, open: open}
	return nil
}

func (i *inflater) next() ([]byte, error) {
	if i.err != nil {
		return nil, i.err
	}
	if i.decoder == nil {
		decoder, err := i.open(i)
		if err != nil {
			i.err = i.explain(err)
			return nil, i.err
		}
		i.decoder = decoder
	}
	for {
		n, err := i.decoder.Read(i.out[:])
		if n > 0 {
			return i.out[:n], nil // the error, if any, comes again
		}
		if err == io.EOF {
			return nil, i.drain()
		}
		if err != nil {
			return nil, i.explain(err)
		}
	}
}

// drain reads the transfer encoding to its own end, so that the connection can be used again.
func (i *inflater) drain() error {
	for {
		if _, err := i.exchange.next(); err != nil {
			return err
		}
	}
}

// explain keeps the connection's own error and calls everything else garbage.
func (i *inflater) explain(err error) error {
	if e, ok := errors.AsType[*adapters.Error](err); ok {
		return e
	}
	return failure(adapters.ClassTruncated, "The provider's compressed answer was malformed.", err)
}

// Read gives the decoder the compressed bytes.
func (i *inflater) Read(p []byte) (int, error) {
	if len(i.rest) == 0 {
		var err error
		if i.rest, err = i.exchange.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// ReadByte keeps the decoder from putting a buffered reader of its own in front, which would hold events back.
func (i *inflater) ReadByte() (byte, error) {
	var one [1]byte
	_, err := i.Read(one[:])
	return one[0], err
}
