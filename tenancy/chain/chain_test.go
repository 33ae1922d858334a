package chain

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/tenancy"
)

const org tenancy.ID = "org_1"

var start = time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)

func signerOf(seed byte) Signer {
	return NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}

// house is a log in memory: one day after another, with some seals each.
type house struct {
	seals       []Seal
	events      map[int64][]tenancy.AuditEvent
	checkpoints []Checkpoint
	head        Checkpoint
}

// build makes a log of days with seals of some events each, and keeps every second head.
func build(days int, sizes ...int) *house {
	h := &house{events: map[int64][]tenancy.AuditEvent{}}
	n := 0
	for day := range days {
		for i, size := range sizes {
			now := start.AddDate(0, 0, day).Add(time.Duration(i) * time.Second)
			var events []tenancy.AuditEvent
			for range size {
				n++
				by := tenancy.Actor{Org: org, User: "user_1", Name: "Zoë \"Z\" <O'Hara>", Email: "zoe@example.com", Address: "192.0.2.1", Agent: "curl/8", Request: "req_1"}
				e := tenancy.NewAuditEvent(by, org, "keys.update", tenancy.AuditObject{Kind: "key", ID: "key_1", Name: "ci\u2028"}, now.Add(time.Duration(n)*time.Millisecond))
				e.ID = tenancy.ID(fmt.Sprintf("event_%04d", n))
				e.Before, e.After = `{"disabled":false}`, `{"disabled":true,"hash":"changed"}`
				events = append(events, e)
			}
			h.seal(events, now.Add(time.Second))
		}
	}
	return h
}

func (h *house) seal(events []tenancy.AuditEvent, now time.Time) {
	s := Extend(&h.head, org, events, now)
	h.seals = append(h.seals, s)
	h.events[s.Number] = events
	h.head.Org, h.head.Seal, h.head.Hash = org, s.Number, s.Hash
	keep := s.Number%2 == 0
	if keep {
		h.head.Number++
	}
	signerOf(1).Sign(&h.head, now)
	if keep {
		h.checkpoints = append(h.checkpoints, h.head)
	}
}

// remove takes the events of the days before one away, and signs that.
func (h *house) remove(before time.Time) {
	h.head.Number, h.head.KeptFrom = h.head.Number+1, before
	signerOf(1).Sign(&h.head, before)
	h.checkpoints = append(h.checkpoints, h.head)
	for n, events := range h.events {
		if events[0].Time.Before(before) {
			delete(h.events, n)
		}
	}
}

// export writes the log, with the events of a time.
func (h *house) export(from, to time.Time) string {
	var b bytes.Buffer
	w := NewWriter(&b, signerOf(1), org, from, to, start, "test")
	w.Head(&h.head)
	checkpoints := h.checkpoints
	for i := range h.seals {
		s := &h.seals[i]
		if s.Latest.Before(from) {
			continue
		}
		w.Seal(s)
		if to.IsZero() || s.Earliest.Before(to) {
			for i := range h.events[s.Number] {
				w.Event(&h.events[s.Number][i])
			}
		}
		for len(checkpoints) > 0 && checkpoints[0].Seal <= s.Number {
			if checkpoints[0].Seal == s.Number {
				w.Checkpoint(&checkpoints[0])
			}
			checkpoints = checkpoints[1:]
		}
	}
	if err := w.End(); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.String()
}

