package spool

import (
	"encoding/binary"
	"hash/crc32"
	"os"
)

// OnSync lets f take the place of the disk's sync. It comes before the first record.
func (s *Spool) OnSync(f func(*os.File) error) { s.fsync = f }

// WithFormat is the segment with another format in its head.
func WithFormat(segment []byte, format uint32) []byte {
	binary.LittleEndian.PutUint32(segment[headFormat:], format)
	binary.LittleEndian.PutUint32(segment[headCheck:], crc32.Checksum(segment[:headCheck], castagnoli))
	return segment
}
