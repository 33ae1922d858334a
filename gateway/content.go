package gateway

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// Sealer encrypts a text for the place where it will lie. secrets.Keyring is one.
type Sealer interface {
	Seal(text []byte, place ...string) string
}

// SealWith lets the pipeline keep the prompts and answers of organizations that want it, sealed. It is called before the
// first call; without it nobody's are kept.
func (p *Pipeline) SealWith(s Sealer) { p.sealer = s }

// How much of a prompt, and of an answer, is kept, and how much of it is looked at for secrets that stand over the edge.
const (
	longestContent = 64 << 10
	beyondContent  = 8 << 10
)

// keepsContent tells whether prompt and answer go into the record.
func (c *Call) keepsContent() bool {
	return c.Who != nil && c.Who.KeepContent && c.pipe.sealer != nil && c.Content.Endpoint != adapters.Objects
}

// keepAnswer remembers what the client gets of an answer that is no stream, as long as it is there.
func (c *Call) keepAnswer() {
	if !c.keepsContent() {
		return
	}
	for _, piece := range c.pieces {
		c.answerSize += len(piece)
		room := longestContent + beyondContent - len(c.answer)
		c.answer = append(c.answer, piece[:max(0, min(room, len(piece)))]...)
	}
}

// keepContent seals prompt and answer into the record. A prompt that is no JSON is not kept, nor is an answer that is none
// and no stream of text.
func (c *Call) keepContent() {
	if !c.keepsContent() {
		return
	}
	if body := c.Content.Body; c.Content.Boundary == nil && !c.Content.IsForm() && utf8.Valid(body) {
		c.record.Prompt = c.seal(body, len(body))
	}
	if c.stream == nil {
		c.record.Answer = c.seal(c.answer, max(c.answerSize, len(c.answer)))
		return
	}
	said := c.texts.Said.String()
	if !c.texts.Thought.Empty() {
		said = c.texts.Thought.String() + "\n\n" + said
	}
	size := len(said)
	if c.texts.Said.Cut() || c.texts.Thought.Cut() {
		size = max(size+1, c.texts.Said.Size()+c.texts.Thought.Size())
	}
	c.record.Answer = c.seal([]byte(said), size)
}

// seal makes of the beginning of a text what may be stored: without secrets, cut with a mark that it was, and encrypted for
// this call.
func (c *Call) seal(text []byte, size int) []byte {
	if len(text) == 0 {
		return nil
	}
	kept := c.scrub(string(text[:min(len(text), longestContent+beyondContent)]))
	if len(kept) > longestContent || size > len(text) || len(text) > longestContent+beyondContent {
		kept = strings.ToValidUTF8(kept[:min(len(kept), longestContent)], "") + "\n[cut: " + strconv.Itoa(size) + " bytes in all]"
	}
	return []byte(c.pipe.sealer.Seal([]byte(kept), accounting.ContentPlace(c.Who.Org, tenancy.ID(c.ID))...))
}
