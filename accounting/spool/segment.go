package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// segment is one file of frames. What changes in it is guarded by the spool's lock.
type segment struct {
	number uint64
	seed   seed
	size   int64 // up to which it may be read
	told   int64 // up to which its damages were told
	failed int   // how often reading it failed, one time after the other
}

const (
	suffix      = ".records"
	magic       = "velspool"
	format      = 1
	segmentHead = 48 // magic, format, identity, number, check
)

// The offsets in the head of a segment.
const (
	headFormat = 8
	headNode   = 12
	headKey    = headNode + nodeBytes
	headNumber = headKey + keyBytes
	headCheck  = headNumber + 8
)

func (g *segment) name() string { return fmt.Sprintf("%016d%s", g.number, suffix) }

// began is when: numbers are times.
func (g *segment) began() time.Time { return time.UnixMilli(int64(g.number)) }

// head is what the file begins with. It says who the directory is, so that this can be made good if its file is lost.
func (g *segment) head(node identity) []byte {
	b := make([]byte, segmentHead)
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[headFormat:], format)
	copy(b[headNode:], node.id[:])
	copy(b[headKey:], node.key[:])
	binary.LittleEndian.PutUint64(b[headNumber:], g.number)
	binary.LittleEndian.PutUint32(b[headCheck:], crc32.Checksum(b[:headCheck], castagnoli))
	return b
}

// readHead says whose segment it is; false: its head is damaged. It fails if the segment is of a later version of Vel.
func (g *segment) readHead(dir string) (identity, bool, error) {
	b := make([]byte, segmentHead)
	if err := readAt(filepath.Join(dir, g.name()), b, 0); err != nil {
		return identity{}, false, nil
	}
	checks := crc32.Checksum(b[:headCheck], castagnoli) == binary.LittleEndian.Uint32(b[headCheck:])
	if !checks || string(b[:len(magic)]) != magic || binary.LittleEndian.Uint64(b[headNumber:]) != g.number {
		return identity{}, false, nil
	}
	if f := binary.LittleEndian.Uint32(b[headFormat:]); f != format {
		return identity{}, false, fmt.Errorf("the spool's segment %s has format %d, and this version of Vel knows only %d", g.name(), f, format)
	}
	return newIdentity([nodeBytes]byte(b[headNode:]), [keyBytes]byte(b[headKey:])), true, nil
}

// readAt fills b from a file, which is open only for that long.
func readAt(path string, b []byte, offset int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = f.ReadAt(b, offset)
	return errors.Join(err, f.Close())
}

// listSegments finds the segments of a directory, in the order of their numbers.
func listSegments(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var segments []*segment
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), suffix)
		number, err := strconv.ParseUint(digits, 10, 63)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // another process has removed it meanwhile
		}
		if err != nil {
			return nil, err
		}
		segments = append(segments, &segment{number: number, size: info.Size()})
	}
	slices.SortFunc(segments, func(a, b *segment) int { return int(int64(a.number) - int64(b.number)) })
	return segments, nil
}

// mend makes the segments good that a killed process left: what it did not write to the end is cut off, and files without
// records go. The newest stays in any case: later ones have higher numbers because of it, also if the clock goes back.
func mend(dir string, segments []*segment) ([]*segment, error) {
	var kept []*segment
	for i, g := range segments {
		path := filepath.Join(dir, g.name())
		if g.size > segmentHead || i == len(segments)-1 {
			kept = append(kept, g)
		} else if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove an empty segment: %w", err)
		}
	}
	for _, g := range slices.Backward(kept) {
		if g.size <= segmentHead {
			continue
		}
		g.cut(filepath.Join(dir, g.name()))
		break
	}
	return kept, nil
}

// cut takes from the end of a segment what is the beginning of a frame and no more. All else stays for a reader to tell,
// also what the disk does not let us read or cut: the spool is open for new records in any case.
func (g *segment) cut(path string) {
	w := window{path: path, seed: g.seed}
	end := int64(segmentHead)
	for {
		record, at, ok, err := w.next(end, g.size)
		if err != nil {
			return
		}
		if !ok {
			break
		}
		end = at + frameHead + int64(len(record))
	}
	_, state, err := w.frame(end, g.size)
	if err == nil && state == torn && os.Truncate(path, end) == nil {
		g.size = end
	}
}
