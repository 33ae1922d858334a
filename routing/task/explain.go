package task

import (
	"cmp"
	"fmt"
	"slices"
)

// Feature is something in a turn that spoke for the label that was chosen, and how strongly.
type Feature struct {
	Name   string
	Weight float32
}

// String is the feature on one line.
func (f Feature) String() string { return fmt.Sprintf("%s (%+.2f)", f.Name, f.Weight) }

// mostFeatures is how many features an explanation names.
const mostFeatures = 5

// Explain is Classify together with the features that spoke most for what it found. It allocates, and is asked only
// when somebody wants to know. The names quote words of the prompt, so they are for who may see it.
func (m *Model) Explain(value []byte) (Label, []Feature) {
	var t turn
	t.read(view(value))
	if t.n == 0 {
		return Simple, nil
	}
	var hits []hit
	r := reader{m: m, text: t.text[:t.n], hits: &hits}
	r.read()
	var s marks
	s.look(&t, &r, m.before(&t))
	score := m.score(&r, &s)
	label := best(score)
	var all []Feature
	for _, h := range hits {
		var w [classes]float32
		part := 0
		if h.aside {
			part = 1
		}
		var sums [classes]int32
		for k, v := range m.words[h.bucket] {
			sums[k] = int32(v)
		}
		if role, ok := roleOf(h.seed); ok {
			m.lexicon.weigh(h.hash, role, &sums)
		}
		for k, v := range sums {
			w[k] = float32(v) * m.scale * r.share(part)
		}
		all = append(all, Feature{fmt.Sprintf("%q", r.text[h.from:h.to]), lead(w, label)})
	}
	for _, sign := range s.list[:s.n] {
		var w [classes]float32
		for k, v := range m.signs[sign] {
			w[k] = float32(v) * m.scale
		}
		all = append(all, Feature{m.signName(int(sign)), lead(w, label)})
	}
	return label, strongest(all)
}

// lead is how much more a feature says for a label than for the others on average.
func lead(w [classes]float32, label Label) (by float32) {
	for k, v := range w {
		if k == int(label-1) {
			by += v
		} else {
			by -= v / float32(classes-1)
		}
	}
	return by
}

func strongest(all []Feature) []Feature {
	all = slices.DeleteFunc(all, func(f Feature) bool { return f.Weight <= 0 || f.Name == plainNames[always] })
	slices.SortStableFunc(all, func(a, b Feature) int { return cmp.Compare(b.Weight, a.Weight) })
	var kept []Feature
	for _, f := range all {
		if !slices.ContainsFunc(kept, func(k Feature) bool { return k.Name == f.Name }) && len(kept) < mostFeatures {
			kept = append(kept, f)
		}
	}
	return kept
}

// signName says a sign in words.
func (m *Model) signName(sign int) string {
	if sign < len(plainNames) {
		return plainNames[sign]
	}
	if sign >= plain {
		cue := "?"
		if i := (sign - plain) % maxCues; i < len(m.cues.names) {
			cue = m.cues.names[i]
		}
		return fmt.Sprintf([...]string{"cue %s", "cue %s beside the question", "first cue %s", "last cue %s", "cue %s in the turn before"}[(sign-plain)/maxCues], cue)
	}
	for _, group := range []struct {
		from int
		name string
	}{
		{place, "place of what is asked"},
		{told, "words beside"},
		{asked, "words that ask"},
		{lineRuns, "lines"},
		{names, "names as in code"},
		{numbers, "numbers"},
		{symbols, "symbols as in code"},
		{operators, "operators"},
		{dotted, "names with dots"},
		{options, "options of commands"},
		{calls, "calls of functions"},
	} {
		if sign >= group.from {
			return fmt.Sprintf("%s: step %d", group.name, sign-group.from)
		}
	}
	return "?"
}
