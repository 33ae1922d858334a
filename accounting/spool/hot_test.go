package spool_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/vel-gateway/vel/accounting/spool"
)

// usual is a record as large as those of most calls.
var usual = bytes.Repeat([]byte("record "), 90)

func TestAppendAndNextDoNotAllocate(t *testing.T) {
	s := open(t, t.TempDir(), spool.Options{})
	add(t, s, "the first makes the segment and the buffer")
	if n := testing.AllocsPerRun(1000, func() {
		if err := s.Append(usual); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("an append allocates %v times", n)
	}
	r := s.Reader(spool.Cursor{})
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(200, func() {
		if _, _, err := r.Next(); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("to read a record allocates %v times", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	s, err := spool.Open(b.TempDir(), spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	b.SetBytes(int64(len(usual)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Append(usual); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite is the system's part of an append.
func BenchmarkWrite(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "file"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b.SetBytes(int64(len(usual)))
	var at int64
	for b.Loop() {
		n, err := f.WriteAt(usual, at)
		if err != nil {
			b.Fatal(err)
		}
		at += int64(n)
	}
}

func BenchmarkAppendFromMany(b *testing.B) {
	s, err := spool.Open(b.TempDir(), spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	b.SetBytes(int64(len(usual)))
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Append(usual); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	s, err := spool.Open(b.TempDir(), spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for range 10_000 {
		if err := s.Append(usual); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(usual)))
	b.ReportAllocs()
	r := s.Reader(spool.Cursor{})
	for b.Loop() {
		if _, _, err := r.Next(); errors.Is(err, io.EOF) {
			r = s.Reader(spool.Cursor{})
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
