package simulator

import "strings"

// markers takes the fault words out of a text: every [[…]] whose first character is a small letter. It
// returns the words of all markers in their order, and the text without the markers, spaces trimmed.
func markers(text string) (given []string, rest string) {
	var kept strings.Builder
	for {
		before, after, found := strings.Cut(text, "[[")
		if !found {
			break
		}
		inner, behind, ends := strings.Cut(after, "]]")
		if !ends {
			break
		}
		if inner == "" || inner[0] < 'a' || inner[0] > 'z' {
			// Not a marker. Only the first bracket is passed over: [[[gzip]] holds a marker.
			kept.WriteString(before + "[")
			text = text[len(before)+1:]
			continue
		}
		kept.WriteString(before)
		given = append(given, strings.Fields(inner)...)
		text = behind
	}
	kept.WriteString(text)
	return given, strings.TrimSpace(kept.String())
}
