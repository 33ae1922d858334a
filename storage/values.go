package storage

import (
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// How Go's values stand in the database, in both directions.

// micros is a time as microseconds since 1970; the zero time is 0.
type micros struct{ at *time.Time }

func (m micros) Value() (driver.Value, error) { return toMicros(*m.at), nil }

func (m micros) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a time is no number but %T", src)
	}
	*m.at = fromMicros(n)
	return nil
}

// MarshalJSON is how an audit event shows the time.
func (m micros) MarshalJSON() ([]byte, error) {
	if m.at.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(m.at.UTC())
}

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// list is strings as JSON in a text.
type list[S ~string] struct{ of *[]S }

func (l list[S]) Value() (driver.Value, error) {
	if len(*l.of) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(*l.of)
	return string(text), err
}

// MarshalJSON is how an audit event shows the list.
func (l list[S]) MarshalJSON() ([]byte, error) {
	text, err := l.Value()
	if err != nil {
		return nil, err
	}
	return []byte(text.(string)), nil
}

func (l list[S]) Scan(src any) error {
	*l.of = nil
	text, err := text(src)
	if err != nil || text == "[]" {
		return err
	}
	return json.Unmarshal([]byte(text), l.of)
}

// digest is a hash in hex; the zero hash is the empty text.
type digest struct{ of *tenancy.Hash }

func (d digest) Value() (driver.Value, error) {
	if *d.of == (tenancy.Hash{}) {
		return "", nil
	}
	return hex.EncodeToString(d.of[:]), nil
}

func (d digest) Scan(src any) error {
	text, err := text(src)
	if err != nil {
		return err
	}
	*d.of = tenancy.Hash{}
	if text == "" {
		return nil
	}
	if n, err := hex.Decode(d.of[:], []byte(text)); err != nil || n != len(d.of) {
		return fmt.Errorf("%d characters are no hash", len(text))
	}
	return nil
}

// allowed is a set of permissions as a list of their names.
type allowed struct{ of *tenancy.Permissions }

func (a allowed) Value() (driver.Value, error) {
	names := a.of.Names()
	return list[string]{&names}.Value()
}

// MarshalJSON is how an audit event shows the set.
func (a allowed) MarshalJSON() ([]byte, error) { return json.Marshal(a.of.Names()) }

func (a allowed) Scan(src any) (err error) {
	var names []string
	if err = (list[string]{&names}).Scan(src); err == nil {
		*a.of, err = tenancy.PermissionsOf(names)
	}
	return err
}

func text(src any) (string, error) {
	switch v := src.(type) {
	case string:
		return v, nil
	case []byte:
		return string(v), nil
	}
	return "", fmt.Errorf("a text is none but %T", src)
}
