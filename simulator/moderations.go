package simulator

import (
	"encoding/json"
	"slices"
	"strings"
)

// flags are the categories of moderation, each with the words that make the simulator see it. The first
// words are enough for tests.
var flags = []struct {
	category string
	words    []string
}{
	{"harassment", []string{"idiot"}},
	{"harassment/threatening", nil},
	{"hate", []string{"hate"}},
	{"hate/threatening", nil},
	{"illicit", []string{"counterfeit"}},
	{"illicit/violent", nil},
	{"self-harm", nil},
	{"self-harm/instructions", nil},
	{"self-harm/intent", nil},
	{"sexual", nil},
	{"sexual/minors", nil},
	{"violence", []string{"kill", "attack"}},
	{"violence/graphic", nil},
}

// readModeration understands POST /v1/moderations.
func readModeration(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	model, e := m.text("model")
	if e != nil {
		return job{}, e
	}
	if model == "" {
		model = c.server.provider.Profiles[0].Model // it has a default
	}
	texts, e := moderated(m)
	if e != nil {
		return job{}, e
	}
	var words []string
	tokens := 0
	for i, text := range texts {
		given, rest := markers(text)
		words, texts[i] = append(words, given...), rest
		tokens += countTokens(rest)
	}
	return job{model: model, words: words, param: "input", tokens: tokens, make: func(c *call) (reply, *apiError) {
		results := make([]obj, len(texts))
		for i, text := range texts {
			results[i] = moderate(text)
		}
		return &fixed{body: encode(obj{"id": "modr-" + randomName(24), "model": c.profile.Model, "results": results}), input: tokens}, nil
	}}, nil
}

// moderated reads the input: a string, strings, or parts of one message, which count as one text.
func moderated(m members) ([]string, *apiError) {
	var parts []struct{ Type, Text string }
	if value, ok := m.has("input"); ok && json.Unmarshal(value, &parts) == nil && len(parts) > 0 {
		var all []string
		for _, p := range parts {
			all = append(all, p.Text)
		}
		return []string{strings.Join(all, "\n")}, nil
	}
	texts, _, e := readPrompts(m, "input")
	return texts, e
}

func moderate(text string) obj {
	lower := strings.ToLower(text)
	categories, scores, types, flagged := obj{}, obj{}, obj{}, false
	for _, f := range flags {
		hit := slices.ContainsFunc(f.words, func(w string) bool { return strings.Contains(lower, w) })
		flagged = flagged || hit
		categories[f.category], scores[f.category], types[f.category] = hit, 0.0001, []string{"text"}
		if hit {
			scores[f.category] = 0.9
		}
	}
	return obj{"flagged": flagged, "categories": categories, "category_scores": scores, "category_applied_input_types": types}
}
