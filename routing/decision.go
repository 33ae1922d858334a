package routing

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/routing/task"
)

// Decision is why a call went where it went, as a record keeps it: codes and names. It has no words of what was asked.
type Decision struct {
	Rev        int64 // of the snapshot, on the node that decided
	Asked      string
	Route      string // that was followed; empty: no route has the name that was asked for
	Strategy   Strategy
	Tokens     int64 // about how many were sent
	Task       task.Label
	Told       bool           // the client said what task it is
	Features   []task.Feature // what spoke for the task, if that was asked for
	Rules      []Followed     // that led to Route, or to the refusal
	Refusal    Refusal        // 0: the call had somewhere to go
	Candidates Explanation    // every target of Route: those of the plan first, in the order in which they are asked
	Facts      *Facts         // by which the call can be planned again; nil: they were not kept
}

// stored is a decision as it stands in a record. It is written by AppendDecision. Names stay, members may be added, and
// the numbers of reasons and refusals never change: records outlive the program that wrote them.
type stored struct {
	Rev      int64               `json:"rev"`
	Asked    string              `json:"asked"`
	Route    string              `json:"route"`
	By       string              `json:"by"`
	Tokens   int64               `json:"tokens"`
	Task     string              `json:"task"`
	Told     bool                `json:"told"`
	Features [][2]any            `json:"why"`
	Rules    [][2]any            `json:"rules"`
	Refused  Refusal             `json:"refused"`
	Targets  [][]json.RawMessage `json:"targets"`
	Facts    *storedFacts        `json:"facts"`
}

// Decided tells whether there is anything to say of the plan.
func (p *Plan) Decided() bool { return p.Asked != "" || p.Route != nil || len(p.Why) > 0 }

// AppendDecision appends why the plan is as it is, for records, as
//
//	{"rev":7,"asked":"auto","route":"fast","by":"cheapest","tokens":12,"task":"code","rules":[["auto",1]],
//	"targets":[["openai","gpt-4o",3,1795341605000],["groq","llama-3.3-70b",1,0,5.75e+04]]}
//
// and after Note with "facts", as {"v":1,"tools":true,"max":500,"task":"code","sure":1.25}. A target is its provider, its model, the number of its Reason, until when in milliseconds since 1970 and its score; -1 is
// a score that nothing is known for, and what is zero at the end is left out.
func (p *Plan) AppendDecision(b []byte, rev int64) []byte {
	b = strconv.AppendInt(append(b, `{"rev":`...), rev, 10)
	b = gjson.AppendJSONString(append(b, `,"asked":`...), p.Asked)
	if p.Route != nil {
		b = gjson.AppendJSONString(append(b, `,"route":`...), p.Route.Name)
		b = append(append(append(b, `,"by":"`...), p.Route.Strategy.String()...), '"')
	}
	if p.Tokens > 0 {
		b = strconv.AppendInt(append(b, `,"tokens":`...), p.Tokens, 10)
	}
	if p.Task != task.None {
		b = append(append(append(b, `,"task":"`...), p.Task.String()...), '"')
	}
	if p.Told {
		b = append(b, `,"told":true`...)
	}
	b = p.appendSteps(b)
	if p.Refused != 0 {
		b = strconv.AppendUint(append(b, `,"refused":`...), uint64(p.Refused), 10)
	}
	b = append(b, `,"targets":[`...)
	for n := range p.Why {
		if n > 0 {
			b = append(b, ',')
		}
		b = p.candidate(n).append(b)
	}
	b = append(b, ']')
	if p.noted.whole {
		b = p.noted.append(b)
	}
	return append(b, '}')
}

// candidate is the n-th in the order of decisions: those of the walk, and then the others as the route has them.
func (p *Plan) candidate(n int) *Candidate {
	if n < len(p.Targets) {
		return p.whyOf(p.Targets[n])
	}
	others := len(p.Targets)
	for i := range p.Why {
		c := &p.Why[i]
		if !slices.ContainsFunc(p.Targets, c.of) {
			if others == n {
				return c
			}
			others++
		}
	}
	return &Candidate{} // never: every target of the walk is one of Why
}

// of tells whether the candidate is the target.
func (c *Candidate) of(t *Target) bool { return c.Provider == t.Provider.Name && c.Model == t.Model }

// appendSteps appends what led from the call to the route.
func (p *Plan) appendSteps(b []byte) []byte {
	for i, f := range p.features {
		b = append(b, opening(i, `,"why":[[`)...)
		b = gjson.AppendJSONString(b, f.Name)
		b = strconv.AppendFloat(append(b, ','), float64(f.Weight), 'f', 2, 32)
		b = append(b, closing(i, len(p.features))...)
	}
	for i, f := range p.Followed {
		b = append(b, opening(i, `,"rules":[[`)...)
		b = gjson.AppendJSONString(b, f.Route)
		b = strconv.AppendInt(append(b, ','), int64(f.Rule), 10)
		b = append(b, closing(i, len(p.Followed))...)
	}
	return b
}

func opening(i int, first string) string {
	if i > 0 {
		return ",["
	}
	return first
}

func closing(i, n int) string {
	if i == n-1 {
		return "]]"
	}
	return "]"
}

