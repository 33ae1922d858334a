package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The least of HTTP/1.1 that a client and a server of known messages need. It is written by hand so that the
// machine's time goes to the proxy under test, not to the tools around it.

// head is what matters of a message's head.
type head struct {
	status  int // answers only
	length  int // -1: none given
	chunked bool
	close   bool
}

var (
	nameLength     = []byte("content-length")
	nameEncoding   = []byte("transfer-encoding")
	nameConnection = []byte("connection")
	wordClose      = []byte("close")
	wordChunked    = []byte("chunked")
	answerVersion  = []byte("HTTP/1.1 ")
	blankLine      = []byte("\r\n")
)

// readHead reads up to and including the blank line. io.EOF means that the peer closed before a first byte.
func readHead(r *bufio.Reader) (head, error) {
	h := head{length: -1}
	line, err := r.ReadSlice('\n')
	if err != nil {
		if err == io.EOF && len(line) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return h, err
	}
	if rest, ok := bytes.CutPrefix(line, answerVersion); ok && len(rest) >= 3 {
		if h.status, err = strconv.Atoi(string(rest[:3])); err != nil {
			return h, fmt.Errorf("status line %q", line)
		}
	}
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return h, fmt.Errorf("read head: %w", noEOF(err))
		}
		if bytes.Equal(line, blankLine) {
			return h, nil
		}
		if err = h.field(line); err != nil {
			return h, err
		}
	}
}

func (h *head) field(line []byte) (err error) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("header line %q", line)
	}
	switch len(name) {
	case len(nameLength):
		if bytes.EqualFold(name, nameLength) {
			h.length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	case len(nameEncoding):
		if bytes.EqualFold(name, nameEncoding) {
			h.chunked = bytes.EqualFold(bytes.TrimSpace(value), wordChunked)
		}
	case len(nameConnection):
		if bytes.EqualFold(name, nameConnection) {
			h.close = bytes.EqualFold(bytes.TrimSpace(value), wordClose)
		}
	}
	return err
}

// bodyReader hands out a body's bytes where they lie in the reader's buffer.
type bodyReader struct {
	r       *bufio.Reader
	left    int  // of the chunk, or of the whole body
	handed  int  // what the last call of next gave away and the next one drops
	chunked bool // else the body has a length
	inChunk bool // a chunk was begun, its end is not yet read
	ended   bool
}

func newBodyReader(r *bufio.Reader, h head) (bodyReader, error) {
	if !h.chunked && h.length < 0 {
		return bodyReader{}, errors.New("body without length or chunks")
	}
	return bodyReader{r: r, left: max(h.length, 0), chunked: h.chunked}, nil
}

// next gives the bytes that have arrived, at least one, valid until the next call; io.EOF after the last.
func (b *bodyReader) next() ([]byte, error) {
	if b.handed > 0 {
		if _, err := b.r.Discard(b.handed); err != nil {
			return nil, err
		}
		b.left -= b.handed
		b.handed = 0
	}
	if b.left == 0 && b.chunked && !b.ended {
		if err := b.nextChunk(); err != nil {
			return nil, noEOF(err)
		}
	}
	if b.left == 0 {
		return nil, io.EOF
	}
	if _, err := b.r.Peek(1); err != nil {
		return nil, noEOF(err)
	}
	b.handed = min(b.left, b.r.Buffered())
	return b.r.Peek(b.handed)
}

// nextChunk reads from the end of one chunk's data to the start of the next one's.
func (b *bodyReader) nextChunk() error {
	if b.inChunk {
		if err := b.expectBlank(); err != nil {
			return err
		}
	}
	line, err := b.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
	if err != nil {
		return fmt.Errorf("chunk size %q", line)
	}
	b.left, b.inChunk = int(size), true
	if size == 0 {
		b.ended = true
		return b.expectBlank()
	}
	return nil
}

func (b *bodyReader) expectBlank() error {
	line, err := b.r.ReadSlice('\n')
	if err == nil && !bytes.Equal(line, blankLine) {
		err = fmt.Errorf("%q where a chunk ends", line)
	}
	return err
}

// noEOF: inside a message an end is never a clean one.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
