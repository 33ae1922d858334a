package routing

import (
	"bytes"
	"strings"
	"time"

	"github.com/expr-lang/expr/vm"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing/task"
)

// scope holds the variables of one call while its rules are evaluated. It is part of the plan's memory: what was put
// there for the last call and is the same for this one costs nothing.
type scope struct {
	machine vm.VM
	env     map[string]any
	tags    map[string]string
	headers map[string]string
	has     facts // what was put there for this call
	now     time.Time
}

func newScope() *scope {
	s := &scope{env: map[string]any{}, tags: map[string]string{}, headers: map[string]string{}}
	s.env["tags"], s.env["headers"] = s.tags, s.headers
	return s
}

// match is the first rule that holds, or -1. One that can not be evaluated, as a division by zero, does not hold.
func (s *scope) match(r *Route, a *Ask, p *Plan) int {
	for i := range r.rules {
		rule := &r.rules[i]
		if a.facts != nil && !a.knows(rule, p) {
			return -1
		}
		if missing := rule.needs &^ s.has; missing != 0 {
			s.provide(missing, r, a, p)
		}
		if held, err := s.machine.Run(rule.when, s.env); err == nil && held == true {
			return i
		}
	}
	return -1
}

// provide puts variables there. The costly ones, those that have to be found in the body, are asked for only by rules
// that need them.
func (s *scope) provide(missing facts, r *Route, a *Ask, p *Plan) {
	s.has |= missing
	for ; missing != 0; missing &= missing - 1 {
		switch missing & -missing {
		case factModel:
			s.text("model", a.Model)
		case factTask:
			s.text("task", a.task(r, p).String())
		case factTokens:
			s.number("tokens", int(a.Tokens()))
		case factStream:
			s.env["stream"] = a.Stream
		case factTools:
			s.env["tools"] = a.tools()
		case factImages:
			s.env["images"] = a.images()
		case factJSONSchema:
			s.env["json_schema"] = a.schema()
		case factOrg:
			s.text("org", string(a.Who.Org))
		case factTeam:
			s.text("team", string(a.Who.Team))
		case factUser:
			s.text("user", string(a.Who.User))
		case factKey:
			s.text("key", a.Who.Name)
		case factTags:
			s.readTags(a.Tags)
		case factHeaders:
			s.readHeaders(a.Header)
		case factHour:
			s.number("hour", s.now.UTC().Hour())
		case factWeekday:
			s.number("weekday", (int(s.now.UTC().Weekday())+6)%7+1)
		}
	}
}

// text puts a text there. It may alias the request, so a new one is copied.
func (s *scope) text(name, value string) {
	if was, ok := s.env[name].(string); !ok || was != value {
		s.env[name] = strings.Clone(value)
	}
}

func (s *scope) number(name string, value int) {
	if was, ok := s.env[name].(int); !ok || was != value {
		s.env[name] = value
	}
}

// readTags reads k=v, k2=v2.
func (s *scope) readTags(fields [][]byte) {
	clear(s.tags)
	for _, field := range fields {
		for pair := range bytes.SplitSeq(field, []byte(",")) {
			if k, v, ok := bytes.Cut(pair, []byte("=")); ok {
				s.tags[string(bytes.TrimSpace(k))] = string(bytes.TrimSpace(v))
			}
		}
	}
}

func (s *scope) readHeaders(h adapters.Header) {
	clear(s.headers)
	if h == nil {
		return
	}
	for _, name := range ruleHeaders {
		if v := h.Peek(name); len(v) > 0 {
			s.headers[name] = string(v)
		}
	}
}

// task is the kind of work that the call asks for: what the client says in x-vel-task, or what the table's model finds.
func (a *Ask) task(r *Route, p *Plan) task.Label {
	if a.facts != nil {
		p.Task, p.Told = a.facts.Task, a.facts.Told
		return p.Task
	}
	if p.Task == task.None {
		p.Task, p.Told = p.noted.facts.Task, p.noted.facts.Told
	}
	if p.Task == task.None {
		p.Task, p.judge = r.judge.Classify(a.Input), r.judge
	}
	return p.Task
}
