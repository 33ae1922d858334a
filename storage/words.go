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
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(inWord, r)
	}) {
		if w = clean(strings.Trim(w, inWord), longestIndexed); w != "" {
			words = append(words, w)
		}
	}
	return words
}

// inWord are the signs that stand within a word.
const inWord = "-_.:/@+"

// termsFor are the terms that calls must have: first the longest, which mostly finds the fewest.
func termsFor(q *accounting.CallQuery) []string {
	words := wordsOf(q.Text)
	if q.Tag.Key != "" {
		words = append(words, wordsOf(q.Tag.Value)...)
	}
	slices.SortFunc(words, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(words)
}

// hasTerms tells whether a call is found by all of some terms.
func hasTerms(r *accounting.Record, terms []string) bool {
	has := termsOf(r)
	for _, t := range terms {
		if _, found := slices.BinarySearch(has, t); !found {
			return false
		}
	}
	return true
}
