package spool

import (
	"encoding/binary"
	"hash/crc32"
)

const (
	frameHead = 12       // bytes before the record
	maxRecord = 16 << 20 // bytes; what a reader holds in memory at most
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seed is what the checks of a segment begin with.
type seed uint32

// at is what the checks of a frame begin with: its bytes do not check in another place.
func (s seed) at(offset int64) uint32 {
	return uint32(s) ^ uint32(offset) ^ uint32(offset>>32)
}

// frame makes the frame of a record in b. It allocates only what b lacks.
func (s seed) frame(b []byte, offset int64, record []byte) []byte {
	b = append(b[:0], make([]byte, frameHead)...)
	b = append(b, record...)
	binary.LittleEndian.PutUint32(b, uint32(len(record)))
	check := crc32.Update(s.at(offset), castagnoli, b[:4])
	binary.LittleEndian.PutUint32(b[4:], check)
	binary.LittleEndian.PutUint32(b[8:], crc32.Update(check, castagnoli, b[frameHead:]))
	return b
}

// length is how long the record is whose frame begins with b, at that offset; false: no frame begins there.
func (s seed) length(b []byte, offset int64) (int, bool) {
	n := binary.LittleEndian.Uint32(b)
	return int(n), n <= maxRecord && crc32.Update(s.at(offset), castagnoli, b[:4]) == binary.LittleEndian.Uint32(b[4:])
}

// record is what the frame holds; false: it does not check. The length has been checked before.
func (s seed) record(frame []byte) ([]byte, bool) {
	record := frame[frameHead:]
	check := binary.LittleEndian.Uint32(frame[4:])
	return record, crc32.Update(check, castagnoli, record) == binary.LittleEndian.Uint32(frame[8:])
}
