package spool

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// quarantine is where damaged segments are kept.
const quarantine = "quarantine"

// maxQuarantine is how many damaged segments are kept. A disk that dies must not fill itself with them.
const maxQuarantine = 8

// checkHead tells if the head of a segment is damaged. Its records do not need it.
func (s *Spool) checkHead(g segment) {
	if _, ok, err := g.readHead(s.dir); !ok {
		s.damaged(&Damage{Segment: g.number, To: segmentHead, Cause: err})
	}
}

// damaged keeps the segment and tells of the damage, once for each place.
func (s *Spool) damaged(d *Damage) {
	s.mu.Lock()
	g := s.find(d.Segment)
	if g == nil || d.From < g.told {
		s.mu.Unlock()
		return
	}
	g.told = d.To
	s.damages++
	s.mu.Unlock()

	var err error
	if d.Kept, err = keep(s.dir, g.name()); err != nil {
		d.Cause = errors.Join(d.Cause, err)
	}
	if s.options.Damaged != nil {
		s.options.Damaged(d)
	}
}

// errQuarantineFull is why a segment is not kept.
var errQuarantineFull = errors.New("the quarantine is full")

// keep gives a segment a second name, which stays when the first one goes; or copies it, where files have one name only.
func keep(dir, name string) (string, error) {
	into := filepath.Join(dir, quarantine)
	kept := filepath.Join(into, name)
	if _, err := os.Lstat(kept); err == nil {
		return kept, nil
	}
	if err := makeDir(into); err != nil {
		return "", err
	}
	if entries, err := os.ReadDir(into); err != nil || len(entries) >= maxQuarantine {
		return "", errors.Join(err, errQuarantineFull)
	}
	from := filepath.Join(dir, name)
	if os.Link(from, kept) != nil {
		if err := copyFile(from, kept); err != nil {
			return "", err
		}
	}
	return kept, syncDir(into)
}

// copyFile copies a file as a whole or not at all.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}
