package storage

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/vel-gateway/vel/accounting"
)

// A call is found by terms: the words of its tags' values and the first ones of its error. One value of a tag is mostly one word, so
// that a term finds a tag as well as a text; which key it belongs to is looked up in what it finds.

// errorWords is how many words of an error a call is found by.
const errorWords = 40

// termsOf are what a call is found by.
func termsOf(r *accounting.Record) (terms []string) {
	for _, t := range r.Tags {
		terms = append(terms, wordsOf(t.Value)...)
	}
	words := wordsOf(r.Error)
	terms = append(terms, words[:min(len(words), errorWords)]...)
	slices.Sort(terms)
	return slices.Compact(terms)
}

// wordsOf are the words of a text in lower case: letters and digits in a row, with the signs that stand in ids and names
// between them.
func wordsOf(text string) (words []string) {
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(within, r)
	}) {
		if w = clean(strings.Trim(w, within), longestIndexed); w != "" {
			words = append(words, w)
		}
	}
	return words
}

// within are the signs that stand within a word.
const within = "-_.:/@+"

// termsFor are the terms that calls must have: the longest, which mostly finds the fewest, and the others.
func termsFor(q *accounting.CallQuery) (term string, others []string) {
	words := wordsOf(q.Text)
	if q.Tag.Key != "" {
		words = append(words, wordsOf(q.Tag.Value)...)
	}
	if len(words) == 0 {
		return "", nil
	}
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	words = slices.Compact(words)
	return words[0], words[1:]
}
