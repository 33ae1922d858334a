package nodes

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A task of an agent asks what the agent says, and after a failure that may pass the next of its models; a test of the agent makes a
// call as every other.
func TestTasksOfAgents(t *testing.T) {
	t.Parallel()
	w := newWitness(t)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(broken.Close)
	o := w.options("", "DATABASE_URL="+server.Database(t).URL)
	o.Config = strings.Replace(o.Config, "models:\n", "  bad: {kind: openai, base_url: \""+broken.URL+"/v1\", api_key: env:SIM_KEY, allow_private: true}\nmodels:\n  failing: {targets: [{provider: bad, model: x}]}\n", 1)
	n := start(t, o)
	k := n.newKey(t, n.newOrg(t, "acme"), "robot", object{"role": "agent_manager"})
	a := n.askAs(t, k.secret, "POST", "/api/agents", object{
		"name": "writer", "model": "failing", "fallbacks": []string{"sim-echo"}, "system_prompt": "say nothing", "backoff_s": 0.1, "attempts": 3,
	})
	if a.status != http.StatusCreated {
		t.Fatal(a)
	}
	agent := a.field("id")
	a = n.askAs(t, k.secret, "POST", "/api/tasks", object{"agent": agent, "input": "say hello"})
	s := n.in(t, k.secret, "/api/tasks/"+a.field("id"), "succeeded")
	var kinds []string
	for _, step := range s.History {
		kinds = append(kinds, step.Kind)
	}
	if got := strings.Join(kinds, " "); got != "created begun retry begun succeeded" || w.times("nothing") != 1 {
		t.Errorf("%s; the provider was asked %d times", got, w.times("nothing"))
	}
	n.askAs(t, k.secret, "PUT", "/api/agents/"+agent, object{"name": "writer", "model": "sim-echo", "system_prompt": "say test"})
	a = n.askAs(t, k.secret, "POST", "/api/agents/"+agent+"/test", object{"input": "hi"})
	var tested struct {
		OK       bool
		Estimate string `json:"estimate_usd"`
		Sample   struct {
			Answer, Call string
			Cost         string `json:"cost_usd"`
		}
	}
	if err := json.Unmarshal(a.body, &tested); err != nil || !tested.OK || tested.Sample.Answer != "x" || tested.Sample.Cost == "0" || tested.Estimate == "" {
		t.Errorf("%s, %v", a, err)
	}
	soon(t, patience, "the sample is recorded", func() bool {
		return n.askAs(t, k.secret, "GET", "/api/calls/"+tested.Sample.Call, nil).status == http.StatusOK
	})
	if a := n.askAs(t, k.secret, "DELETE", "/api/agents/"+agent, nil); a.status != http.StatusNoContent {
		t.Error(a)
	}
	if a := n.askAs(t, k.secret, "GET", "/api/tasks?agent="+agent, nil); !strings.Contains(string(a.body), `"data":[]`) {
		t.Errorf("its tasks are still there: %s", a)
	}
}
