package routing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// rule sends the calls that match elsewhere. The first rule of a route that matches decides.
type rule struct {
	when    *vm.Program
	needs   facts
	headers []string // the fields that it asks about
	to      *Route   // nil: the call is refused, or, without a text, the route is not there
	own     bool     // to has the rule's own targets, and is no route that clients can ask for
	refusal string
}

// Followed is a rule that matched.
type Followed struct {
	Route string // whose rule it is
	Rule  int    // its place there, from 0
}

// facts is a set of variables of conditions.
type facts uint32

const (
	factModel facts = 1 << iota
	factTask
	factTokens
	factStream
	factTools
	factImages
	factJSONSchema
	factOrg
	factTeam
	factUser
	factKey
	factTags
	factHeaders
	factHour
	factWeekday
)

// variable is what a condition may ask about a call.
type variable struct {
	name string
	fact facts
	kind any // a value of its type
}

// variables are all of them. docs/routing.md says what they mean.
func variables() []variable {
	return []variable{
		{"model", factModel, ""},
		{"task", factTask, ""},
		{"tokens", factTokens, 0},
		{"stream", factStream, false},
		{"tools", factTools, false},
		{"images", factImages, false},
		{"json_schema", factJSONSchema, false},
		{"org", factOrg, ""},
		{"team", factTeam, ""},
		{"user", factUser, ""},
		{"key", factKey, ""},
		{"tags", factTags, map[string]string{}},
		{"headers", factHeaders, map[string]string{}},
		{"hour", factHour, 0},
		{"weekday", factWeekday, 0},
	}
}

// ruleHeaders are the header fields of a request that conditions may ask about: none of them carries a secret.
var ruleHeaders = []string{"accept-language", "origin", "referer", "user-agent", "x-stainless-lang", "x-stainless-package-version", "x-title"}

// condition is a compiled condition, or the fault that was found, with its place.
func condition(text string) (*vm.Program, *visitor, error) {
	seen := &visitor{}
	env := map[string]any{}
	for _, v := range variables() {
		env[v.name] = v.kind
	}
	program, err := expr.Compile(text, expr.Env(env), expr.AsBool(), expr.Patch(seen),
		expr.DisableBuiltin("now")) // the same call must get the same plan
	if err != nil {
		return nil, nil, conditionFault(err)
	}
	return program, seen, errors.Join(seen.faults...)
}

// conditionFault says what is wrong and where, on one line.
func conditionFault(err error) error {
	if f, ok := errors.AsType[*file.Error](err); ok {
		return fmt.Errorf("%s (line %d, column %d)", f.Message, max(f.Line, 1), f.Column+1)
	}
	return err
}

// visitor finds which variables a condition reads.
type visitor struct {
	needs   facts
	headers []string // that it names
	faults  []error
}

// Visit is called for each node of a condition.
func (v *visitor) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		for _, known := range variables() {
			if known.name == n.Value {
				v.needs |= known.fact
			}
		}
	case *ast.MemberNode:
		v.member(n)
	}
}

// member checks the names of header fields: others than the listed ones are never there.
func (v *visitor) member(n *ast.MemberNode) {
	of, isName := n.Node.(*ast.IdentifierNode)
	if !isName || of.Value != "headers" {
		return
	}
	name, isText := n.Property.(*ast.StringNode)
	if isText && slices.Contains(ruleHeaders, name.Value) {
		v.headers = append(v.headers, name.Value)
		return
	}
	v.faults = append(v.faults, fmt.Errorf("headers has no such field (column %d); it has %s", n.Location().From+1, strings.Join(ruleHeaders, ", ")))
}

// follow finds the route that a call takes: the one that it asks for, or the one that a rule of it leads to. The refusal
// is 0 if there is one.
func (t *Table) follow(dst *Plan, r *Route, a *Ask, now time.Time) (*Route, Refusal) {
	if len(r.rules) == 0 {
		return r, 0
	}
	if dst.scope == nil {
		dst.scope = newScope()
	}
	dst.scope.now, dst.scope.has = now, 0
	for len(r.rules) > 0 {
		i := dst.scope.match(r, a, dst)
		if i < 0 {
			return r, 0
		}
		dst.Followed = append(dst.Followed, Followed{r.Name, i})
		next := &r.rules[i]
		switch {
		case next.to == nil && next.refusal == "": // of the database, as a provider that is gone; other targets are not what the rule wants
			return r, NoTarget
		case next.to == nil:
			dst.Refusal = next.refusal
			return r, ByRule
		}
		if r = next.to; next.own {
			return r, 0
		}
		if !a.Who.MayUse(r.Name) {
			return r, NotAllowed
		}
	}
	return r, 0
}
