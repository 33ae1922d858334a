package ratelimit_test

import (
	"testing"

	"github.com/vel-gateway/vel/ratelimit"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for p := ratelimit.Second; p <= ratelimit.Total; p++ {
		if back, ok := ratelimit.ParsePer(p.String()); !ok || back != p {
			t.Errorf("%s is read as %s, %v", p, back, ok)
		}
	}
	for f := ratelimit.Local; f <= ratelimit.Open; f++ {
		if back, ok := ratelimit.ParseOnStoreFailure(f.String()); !ok || back != f {
			t.Errorf("%s is read as %s, %v", f, back, ok)
		}
	}
	for _, word := range []string{"", "unknown", "Hour", "hours"} {
		if p, ok := ratelimit.ParsePer(word); ok || p != 0 {
			t.Errorf("%q is the time %s", word, p)
		}
		if f, ok := ratelimit.ParseOnStoreFailure(word); ok || f != ratelimit.Local {
			t.Errorf("%q is %s", word, f)
		}
	}
	if word := ratelimit.Per(0).String() + ratelimit.OnStoreFailure(9).String(); word != "unknownunknown" {
		t.Errorf("what is none is called %s", word)
	}
}