func (c *Candidate) append(b []byte) []byte {
	b = gjson.AppendJSONString(append(b, '['), c.Provider)
	b = gjson.AppendJSONString(append(b, ','), c.Model)
	b = strconv.AppendUint(append(b, ','), uint64(c.Reason), 10)
	until := int64(0)
	if !c.Until.IsZero() {
		until = c.Until.UnixMilli()
	}
	if until != 0 || c.Score != 0 {
		b = strconv.AppendInt(append(b, ','), until, 10)
	}
	switch {
	case math.IsInf(c.Score, 0) || math.IsNaN(c.Score):
		b = append(b, ",-1"...)
	case c.Score != 0:
		b = strconv.AppendFloat(append(b, ','), c.Score, 'g', 6, 64)
	}
	return append(b, ']')
}

// ReadDecision reads what a record keeps of why a call went where it went, in the form of any version.
func ReadDecision(text []byte) (*Decision, error) {
	if len(text) > 0 && text[0] == '[' {
		return readList(text)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("read a decision: %w", err)
	}
	d := &Decision{
		Rev: s.Rev, Asked: s.Asked, Route: s.Route, Strategy: strategyNamed(s.By), Tokens: s.Tokens, Task: task.Named([]byte(s.Task)), Told: s.Told, Refusal: s.Refused,
		Facts: s.Facts.read(),
	}
	for _, f := range s.Features {
		name, _ := f[0].(string)
		weight, _ := f[1].(float64)
		d.Features = append(d.Features, task.Feature{Name: name, Weight: float32(weight)})
	}
	for _, f := range s.Rules {
		name, _ := f[0].(string)
		place, _ := f[1].(float64)
		d.Rules = append(d.Rules, Followed{name, int(place)})
	}
	for _, t := range s.Targets {
		c, err := readCandidate(t)
		if err != nil {
			return nil, fmt.Errorf("read a decision: %w", err)
		}
		d.Candidates = append(d.Candidates, c)
	}
	return d, nil
}

func readCandidate(parts []json.RawMessage) (c Candidate, err error) {
	if len(parts) < 3 {
		return c, errors.New("a target has no reason")
	}
	var until int64
	into := []any{&c.Provider, &c.Model, &c.Reason, &until, &c.Score}
	for i := range parts[:min(len(parts), len(into))] {
		if err := json.Unmarshal(parts[i], into[i]); err != nil {
			return c, err
		}
	}
	if until != 0 {
		c.Until = time.UnixMilli(until).UTC()
	}
	if c.Score < 0 {
		c.Score = math.Inf(1)
	}
	return c, nil
}

// readList reads the form of the first records, which had the targets alone, with reasons in words.
func readList(text []byte) (*Decision, error) {
	var list []struct {
		Target, Reason string
		Until          time.Time
		Score          float64
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("read a decision: %w", err)
	}
	d := &Decision{}
	for _, of := range list {
		c := Candidate{Until: of.Until, Score: of.Score, Reason: reasonNamed(of.Reason)}
		c.Provider, c.Model, _ = strings.Cut(of.Target, "/")
		d.Candidates = append(d.Candidates, c)
	}
	return d, nil
}

// reasonNamed is the reason with these words; 0: there is none.
func reasonNamed(words string) Reason {
	for r, known := range reasonTexts {
		if r > 0 && known == words {
			return Reason(r)
		}
	}
	return 0
}

// Decision is why the plan is as it is, with the words of what was asked that spoke for its task: it is for whoever asked, and is
// not kept.
func (p *Plan) Decision(rev int64) *Decision {
	d := &Decision{
		Rev: rev, Asked: strings.Clone(p.Asked), Tokens: p.Tokens, Task: p.Task, Told: p.Told, Features: p.spoken,
		Rules: append([]Followed(nil), p.Followed...), Refusal: p.Refused,
	}
	for n := range p.Why {
		d.Candidates = append(d.Candidates, *p.candidate(n))
	}
	if p.Route != nil {
		d.Route, d.Strategy = p.Route.Name, p.Route.Strategy
	}
	return d
}

// explain finds out what spoke for the task of the call, if it was judged. Words of the prompt are not kept with a decision,
// which others may read than whoever may read prompts: what they say is added up.
func (p *Plan) explain(a *Ask) {
	if p.judge == nil {
		return
	}
	_, p.spoken = p.judge.Explain(a.Input)
	var words float32
	for _, f := range p.spoken {
		if strings.HasPrefix(f.Name, `"`) {
			words += f.Weight
			continue
		}
		p.features = append(p.features, f)
	}
	if words > 0 {
		p.features = append(p.features, task.Feature{Name: "words of the prompt", Weight: words})
	}
}

// Measure says in words what the score of a target means with a strategy; empty: it has none.
func (s Strategy) Measure(score float64) string {
	known := !math.IsInf(score, 0) && score != 0
	switch {
	case s == Cheapest && !known && score != 0:
		return "no price is known"
	case s == Cheapest:
		return fmt.Sprintf("%s USD for this call", strconv.FormatFloat(score/1e9, 'f', -1, 64))
	case s == Fastest && !known:
		return "nobody knows how fast it is"
	case s == Fastest:
		return fmt.Sprintf("%.3g s expected", score)
	case s == Weighted && known:
		return fmt.Sprintf("lot %.3g", score)
	case s == LeastRequest && known:
		return fmt.Sprintf("%d attempts under way", int(score))
	case s == Optimize && known:
		return fmt.Sprintf("%.3g worse than the best", score)
	}
	return ""
}