func TestWholeExports(t *testing.T) {
	t.Parallel()
	h := build(3, 2, 1, 3)
	day := Day(start).AddDate(0, 0, 1)
	removed := build(3, 2, 1, 3)
	removed.remove(day)
	empty := &bytes.Buffer{}
	if err := NewWriter(empty, signerOf(1), org, time.Time{}, time.Time{}, start, "test").End(); err != nil {
		t.Fatal(err)
	}
	keys := []Key{signerOf(1).Key()}
	for name, c := range map[string]struct {
		export string
		want   Report
	}{
		"everything":       {h.export(time.Time{}, time.Time{}), Report{Events: 18, Seals: 9, Checkpoints: 4, Head: h.head}},
		"from a day on":    {h.export(day, time.Time{}), Report{From: day, Events: 12, Seals: 6, Checkpoints: 3, Head: h.head}},
		"one day":          {h.export(day, day.AddDate(0, 0, 1)), Report{From: day, To: day.AddDate(0, 0, 1), Events: 6, Seals: 6, Checkpoints: 3, Head: h.head}},
		"the first day":    {h.export(time.Time{}, day), Report{To: day, Events: 6, Seals: 9, Checkpoints: 4, Head: h.head}},
		"after retention":  {removed.export(time.Time{}, time.Time{}), Report{Events: 12, Seals: 9, Removed: 3, Checkpoints: 5, Head: removed.head}},
		"nothing was done": {empty.String(), Report{}},
	} {
		c.want.Org, c.want.Keys = org, keys
		got, err := Verify(strings.NewReader(c.export), keys...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestNoKeyOfSomebodyElse: a log that is whole in itself is worth nothing if somebody else has signed it.
func TestNoKeyOfSomebodyElse(t *testing.T) {
	t.Parallel()
	export := build(1, 2).export(time.Time{}, time.Time{})
	var broken *Broken
	if _, err := Verify(strings.NewReader(export), signerOf(2).Key()); !errors.As(err, &broken) || !strings.Contains(broken.Problem, "do not trust") {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"", "x", "AAAA", string(signerOf(1).Key()) + "A"} {
		if _, err := ParseKey(text); err == nil {
			t.Errorf("%q is a key", text)
		}
	}
	if _, err := ParseKey(string(signerOf(1).Key())); err != nil {
		t.Error(err)
	}
}

// place is what a line of an export is about.
func place(line string) (kind string, seal int64) {
	var l struct {
		Kind         string `json:"kind"`
		Seal, Number int64
	}
	if err := json.Unmarshal([]byte(line), &l); err != nil {
		panic(err)
	}
	if l.Kind == "seal" {
		return l.Kind, l.Number
	}
	return l.Kind, l.Seal
}

// TestTampering changes, removes, inserts or moves one line of an export: that is found, and where.
func TestTampering(t *testing.T) {
	t.Parallel()
	logs := []*house{build(2, 2, 1, 3), build(1, 1), build(3, 4, 1)}
	logs[2].remove(Day(start).AddDate(0, 0, 1))
	rapid.Check(t, func(t *rapid.T) {
		h := logs[rapid.IntRange(0, len(logs)-1).Draw(t, "log")]
		lines := strings.SplitAfter(h.export(time.Time{}, time.Time{}), "\n")
		lines = lines[:len(lines)-1]
		i := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
		kind, seal := place(lines[i])
		how := rapid.SampledFrom([]string{"change", "remove", "repeat", "move", "cut"}).Draw(t, "how")
		switch how {
		case "change":
			lines[i] = changed(t, lines[i])
		case "remove":
			lines = append(lines[:i:i], lines[i+1:]...)
		case "repeat":
			at := rapid.IntRange(0, len(lines)).Draw(t, "to")
			lines = append(lines[:at:at], append([]string{lines[i]}, lines[at:]...)...)
		case "move":
			at := rapid.IntRange(0, len(lines)-1).Filter(func(at int) bool { return at != i }).Draw(t, "to")
			line := lines[i]
			rest := append(lines[:i:i], lines[i+1:]...)
			lines = append(rest[:at:at], append([]string{line}, rest[at:]...)...)
		case "cut":
			lines = lines[:i]
		}
		_, err := Verify(strings.NewReader(strings.Join(lines, "")), signerOf(1).Key())
		var broken *Broken
		if !errors.As(err, &broken) {
			t.Fatalf("a %s of seal %d is not what it was, and it was not found: %v", kind, seal, err)
		}
		if broken.Line < 1 || broken.Line > int64(len(lines))+1 || broken.Problem == "" {
			t.Fatalf("it is nowhere: %v", broken)
		}
		// An event or a seal that is changed or removed is found there, or where the seal ends that it belongs to.
		last := i
		for last++; last < len(lines); last++ {
			if kind, _ := place(lines[last]); kind != "event" {
				break
			}
		}
		if (how == "change" || how == "remove") && (kind == "event" || kind == "seal") && (broken.Line < int64(i) || broken.Line > int64(last)+1) {
			t.Fatalf("%s line %d, a %s of seal %d: it was found as %v", how, i+1, kind, seal, broken)
		}
	})
}

// changed changes one member of a line.
func changed(t *rapid.T, line string) string {
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range members {
		names = append(names, name)
	}
	name := rapid.SampledFrom(slices.Sorted(slices.Values(names))).Draw(t, "member")
	switch v := members[name].(type) {
	case json.Number:
		n, _ := v.Int64()
		members[name] = n + int64(rapid.SampledFrom([]int{-1, 1, 1000}).Draw(t, "by"))
	case string:
		members[name] = rapid.SampledFrom([]string{"", "x", v + "0", "2027-01-31T12:00:00.000001Z"}).Filter(func(s string) bool { return s != v }).Draw(t, "value")
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// TestPlaces is what somebody does who knows how the chain is made, but has not the key: what is named is the first
// place that is not as it was.
func TestPlaces(t *testing.T) {
	t.Parallel()
	forged := func(s *Seal, events []tenancy.AuditEvent, previous string) {
		head := Checkpoint{Seal: s.Number - 1, Hash: previous}
		*s = Extend(&head, org, events, s.Time)
	}
	for name, c := range map[string]struct {
		spoil func(h *house)
		seal  int64
		event tenancy.ID
		says  string
	}{
		"an event": {func(h *house) { h.events[2][1].By.Name = "somebody else" }, 2, "event_0004", "the event was changed"},
		"an event and its hash": {func(h *house) {
			e := &h.events[2][1]
			e.By.Name = "somebody else"
			e.Sealed.Leaf = Leaf(e)
		}, 2, "", "are not those that were sealed"},
		"an event and its seal": {func(h *house) {
			h.events[2][1].By.Name = "somebody else"
			forged(&h.seals[1], h.events[2], h.seals[0].Hash)
		}, 2, "", "the checkpoint 1 was signed over"},
		"an event and every seal after it": {func(h *house) {
			h.events[3][0].By.Name = "somebody else"
			forged(&h.seals[2], h.events[3], h.seals[1].Hash)
			forged(&h.seals[3], h.events[4], h.seals[2].Hash)
			h.checkpoints = h.checkpoints[:1]
		}, 5, "", "the seal is missing: the signed head ends with 4"},
		"the last seal": {func(h *house) {
			h.seals, h.checkpoints = h.seals[:3], h.checkpoints[:1]
			delete(h.events, 4)
		}, 4, "", "the seal is missing"},
		"back to a checkpoint, with its head": {func(h *house) {
			h.seals, h.checkpoints = h.seals[:3], h.checkpoints[:1]
			h.head = h.checkpoints[0]
		}, 3, "", "the seal was added"},
		"a seal in the middle":     {func(h *house) { h.seals = append(h.seals[:1:1], h.seals[2:]...) }, 2, "", "the seal is missing"},
		"an event in the middle":   {func(h *house) { h.events[2] = append(h.events[2][:1:1], h.events[2][2:]...) }, 2, "", "the event at the place 1 is missing"},
		"the last event of a seal": {func(h *house) { h.events[2] = h.events[2][:2] }, 2, "", "the event at the place 2 of 3 is missing"},
		"the order of events": {func(h *house) {
			h.events[2][0], h.events[2][1] = h.events[2][1], h.events[2][0]
		}, 2, "", "the event at the place 0 is missing"},
		"an event of another seal": {func(h *house) { h.events[1] = append(h.events[1], h.events[2][0]) }, 2, "event_0003", "does not stand behind its seal"},
		"one more event": {func(h *house) {
			e := h.events[2][0]
			e.ID, e.Sealed.Place = "event_new", 3
			h.events[2] = append(h.events[2], e)
		}, 2, "event_new", "was inserted"},
		"a checkpoint":              {func(h *house) { h.checkpoints = h.checkpoints[1:] }, 4, "", "a checkpoint is missing"},
		"the last checkpoint":       {func(h *house) { h.checkpoints = h.checkpoints[:1] }, 4, "", "a checkpoint is missing"},
		"what a checkpoint says":    {func(h *house) { h.checkpoints[0].KeptFrom = start }, 2, "", "is not what was signed"},
		"what the head says":        {func(h *house) { h.head.KeptFrom = start.AddDate(1, 0, 0) }, 4, "", "the head is not what was signed"},
		"the head of another log":   {func(h *house) { h.head.Org = "org_2"; signerOf(1).Sign(&h.head, start) }, 0, "", "the head is of the organization org_2"},
		"another key":               {func(h *house) { signerOf(2).Sign(&h.head, start) }, 0, "", "which you do not trust"},
		"the events of a whole day": {func(h *house) { delete(h.events, 3); delete(h.events, 4) }, 3, "", "the event at the place 0 of 2 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(2, 2, 3)
			c.spoil(h)
			_, err := Verify(strings.NewReader(h.export(time.Time{}, time.Time{})), signerOf(1).Key())
			var broken *Broken
			if !errors.As(err, &broken) {
				t.Fatalf("it was not found: %v", err)
			}
			if broken.Org != org || broken.Seal != c.seal || broken.Event != c.event || !strings.Contains(broken.Problem, c.says) {
				t.Errorf("it was found as %v, want seal %d, event %q, %q", broken, c.seal, c.event, c.says)
			}
			if !strings.Contains(broken.Error(), string(org)) {
				t.Errorf("%v does not name the organization", broken)
			}
		})
	}
}

// TestGarbage: what is no export at all is refused in words.
func TestGarbage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "{}", "[]\n", `{"kind":"audit","form":"vel-audit-9"}` + "\n", `{"kind":"audit","form":"vel-audit-1","more":1}` + "\n"} {
		if _, err := Verify(strings.NewReader(text)); !errors.As(err, new(*Broken)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Verify(strings.NewReader(strings.Repeat("x", longestLine+100<<10))); err == nil || errors.As(err, new(*Broken)) {
		t.Errorf("a line without an end: %v", err)
	}
}
