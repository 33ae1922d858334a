package accounting

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/tiktoken-go/tokenizer/codec"
)

// Tokens counts tokens as OpenAI's models do, for calls whose provider does not tell how many there were. It is an estimate
// for everybody else's models. A vocabulary takes some 8 MiB of memory once it is used, and is not
// made before.
type Tokens struct {
	newer, older func() *codec.Codec
}

// NewTokens makes a counter. It is safe for concurrent use.
func NewTokens() *Tokens {
	return &Tokens{newer: sync.OnceValue(codec.NewO200kBase), older: sync.OnceValue(codec.NewCl100kBase)}
}

// Count is the number of tokens of a text, by the vocabulary of the model: cl100k_base for those models of OpenAI's that
// have it, o200k_base for all others, known or not.
func (t *Tokens) Count(model, text string) int64 {
	of := t.newer
	if hasOlder(model) {
		of = t.older
	}
	n, err := of().Count(text)
	if err != nil { // its expressions have no timeout and no other reason to fail
		return int64(utf8.RuneCountInString(text))
	}
	return int64(n)
}

// hasOlder tells whether a model was made before o200k_base.
func hasOlder(model string) bool {
	model = strings.TrimPrefix(strings.TrimPrefix(model, "ft:"), "openai/")
	for _, name := range [...]string{"gpt-4", "gpt-3.5", "gpt-35", "text-embedding-", "davinci-002", "babbage-002"} {
		if rest, ok := strings.CutPrefix(model, name); ok {
			return name != "gpt-4" || rest == "" || rest[0] == '-' || rest[0] == ':' // not gpt-4o, not gpt-4.1
		}
	}
	return false
}
