package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// mix is the reference mix: what is asked in a day, and by whom it could be answered.
type mix struct {
	Requests  map[string]int    // by label
	Tokens    map[string][2]int // by label: input, output
	Providers map[string]offer
	Must      bars
}

// offer is one provider of the mix. Latency is log-normal with this median and 95th percentile.
type offer struct {
	Median, P95   float64 // seconds
	Input, Output float64 // dollars for a million tokens
	Request       float64 `yaml:"per_request"` // dollars
}

// bars are what routing must reach, in percent: less than the baseline, and answered.
type bars struct {
	Latency  percent `yaml:"median_latency"`
	Cost     percent
	Answered percent `yaml:"answered_with_one_provider_failing_a_tenth_of_the_time"`
}

type percent float64

// UnmarshalYAML reads "-52%".
func (p *percent) UnmarshalYAML(node *yaml.Node) error {
	x, err := strconv.ParseFloat(strings.TrimSuffix(node.Value, "%"), 64)
	if err != nil {
		return fmt.Errorf("line %d: %q is no percentage: %w", node.Line, node.Value, err)
	}
	*p = percent(x)
	return nil
}

// Who of the mix answers which label, and who answers alone.
const (
	strong   = "strong"
	baseline = "baseline"
)

// rightly says which provider should answer a label.
var rightly = map[string]string{"code": "fast", "reasoning": strong, "research": "search", "simple": "small"}

func readMix(file string) (*mix, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	var m mix
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	for label, provider := range rightly {
		if _, found := m.Providers[provider]; m.Requests[label] == 0 || !found {
			return nil, fmt.Errorf("read %s: there are no requests of %s, or no provider %s", file, label, provider)
		}
	}
	return &m, nil
}

// demand is one request of the mix.
type demand struct {
	label    string
	messages json.RawMessage
	output   int // tokens of the answer
}

// readPrompts reads the labelled prompts. They are drawn from and not looked into.
func readPrompts(file string) (map[string][]json.RawMessage, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	byLabel := map[string][]json.RawMessage{}
	lines := bufio.NewReader(f)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return byLabel, nil
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		var p struct {
			Label    string
			Messages json.RawMessage
		}
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, fmt.Errorf("read %s, line %d: %w", file, n, err)
		}
		byLabel[p.Label] = append(byLabel[p.Label], p.Messages)
	}
}

// draw makes about n requests of the mix, in an order that is always the same; all of them if n is 0. Every prompt of a
// label comes as often as the others.
func (m *mix) draw(prompts map[string][]json.RawMessage, n int) []demand {
	random := rand.New(rand.NewPCG(1, 2))
	total := 0
	for _, count := range m.Requests {
		total += count
	}
	var all []demand
	for _, label := range slices.Sorted(maps.Keys(m.Requests)) {
		count := m.Requests[label]
		if n > 0 {
			count = max(1, count*n/total)
		}
		var deck []int
		for range count {
			if len(deck) == 0 {
				deck = random.Perm(len(prompts[label]))
			}
			all = append(all, demand{label, prompts[label][deck[0]], m.Tokens[label][1]})
			deck = deck[1:]
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// padded puts a system message before the messages that makes them so many tokens more; what is asked stays as it is.
func padded(messages json.RawMessage, words int) json.RawMessage {
	system := `[{"role":"system","content":"` + strings.TrimSpace(strings.Repeat("word ", max(words, 1))) + `"},`
	return json.RawMessage(system + strings.TrimLeft(string(messages), " \n["))
}

// scaled is a time of the mix as the benchmark has it.
func scaled(seconds float64, scale int) time.Duration {
	return time.Duration(seconds * float64(time.Second) / float64(scale))
}
