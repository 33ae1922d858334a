package spool

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Letter is a record that was put aside.
type Letter struct {
	Time   time.Time
	Why    string
	Record []byte
}

// Letters gives the records that were put aside in a directory, which a process may have open, the oldest first. A line
// that is cut short is left out.
func Letters(dir string, each func(Letter) error) error {
	l := letters{dir: filepath.Join(dir, "dead")}
	names, err := l.names()
	if err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	for _, name := range names {
		if err := readLetters(filepath.Join(l.dir, name), each); err != nil {
			return fmt.Errorf("read the dead letters: %w", err)
		}
	}
	return nil
}

func readLetters(path string, each func(Letter) error) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the oldest go when there are too many
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 2*maxRecord)
	for lines.Scan() {
		var l letter
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		if err := each(Letter(l)); err != nil {
			return err
		}
	}
	return lines.Err()
}
