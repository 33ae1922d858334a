package simulator

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMarkers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, rest string
		given      []string
	}{
		{"plain", "plain", nil},
		{"a [[gzip]] b", "a  b", []string{"gzip"}},
		{"[[latency=200ms chunks=50]] x [[die=10]]", "x", []string{"latency=200ms", "chunks=50", "die=10"}},
		{"[[1, 2], [3, 4]]", "[[1, 2], [3, 4]]", nil},
		{"[[ -f x ]]", "[[ -f x ]]", nil},
		{"[[[gzip]]]", "[]", []string{"gzip"}},
		{"[[gzip", "[[gzip", nil},
		{"[[]]", "[[]]", nil},
		{"", "", nil},
	} {
		given, rest := markers(c.text)
		if !slices.Equal(given, c.given) || rest != c.rest {
			t.Errorf("markers(%q) = %q, %q; want %q, %q", c.text, given, rest, c.given, c.rest)
		}
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words string
		wrong []string // what the error must name; nil: no error
	}{
		{"latency=200ms delay=0 chunks=3 gzip retry_after=2 status=429", nil},
		{"retry_after=300ms error_rate=0.5 usage=none huge=1000 id=a fail=2", nil},
		{"gzip=true crlf=false", nil},
		{"nonsense gzip other=1", []string{`"nonsense"`, `"other"`}},
		{"gzip gzip", []string{"twice"}},
		{"gzip=1", []string{`"gzip"`}},
		{"chunks=-1", []string{`"chunks"`}},
		{"chunks=", []string{`"chunks"`}},
		{"status=200", []string{`"status"`}},
		{"latency=2h", []string{`"latency"`}},
		{"error_rate=NaN", []string{`"error_rate"`}},
		{"usage=some", []string{`"usage"`}},
		{"chunks=1000000 size=1000000", []string{"chunks × size"}},
	} {
		var f faults
		err := f.apply(strings.Fields(c.words))
		if (err == nil) != (c.wrong == nil) {
			t.Errorf("%q: %v", c.words, err)
		}
		for _, w := range c.wrong {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %q does not name %s", c.words, err, w)
			}
		}
	}
}

func TestMarkerWinsOverServer(t *testing.T) {
	t.Parallel()
	var f faults
	if err := f.apply([]string{"latency=1s", "gzip"}); err != nil {
		t.Fatal(err)
	}
	if err := f.apply([]string{"latency=0", "gzip=false", "crlf"}); err != nil {
		t.Fatal(err)
	}
	if want := (faults{latency: opt[time.Duration]{0, true}, crlf: true}); f != want {
		t.Errorf("got %+v", f)
	}
}

func TestEveryWordIsDocumentedOnce(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, w := range words {
		if w.Help == "" || seen[w.Name] || strings.ContainsAny(w.Name, " =[]") {
			t.Errorf("word %q", w.Name)
		}
		seen[w.Name] = true
	}
}

func FuzzMarkers(f *testing.F) {
	for _, seed := range []string{"a [[gzip]] b", "[[[x]]", "[[latency=1ms fail=2 id=z]]", "[[", "]]", "[[a]][[b=]]", "[[é]]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		given, rest := markers(text)
		if len(rest) > len(text) {
			t.Fatalf("%q grew to %q", text, rest)
		}
		if given == nil && rest != strings.TrimSpace(text) {
			t.Fatalf("%q without a marker became %q", text, rest)
		}
		for _, w := range given {
			if w == "" || strings.ContainsAny(w, " \n\t") {
				t.Fatalf("word %q of %q", w, text)
			}
		}
		var x faults
		if err := x.apply(given); err == nil && x.chunks.or(1)*x.size.or(1) > maxSize {
			t.Fatalf("%q passed the bounds", given)
		}
	})
}
