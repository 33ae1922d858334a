package admin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// staff keeps agents in memory, with all that they were.
type staff struct {
	*memory[tasks.Agent, *tasks.Agent]
	were map[tenancy.ID][]tasks.AgentVersion
	made []tasks.Request
	fail error
}

func newStaff() *staff {
	return &staff{memory: newMemory[tasks.Agent]("agent"), were: map[tenancy.ID][]tasks.AgentVersion{}}
}

func (s *staff) Create(ctx context.Context, by tenancy.Actor, v tasks.Agent) (tasks.Agent, error) {
	v, err := s.memory.Create(ctx, by, v)
	return s.kept(v), err
}

func (s *staff) Update(ctx context.Context, by tenancy.Actor, v tasks.Agent) (tasks.Agent, error) {
	v, err := s.memory.Update(ctx, by, v)
	return s.kept(v), err
}

func (s *staff) kept(v tasks.Agent) tasks.Agent {
	list := s.were[v.ID]
	if len(list) == 0 || len(tasks.Diff(&list[0].Config, &v.Config)) > 0 {
		list = slices.Insert(list, 0, tasks.AgentVersion{Number: int64(len(list) + 1), At: start, By: v.By.User, Name: v.By.Name, Config: v.Config})
	}
	s.were[v.ID], v.Version = list, list[0].Number
	s.rows[v.ID] = v
	return v
}

func (s *staff) AgentVersions(_ context.Context, org, id tenancy.ID) ([]tasks.AgentVersion, error) {
	if v, ok := s.rows[id]; ok && v.Org != org {
		return nil, nil
	}
	return s.were[id], nil
}

func (s *staff) Execute(_ context.Context, r *tasks.Request, each func([]byte) error) (*tasks.Result, error) {
	s.made = append(s.made, *r)
	if s.fail != nil {
		return &tasks.Result{}, s.fail
	}
	err := each([]byte(`{"choices":[{"message":{"content":"Hello."}}]}`))
	return &tasks.Result{Call: "req_1", Provider: "p", Model: "um", Cost: 7, Usage: adapters.Usage{adapters.Input: 3}, Total: time.Second}, err
}

// An agent is what its versions say, which are compared, and made again, also when it was deleted.
func TestAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var v Agent
	w.do("manager", "POST", "/api/agents", json.RawMessage(`{"name":"writer","model":"fast","system_prompt":"Be brief.","temperature":0.5}`)).want(201).into(&v)
	at := "/api/agents/" + string(v.ID)
	if !v.Active || v.Version != 1 || v.BudgetTag != "agent="+string(v.ID) {
		t.Errorf("%+v", v)
	}
	w.do("manager", "PUT", at, json.RawMessage(`{"name":"writer","model":"strong","system_prompt":"Be brief.","max_tokens":9}`)).want(200).into(&v)
	var diff struct{ Changes []AgentChange }
	w.do("viewer", "GET", at+"/diff", nil).want(200).into(&diff)
	var fields []string
	for _, c := range diff.Changes {
		fields = append(fields, c.Field)
	}
	if strings.Join(fields, " ") != "max_tokens model temperature" || diff.Changes[1].From != "fast" || diff.Changes[0].From != nil {
		t.Errorf("%+v", diff)
	}
	w.do("viewer", "GET", at+"/diff?from=9", nil).problem(invalid)
	if w.do("manager", "POST", at+"/restore", map[string]any{"version": 1}).want(200).into(&v); v.Model != "fast" || v.Version != 3 {
		t.Errorf("%+v", v)
	}
	if w.do("manager", "POST", at+"/deactivate", nil).want(200).into(&v); v.Active || v.Version != 3 {
		t.Errorf("%+v", v)
	}
	p := w.do("executor", "POST", "/api/tasks", map[string]any{"agent": v.ID, "input": "hello"}).problem(invalid)
	if p.Errors[0].Message != "is not active" {
		t.Errorf("%+v", p)
	}
	w.do("manager", "POST", at+"/activate", nil).want(200)
	w.do("viewer", "POST", at+"/activate", nil).problem(notAllowed)
	w.do("manager", "DELETE", at, nil).want(204)
	w.do("manager", "GET", at, nil).problem(notFound)
	var versions struct{ Data []AgentVersion }
	if w.do("manager", "GET", at+"/versions", nil).want(200).into(&versions); len(versions.Data) != 3 || versions.Data[0].Config.Model != "fast" {
		t.Errorf("%+v", versions)
	}
	if w.do("manager", "POST", at+"/restore", map[string]any{"version": 2}).want(200).into(&v); v.Model != "strong" || !v.Active {
		t.Errorf("%+v", v)
	}
}

func TestAgentFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for body, place := range map[string]string{
		`{"name":"a"}`:                                                                     "body",
		`{"name":"a","model":" "}`:                                                         "body.model",
		`{"name":"a","model":"m","temperature":3}`:                                         "body.temperature",
		`{"name":"a","model":"m","fallbacks":["m"]}`:                                       "body.fallbacks",
		`{"name":"a","model":"m","response_format":{"type":"xml"}}`:                        "body.response_format",
		`{"name":"a","model":"m","response_format":{"type":"json_schema"}}`:                "body.response_format",
		`{"name":"a","model":"m","tools":{}}`:                                              "body.tools",
		`{"name":"a","model":"m","tools":[{"type":"function","function":{"name":"a b"}}]}`: "body.tools[0]",
		`{"name":"a","model":"m","retry_on":["invalid"]}`:                                  "body.retry_on[0]",
		`{"name":"a","model":"m","attempts":11}`:                                           "body.attempts",
		`{"name":"a","model":"m","task_types":["poetry"]}`:                                 "body.task_types[0]",
		`{"name":"a","model":"m","colour":"red"}`:                                          "body.colour",
	} {
		p := w.do("manager", "POST", "/api/agents", json.RawMessage(body)).problem(invalid)
		if !slices.ContainsFunc(p.Errors, func(f Fault) bool { return f.Location == place }) {
			t.Errorf("%s: %+v", body, p.Errors)
		}
	}
}

