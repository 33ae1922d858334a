package spool_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vel-gateway/vel/accounting/spool"
)

// A file that may not grow takes a part of a write and refuses the rest. That part is taken back, the segment goes on with
// a record that fits, and when no more fits nothing is lost that was taken.
func TestDiskThatTakesAPartOfAWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir, "SPOOL_TEST_FILE_LIMIT=10000")
	var taken []int
	refused := 0
	for i, bytes := range []int{4000, 4000, 4000, 500, 9000, 1000, 9000, 100, 4000} {
		switch said := p.ask(bytes, i); said {
		case "taken":
			taken = append(taken, i)
		case "broken":
			refused++
		default:
			t.Fatalf("it said %q", said)
		}
	}
	p.end()
	if want := []int{0, 1, 3, 5, 7}; !slices.Equal(taken, want) || refused != 4 {
		t.Errorf("taken were %v, want %v, and %d refused", taken, want, refused)
	}
	if n, want := len(read(t, segments(t, dir)[0])), 48+5*12+4000+4000+500+1000+100; n != want {
		t.Errorf("the segment has %d bytes, want %d", n, want)
	}
	same(t, dir, taken)
}

// same checks that a directory has the records of those numbers, and no damage.
func same(t *testing.T, dir string, numbers []int) {
	t.Helper()
	s := open(t, dir, spool.Options{Damaged: func(d *spool.Damage) { t.Error(d) }})
	var got, all []string
	records, _ := rest(t, s.Reader(spool.Cursor{}))
	for _, r := range records {
		digits, _, _ := strings.Cut(r, " ")
		got = append(got, digits)
	}
	for _, n := range numbers {
		all = append(all, fmt.Sprint(n))
	}
	want(t, got, all...)
}

// limitFiles is what a child does before it begins.
func limitFiles(text string) {
	var limit uint64
	if _, err := fmt.Sscan(text, &limit); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
