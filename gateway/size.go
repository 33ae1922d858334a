package gateway

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes. In the file it has a unit: B, KiB, MiB, GiB or TiB in powers of 1024; KB, MB, GB
// or TB in powers of 1000.
type Size int64

// sizeUnits from the longest suffix to the shortest, so that "MiB" is not read as "B".
var sizeUnits = [...]struct {
	suffix string
	bytes  int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// UnmarshalText reads a whole number and its unit. A bare number is refused, but for 0: nobody can say later
// whether 64 meant bytes or megabytes.
func (s *Size) UnmarshalText(text []byte) error {
	in := string(text)
	if in == "0" {
		*s = 0
		return nil
	}
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(in, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/unit.bytes {
			break
		}
		*s = Size(n * unit.bytes)
		return nil
	}
	return errors.New("not a size")
}

// String writes the size with the largest unit that keeps it whole.
func (s Size) String() string {
	for _, unit := range sizeUnits[:4] {
		if s != 0 && int64(s)%unit.bytes == 0 {
			return strconv.FormatInt(int64(s)/unit.bytes, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText writes the size as String does.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
