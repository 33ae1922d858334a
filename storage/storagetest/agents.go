package storagetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// oneAgent is an agent with everything that one can say.
func oneAgent(org tenancy.ID, name string) tasks.Agent {
	warm := 0.5
	return tasks.Agent{Meta: meta(org, name), Active: true, By: by, Config: tasks.AgentConfig{
		Model: "fast", Fallbacks: []string{"strong"}, SystemPrompt: "Be brief.", Temperature: &warm, MaxTokens: 9, Tools: json.RawMessage(`[]`), TaskTypes: []string{"code"}, Attempts: 4,
	}}
}

// Every change of what an agent says makes a version, which outlives the agent; its tasks go out of sight with it.
func agents(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	v := create(t, db.Agents(), oneAgent(o, "writer"))
	same(t, "what it says", v.Config, oneAgent(o, "writer").Config)
	if v.Version != 1 || !v.Active {
		t.Errorf("%+v", v)
	}
	change := func(f func(*tasks.Agent)) {
		t.Helper()
		f(&v)
		v.By = by
		var err error
		v, err = db.Agents().Update(ctx, by, v)
		must(t, err)
	}
	change(func(v *tasks.Agent) { v.Active = false })
	same(t, "the version after a change of nothing that it says", v.Version, 1)
	change(func(v *tasks.Agent) { v.Config.Model = "other" })
	change(func(v *tasks.Agent) { v.Config.Model = "fast" })
	same(t, "the version", v.Version, 3)
	list, err := db.AgentVersions(ctx, o, v.ID)
	must(t, err)
	if len(list) != 3 || list[0].Number != 3 || list[1].Config.Model != "other" || list[0].By != by.User || list[0].Name != by.Name || time.Since(list[0].At) > time.Minute {
		t.Errorf("%+v", list)
	}
	k := oneTask(o, user)
	k.Agent, k.Fallbacks = v.ID, []string{"strong"}
	made(t, db, k)
	got, err := db.Task(ctx, o, k.ID)
	must(t, err)
	same(t, "fallbacks of its task", got.Fallbacks, k.Fallbacks)
	must(t, db.Agents().Delete(ctx, by, o, v.ID, 0))
	_, err = db.Task(ctx, o, k.ID)
	wants(t, "a task of an agent that is gone", err, tenancy.ErrNotFound)
	_, err = db.LoadTask(ctx, o, k.ID)
	wants(t, "to be run", err, tenancy.ErrNotFound)
	must(t, db.CreateTask(ctx, by, oneTask(o, user), "r", 1)) // what was cancelled is not counted
	list, err = db.AgentVersions(ctx, o, v.ID)
	must(t, err)
	same(t, "versions of one that is gone", len(list), 3)
	again := oneAgent(o, "again")
	again.ID = v.ID
	same(t, "the version of one that is made again", create(t, db.Agents(), again).Version, 3)
}
