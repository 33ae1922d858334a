package upstream

import "errors"

// errFraming says that a chunked body breaks the grammar of RFC 9112 §7.1. What follows can not be trusted.
var errFraming = errors.New("malformed chunked body")

// maxChunk bounds one chunk size, far above anything real, so that a length never overflows.
const maxChunk = 1 << 40

// dechunker follows the framing of a chunked body, in place: what it returns aliases what it was fed, with
// the chunks of one read moved together, so that they leave in one write. The zero value is at the beginning.
//
//	size ──CR──▶ sizeLF ──LF──▶ data ──▶ dataCR ──▶ dataLF ──▶ size
//	 └─;─▶ extension ─CR─▲    └─0─▶ trailer ──empty line──▶ done
type dechunker struct {
	state  chunkState
	digits uint8
	blank  bool // the trailer's current line is empty so far
	left   int64
}

type chunkState uint8

const (
	chunkSize chunkState = iota
	chunkExtension
	chunkSizeLF
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer
	chunkDone
)

func (d *dechunker) done() bool { return d.state == chunkDone }

// feed decodes b in place. It returns the payload and how many bytes of b belong to this body: fewer than
// len(b) only at the end, when something follows that nobody asked for.
func (d *dechunker) feed(b []byte) (payload []byte, used int, err error) {
	begin, end := -1, 0
	for used < len(b) && d.state != chunkDone {
		if d.state != chunkData {
			if err := d.step(b[used]); err != nil {
				return nil, used, err
			}
			used++
			continue
		}
		n := int(min(int64(len(b)-used), d.left))
		if begin < 0 {
			begin, end = used, used
		}
		if end != used {
			copy(b[end:], b[used:used+n])
		}
		end, used = end+n, used+n
		if d.left -= int64(n); d.left == 0 {
			d.state = chunkDataCR
		}
	}
	if begin < 0 {
		return nil, used, nil
	}
	return b[begin:end], used, nil
}

// step takes one byte of framing.
func (d *dechunker) step(c byte) error {
	switch d.state {
	case chunkSize:
		return d.size(c)
	case chunkExtension:
		if c == '\n' {
			return errFraming // a bare LF: two parsers would disagree on where the chunk begins
		}
		if c == '\r' {
			d.state = chunkSizeLF
		}
	case chunkSizeLF:
		return d.expect(c, '\n', d.afterSize())
	case chunkDataCR:
		return d.expect(c, '\r', chunkDataLF)
	case chunkDataLF:
		d.digits = 0
		return d.expect(c, '\n', chunkSize)
	case chunkTrailer:
		switch {
		case c == '\n' && d.blank:
			d.state = chunkDone
		case c == '\n':
			d.blank = true
		case c != '\r':
			d.blank = false
		}
	}
	return nil
}

func (d *dechunker) size(c byte) error {
	digit := int64(0)
	switch {
	case c >= '0' && c <= '9':
		digit = int64(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		digit = int64(c|0x20-'a') + 10
	case d.digits == 0:
		return errFraming
	case c == ';' || c == ' ' || c == '\t':
		d.state = chunkExtension
		return nil
	case c == '\r':
		d.state = chunkSizeLF
		return nil
	default:
		return errFraming
	}
	d.left = d.left<<4 | digit
	d.digits = 1
	if d.left > maxChunk {
		return errFraming
	}
	return nil
}

func (d *dechunker) afterSize() chunkState {
	if d.left == 0 {
		d.blank = true
		return chunkTrailer
	}
	return chunkData
}

func (d *dechunker) expect(c, want byte, next chunkState) error {
	if c != want {
		return errFraming
	}
	d.state = next
	return nil
}
