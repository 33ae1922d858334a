package gateway

import (
	"slices"
	"strings"
	"testing"
)

// mirror seals by turning a text around.
type mirror struct{}

func (mirror) Seal(text []byte, place ...string) string {
	b := []byte(strings.Join(place, "/") + ":" + string(text))
	slices.Reverse(b)
	return string(b)
}

func unsealed(b []byte) string {
	b = slices.Clone(b)
	slices.Reverse(b)
	return string(b)
}

// Prompt and answer are kept for organizations that want it: sealed for their place, without secrets, and not all of long
// ones.
func TestContentIsKept(t *testing.T) {
	t.Parallel()
	secretive := strings.Replace(chatBody, `"hi"`, `"hi, `+ourSecret+` and `+goodKey+`"`, 1)
	long := strings.Replace(chatBody, `"hi"`, `"`+strings.Repeat("é", 40_000)+`"`, 1)
	for name, c := range map[string]struct {
		body, answer string
		keep, sealer bool
		prompt, told string // empty: nothing is kept
	}{
		"off":            {chatBody, jsonAnswer(200, completion), false, true, "", ""},
		"no keyring":     {chatBody, jsonAnswer(200, completion), true, false, "", ""},
		"whole":          {chatBody, jsonAnswer(200, completion), true, true, chatBody, completion},
		"a stream":       {streamBody, streamHead + chunk(piece+piece+finish+done) + lastChunk, true, true, streamBody, "helhel"},
		"secrets":        {secretive, jsonAnswer(200, completion), true, true, strings.Replace(strings.Replace(secretive, ourSecret, "***", 1), goodKey, "***", 1), completion},
		"a long one":     {long, jsonAnswer(200, completion), true, true, long[:64<<10-1] + "\n[cut: 80055 bytes in all]", completion},
		"a large answer": {chatBody, jsonAnswer(200, largeUsed), true, true, chatBody, largeUsed[:64<<10] + "\n[cut: 1573059 bytes in all]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &ledger{}
			h := newHouse(t, []func(*asked) bool{answers(c.answer)}, l.into, func(h *house) {
				h.keepContent = c.keep
				if c.sealer {
					h.before = append(h.before, func(s *Server) { s.pipe.SealWith(mirror{}) })
				}
			})
			h.call(c.body)
			_, r := l.only(t)
			place := "call_contents/" + string(r.ID) + "/org:"
			for what, got := range map[string]struct{ is, want string }{"prompt": {unsealed(r.Prompt), c.prompt}, "answer": {unsealed(r.Answer), c.told}} {
				want := got.want
				if want != "" {
					want = place + want
				}
				if got.is != want {
					t.Errorf("%s: %d bytes %.200q … %.60q, want %d", what, len(got.is), got.is, got.is[max(0, len(got.is)-60):], len(want))
				}
			}
		})
	}
}
