package secrets

import (
	"cmp"
	"slices"
	"strings"
)

// shortest is the length below which a value is too common to be replaced in text: a provider key "none"
// must not turn every "none" of an error message into ***.
const shortest = 8

// Redactor replaces every secret that it knows in text that leaves the process. It is immutable and safe
// for concurrent use; the nil Redactor changes nothing.
type Redactor struct{ replace *strings.Replacer }

// NewRedactor knows the given secrets. Longer ones are replaced first, so that a secret which is the
// beginning of another does not leave that one's rest behind.
func NewRedactor(known ...Secret) *Redactor {
	values := make([]string, 0, len(known))
	for _, s := range known {
		if value := s.Reveal(); len(value) >= shortest {
			values = append(values, value)
		}
	}
	slices.SortFunc(values, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	pairs := make([]string, 0, 2*len(values))
	for _, v := range slices.Compact(values) {
		pairs = append(pairs, v, mask)
	}
	return &Redactor{strings.NewReplacer(pairs...)}
}

// Scrub returns text without the known secrets.
func (r *Redactor) Scrub(text string) string {
	if r == nil {
		return text
	}
	return r.replace.Replace(text)
}