// A task of an agent asks what its configuration says, then what is said to it.
func TestTasksOfAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var v Agent
	w.do("manager", "POST", "/api/agents", json.RawMessage(`{"name":"writer","model":"fast","fallbacks":["strong"],"system_prompt":"Be brief.","attempts":5,"timeout_s":60,"tools":[{"type":"function","function":{"name":"f"}}]}`)).want(201).into(&v)
	var line TaskLine
	w.do("executor", "POST", "/api/tasks", map[string]any{"agent": v.ID, "input": "hello"}).want(201).into(&line)
	k := w.tasks.rows[line.ID]
	body, err := tasks.Content(w.Keyring, acme, k.ID, w.tasks.contents[k.ID][0])
	want := `{"messages":[{"content":"Be brief.","role":"system"},{"content":"hello","role":"user"}],"model":"fast","stream":true,"stream_options":{"include_usage":true},"tools":[{"type":"function","function":{"name":"f"}}]}`
	if err != nil || string(body) != want || k.Agent != v.ID || k.Version != 1 || k.Fallbacks[0] != "strong" || k.Retry.Attempts != 5 || !k.Deadline.Equal(start.Add(time.Minute)) {
		t.Errorf("%s, %v, %+v", body, err, k)
	}
	for body, place := range map[string]string{
		`{"agent":"agent_none","input":"x"}`:                                "body.agent",
		`{"agent":"` + string(v.ID) + `"}`:                                  "body.agent",
		`{"agent":"` + string(v.ID) + `","input":"x","messages":[{}]}`:      "body.agent",
		`{"agent":"` + string(v.ID) + `","input":"x","body":{"model":"m"}}`: "body.agent",
		`{"agent":"` + string(v.ID) + `","messages":{}}`:                    "body.messages",
		`{"input":"x"}`: "body.agent",
	} {
		p := w.do("executor", "POST", "/api/tasks", json.RawMessage(body)).problem(invalid)
		if p.Errors[0].Location != place {
			t.Errorf("%s: %+v", body, p.Errors)
		}
	}
}

// A test looks, and if it may, calls; what it suggests rests on figures.
func TestAgentTest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.costs = func(*tasks.Request) (money.Nano, bool, error) { return 3, true, nil }
	var v Agent
	w.do("manager", "POST", "/api/agents", json.RawMessage(`{"name":"writer","model":"fast","max_tokens":4000}`)).want(201).into(&v)
	at := "/api/agents/" + string(v.ID) + "/test"
	var got AgentTest
	if w.do("manager", "POST", at, map[string]any{"dry_run": true}).want(200).into(&got); !got.OK || got.Sample != nil || got.Estimate == nil || *got.Estimate != "0.000000003" || got.Where == nil || len(w.staff.made) != 0 {
		t.Errorf("%+v", got)
	}
	if w.do("manager", "POST", at, map[string]any{"input": "hi"}).want(200).into(&got); !got.OK || got.Sample == nil || got.Sample.Answer != "Hello." || got.Sample.Call != "req_1" {
		t.Errorf("%+v", got)
	}
	if r := w.staff.made[0]; r.Tags[0] != "agent="+string(v.ID) || !strings.Contains(string(r.Body), `"hi"`) || r.As.User != "user_manager" {
		t.Errorf("%+v", r)
	}
	w.staff.fail = &adapters.Error{Class: adapters.ClassServer, Message: "it failed"}
	if w.do("manager", "POST", at, map[string]any{}).want(200).into(&got); got.OK || *got.Checks[len(got.Checks)-1].Detail != "it failed" {
		t.Errorf("%+v", got)
	}
	w.costs = func(*tasks.Request) (money.Nano, bool, error) {
		return 0, false, &adapters.Error{Class: adapters.ClassInvalid, Message: "no such model"}
	}
	if w.do("manager", "POST", at, map[string]any{}).want(200).into(&got); got.OK || *got.Checks[1].Detail != "no such model" || got.Sample != nil {
		t.Errorf("%+v", got)
	}
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	row := func(route string, calls, failed int64, cost money.Nano, p50 time.Duration) accounting.UsageRow {
		return accounting.UsageRow{Group: []string{route}, Calls: calls, Failed: failed, Cost: cost, P50: p50, Usage: adapters.Usage{adapters.Output: 50 * calls}}
	}
	list := better(ptrTo(row("own", 100, 0, 1000, time.Second)), []accounting.UsageRow{
		row("own", 100, 0, 1000, time.Second), row("cheap", 50, 0, 100, time.Second), row("fast", 50, 0, 500, 100*time.Millisecond), row("few", 3, 0, 1, 1), row("broken", 50, 40, 1, 1),
	})
	if len(list) != 2 || !strings.Contains(list[0].Text, "cheap cost 20 %") || !strings.Contains(list[1].Text, "fast answered in 100 ms") {
		t.Errorf("%+v", list)
	}
}

func ptrTo[T any](v T) *T { return &v }
