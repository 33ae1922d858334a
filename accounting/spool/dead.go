package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// letters are the records that nobody will ever take. The oldest go when there are too many.
type letters struct {
	dir string

	mu    sync.Mutex // guards all that follows; it is held while a letter is written
	file  *os.File   // nil: none was written yet
	size  int64
	count uint64 // of those that are there
	dirty bool
	ended bool
}

const (
	letterFile  = 8 << 20 // bytes of one file
	letterFiles = 8
)

// letter is a line of the file.
type letter struct {
	Time   time.Time `json:"time"`
	Why    string    `json:"why"`
	Record []byte    `json:"record"` // in base64
}

// Bury puts a record aside that will never be taken, with the reason. It is synced as records are.
func (s *Spool) Bury(record []byte, why error) error {
	line, err := json.Marshal(letter{time.Now().UTC(), why.Error(), record})
	if err != nil {
		return fmt.Errorf("encode a dead letter: %w", err)
	}
	if err := s.dead.write(append(line, '\n')); err != nil {
		return fmt.Errorf("write a dead letter: %w", err)
	}
	s.mu.Lock()
	s.mark()
	s.mu.Unlock()
	return nil
}

// open counts what is there.
func (l *letters) open(dir string) error {
	l.dir = dir
	names, err := l.names()
	if err != nil {
		return fmt.Errorf("read the dead letters: %w", err)
	}
	for _, name := range names {
		n, err := countLines(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("read the dead letters: %w", err)
		}
		l.count += n
	}
	return nil
}

// names are those of the files, the oldest first.
func (l *letters) names() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".jsonl") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

func countLines(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return uint64(bytes.Count(b, []byte{'\n'})), err
}

func (l *letters) write(line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return ErrClosed
	}
	if l.file == nil || l.size+int64(len(line)) > letterFile && l.size > 0 {
		if err := l.turn(); err != nil {
			return err
		}
	}
	if _, err := l.file.WriteAt(line, l.size); err != nil {
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(len(line))
	l.count++
	l.dirty = true
	return nil
}

// turn begins another file and takes the oldest away. Each process begins its own: the last line of another's may be cut
// short.
func (l *letters) turn() error {
	if err := makeDir(l.dir); err != nil {
		return err
	}
	names, err := l.names()
	if err != nil {
		return err
	}
	for len(names) >= letterFiles {
		path := filepath.Join(l.dir, names[0])
		n, err := countLines(path)
		if err := errors.Join(err, os.Remove(path)); err != nil {
			return err
		}
		l.count -= min(n, l.count)
		names = names[1:]
	}
	path := filepath.Join(l.dir, fmt.Sprintf("%019d.jsonl", time.Now().UnixNano()))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if l.file != nil {
		err = errors.Join(l.file.Sync(), l.file.Close())
	}
	l.file, l.size = f, 0
	return errors.Join(err, syncDir(l.dir))
}

// sync brings to the disk what was written since the last time.
func (l *letters) sync(fsync func(*os.File) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty {
		return nil
	}
	l.dirty = false
	return fsync(l.file)
}

func (l *letters) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.file == nil {
		return nil
	}
	return errors.Join(l.file.Sync(), l.file.Close())
}

func (l *letters) number() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}
