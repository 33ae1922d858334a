package storage

import (
	"strings"
	"unicode"
)

// wordsOf are the words of a text: letters and digits in a row, in lower case.
func wordsOf(text string) []string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i := range words {
		words[i] = clean(words[i], longestIndexed)
	}
	return words
}
