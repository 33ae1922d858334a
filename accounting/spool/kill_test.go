package spool_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/accounting/spool"
)

// A process is killed while it appends, again and again in the same directory. What it said that it took is read exactly
// once over all its lives, in order, and nothing is read that was not appended.
func TestKilledProcessLeavesEveryRecordThatItTook(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprintf("strict %v", strict), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var env []string
			if strict {
				env = append(env, "SPOOL_TEST_STRICT=1")
			}
			next := 0
			var cursor spool.Cursor
			seen := map[int]bool{}
			for range 8 {
				p := start(t, dir, env...)
				taken := p.hammer(&next, 1+rand.IntN(300))
				cursor = collect(t, dir, cursor, seen)
				for _, number := range taken {
					if !seen[number] {
						t.Fatalf("record %d was taken, and is lost", number)
					}
				}
			}
			if len(seen) == 0 {
				t.Error("nothing was ever read")
			}
		})
	}
}

// hammer appends as fast as it goes, and kills the process after so many answers. It says what was taken.
func (p *process) hammer(next *int, answers int) (taken []int) {
	first := *next
	asked := make(chan int)
	go func() {
		w := bufio.NewWriter(p.in)
		n := first
		for ; ; n++ {
			if _, err := fmt.Fprintln(w, 1+rand.IntN(20_000), n); err != nil {
				break // it is dead
			}
		}
		asked <- n
	}()
	for i := range answers {
		line, err := p.out.ReadString('\n')
		if err != nil || line != "taken\n" {
			p.t.Errorf("it said %q, %v", line, err)
			break
		}
		taken = append(taken, first+i)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	defer func() { _ = p.cmd.Wait() }() // it says that it was killed
	*next = <-asked + 1
	for { // what it said before it died
		line, err := p.out.ReadString('\n')
		if err != nil || line != "taken\n" {
			return taken
		}
		taken = append(taken, first+len(taken))
	}
}

// collect reads what a directory has after a cursor. What was read before must not come again, and nothing is damaged.
func collect(t *testing.T, dir string, from spool.Cursor, seen map[int]bool) spool.Cursor {
	t.Helper()
	s := open(t, dir, spool.Options{Damaged: func(d *spool.Damage) { t.Error(d) }})
	r, last := s.Reader(from), -1
	for {
		record, after, err := r.Next()
		if errors.Is(err, io.EOF) {
			if err := errors.Join(s.Remove(after), s.Close()); err != nil {
				t.Error(err)
			}
			return after
		}
		if err != nil {
			t.Fatal(err)
		}
		digits, _, _ := strings.Cut(string(record), " ")
		number, err := strconv.Atoi(digits)
		if err != nil || seen[number] || number <= last || string(record) != string(filled(number, len(record))) {
			t.Fatalf("record %.40q came after %d; seen before: %v", record, last, seen[number])
		}
		seen[number], last = true, number
	}
}
