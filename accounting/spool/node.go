package spool

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	nodeBytes = 16
	keyBytes  = 8
	nodeName  = "node"
)

// identity is who a directory is.
type identity struct {
	name string // node_ and the id
	id   [nodeBytes]byte
	key  [keyBytes]byte // makes the checks of its frames differ from those of all others
}

func newIdentity(id [nodeBytes]byte, key [keyBytes]byte) identity {
	return identity{"node_" + hex.EncodeToString(id[:]), id, key}
}

// seed is that of a segment.
func (n identity) seed(number uint64) seed {
	return seed(crc32.Checksum(binary.LittleEndian.AppendUint64(n.key[:], number), castagnoli))
}

// line is the file: the id, the key and a check of both.
func (n identity) line() string {
	return fmt.Sprintf("%s %x %08x\n", n.name, n.key, n.check())
}

func (n identity) check() uint32 {
	return crc32.Checksum(slices.Concat(n.id[:], n.key[:]), castagnoli)
}

// identify says who the directory is. If the file is lost or damaged the segments say it: with another name records that
// are stored already would be stored again.
func identify(dir string, segments []*segment) (identity, error) {
	path := filepath.Join(dir, nodeName)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return identity{}, fmt.Errorf("read the spool's node: %w", err)
	}
	node, known := parseIdentity(string(text))
	for _, g := range slices.Backward(segments) {
		said, ok, err := g.readHead(dir)
		if err != nil {
			return identity{}, err
		}
		if known {
			return node, nil
		}
		if ok {
			return said, said.write(path)
		}
	}
	if known {
		return node, nil
	}
	node = makeIdentity()
	return node, node.write(path)
}

func (n identity) write(path string) error {
	if err := writeFile(path, []byte(n.line())); err != nil {
		return fmt.Errorf("write the spool's node: %w", err)
	}
	return nil
}

func makeIdentity() identity {
	var id [nodeBytes]byte
	var key [keyBytes]byte
	_, _ = rand.Read(id[:]) // it never fails
	_, _ = rand.Read(key[:])
	return newIdentity(id, key)
}

func parseIdentity(text string) (identity, bool) {
	name, rest, _ := strings.Cut(text, " ")
	key, _, _ := strings.Cut(rest, " ")
	id, err := hex.DecodeString(strings.TrimPrefix(name, "node_"))
	k, keyErr := hex.DecodeString(key)
	if err != nil || keyErr != nil || len(id) != nodeBytes || len(k) != keyBytes {
		return identity{}, false
	}
	node := newIdentity([nodeBytes]byte(id), [keyBytes]byte(k))
	return node, node.line() == text
}

// writeFile writes a file as a whole or not at all, also if there is one.
func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
