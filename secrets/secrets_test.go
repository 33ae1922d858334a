package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const canary = "sk-canary-0123456789"

// TestNothingShowsASecret sends a secret through everything that makes text of a value.
func TestNothingShowsASecret(t *testing.T) {
	t.Parallel()
	s := New(canary)
	holder := struct {
		Key     Secret
		Pointer *Secret
		List    []Secret
	}{s, &s, []Secret{s}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "secret", s, "pointer", &s, "holder", holder)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "secret", s, "holder", holder)
	encoded, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(encoded)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
		shown += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, &s) + fmt.Sprintf(verb, holder)
	}
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(shown, form) {
			t.Errorf("%q is shown in %s", form, shown)
		}
	}
	if s.Reveal() != canary {
		t.Error("Reveal does not give the value")
	}
	if New("").String() != "" || !New("").IsZero() {
		t.Error("an empty secret looks like one")
	}
}

func TestScrub(t *testing.T) {
	t.Parallel()
	r := NewRedactor(New("none"), New(canary), New(canary+"-longer"), New(canary))
	for text, want := range map[string]string{
		"":                                     "",
		"none of it":                           "none of it",
		"key " + canary + " refused":           "key *** refused",
		canary + canary:                        "******",
		"a " + canary + "-longer one":          "a *** one",
		"the beginning of it: sk-canary-01234": "the beginning of it: sk-canary-01234",
	} {
		if got := r.Scrub(text); got != want {
			t.Errorf("Scrub(%q) = %q, want %q", text, got, want)
		}
	}
	if got := (*Redactor)(nil).Scrub(canary); got != canary {
		t.Errorf("the nil redactor changed the text to %q", got)
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	stars := strings.Repeat("*", len(canary))
	for text, want := range map[string]string{
		"":                        "",
		"none":                    "none",
		canary:                    stars,
		"a" + canary + canary:     "a" + stars + stars,
		canary[1:] + canary + "b": canary[1:] + stars + "b",
	} {
		p := []byte(text)
		New(canary).Mask(p)
		if string(p) != want {
			t.Errorf("Mask(%q) = %q, want %q", text, p, want)
		}
	}
	p := []byte("none")
	New("none").Mask(p)
	Secret{}.Mask(p)
	if string(p) != "none" {
		t.Errorf("a short secret was masked: %q", p)
	}
}

// TestScrubLeavesNone: whatever surrounds a known secret, it is not in the result.
func TestScrubLeavesNone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		known := rapid.SliceOfN(rapid.StringMatching(`[a-c]{8,12}`), 1, 4).Draw(t, "known")
		all := make([]Secret, len(known))
		for i, k := range known {
			all[i] = New(k)
		}
		text := rapid.StringMatching(`[a-d]{0,20}`).Draw(t, "before") + rapid.SampledFrom(known).Draw(t, "one") + rapid.StringMatching(`d[a-d]{0,20}`).Draw(t, "after")
		got := NewRedactor(all...).Scrub(text)
		for _, k := range known {
			if strings.Contains(got, k) {
				t.Fatalf("Scrub(%q) = %q still holds %q", text, got, k)
			}
		}
	})
}
