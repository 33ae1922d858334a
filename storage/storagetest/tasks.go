package storagetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// oneTask is a task of a user with everything that can be said of one before it begins.
func oneTask(org, user tenancy.ID) *tasks.Task {
	return &tasks.Task{
		ID: tenancy.NewID("task"), Org: org, As: tenancy.Identity{Org: org, Team: "team_1", User: user}, Agent: "agent_1", Version: 3,
		Endpoint: adapters.Responses, Model: "fast", Priority: 1, Labels: map[string]string{"env": "prod"},
		Retry:   tasks.Retry{Attempts: 4, Backoff: 1500 * time.Millisecond, On: []adapters.Class{adapters.ClassRate, adapters.ClassServer}},
		Created: at, Due: at, Deadline: at.Add(time.Hour),
	}
}

// made stores a task.
func made(t *testing.T, db *storage.DB, k *tasks.Task) *tasks.Task {
	t.Helper()
	must(t, db.CreateTask(t.Context(), by, k, "sealed request", 10))
	return k
}

// begun stores a task and begins it on a node.
func begun(t *testing.T, db *storage.DB, org, user, node tenancy.ID) *tasks.Task {
	t.Helper()
	k := made(t, db, oneTask(org, user))
	k.State, k.Node, k.Tries, k.Began, k.Seq = tasks.Running, node, 1, at.Add(time.Second), 2
	advances(t, db, k, true, "", tasks.Progress{Seq: 2, At: at, Kind: tasks.WasBegun, Detail: `{"try":1}`})
	return k
}

func advances(t *testing.T, db *storage.DB, k *tasks.Task, want bool, answer string, happened ...tasks.Progress) {
	t.Helper()
	done, err := db.Advance(t.Context(), k, happened, answer)
	must(t, err)
	same(t, "the task was advanced", done, want)
}

// someone makes an organization and a user in it.
func someone(t *testing.T, db *storage.DB) (o, user tenancy.ID) {
	t.Helper()
	o = org(t, db, "acme")
	return o, create(t, db.Users(), tenancy.User{Meta: meta(o, "Zoë"), Email: "zoe@example.com"}).ID
}

// A task is given back as it was stored, from its beginning to its end.
func taskLives(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	k := begun(t, db, o, user, "node_1")
	k.State, k.Ended, k.Failures, k.Interrupted, k.Seq = tasks.Succeeded, at.Add(2*time.Second), 1, 2, 4
	k.Outcome = tasks.Outcome{
		Call: "req_1", Provider: "openai", Model: "gpt", Usage: adapters.Usage{1, 2, 3, 4}, Estimated: true, Cost: 42, Unpriced: "no_price",
		Waiting: time.Second, FirstToken: 20 * time.Millisecond, Total: 3 * time.Second, Partial: true, Class: adapters.ClassServer, Code: "c", Message: "m",
	}
	tokens := tasks.Progress{Seq: 3, At: at, Kind: tasks.WasAnswered, Detail: "sealed", Tokens: 7}
	ended := tasks.Progress{Seq: 4, At: at, Kind: tasks.HasSucceeded, Detail: `{"try":1}`}
	advances(t, db, k, true, "sealed answer", tokens, ended)
	got, err := db.Task(ctx, o, k.ID)
	must(t, err)
	same(t, "the task", got, *k)
	request, answer, err := db.TaskContents(ctx, o, k.ID)
	must(t, err)
	same(t, "what is kept", []string{request, answer}, []string{"sealed request", "sealed answer"})
	for _, c := range []struct {
		after  int64
		tokens bool
		want   []int64
	}{{0, true, []int64{1, 2, 3, 4}}, {0, false, []int64{1, 2, 4}}, {2, true, []int64{3, 4}}, {4, true, nil}} {
		list, err := db.Progress(ctx, o, k.ID, c.after, c.tokens, 10)
		must(t, err)
		var seqs []int64
		for _, p := range list {
			seqs = append(seqs, p.Seq)
		}
		same(t, "the history", seqs, c.want)
		if c.after == 2 {
			same(t, "its lines", list, []tasks.Progress{tokens, ended})
		}
	}
	seqs, err := db.Seqs(ctx, []tenancy.ID{k.ID, "task_other"})
	must(t, err)
	same(t, "how far it is", seqs, map[tenancy.ID]int64{k.ID: 4})
}

// Who has seen another revision changes nothing, and writes no line either.
func lateWorkers(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	k := begun(t, db, o, user, "node_1")
	late := *k
	late.Rev--
	late.State, late.Seq = tasks.Succeeded, 3
	advances(t, db, &late, false, "late answer", tasks.Progress{Seq: 3, At: at, Kind: tasks.HasSucceeded, Detail: "{}"})
	ours, err := db.AppendProgress(ctx, &late, []tasks.Progress{{Seq: 3, At: at, Kind: tasks.WasAnswered, Detail: "late"}})
	must(t, err)
	same(t, "its tokens were taken", ours, false)
	got, err := db.Task(ctx, o, k.ID)
	must(t, err)
	same(t, "the task", got, *k)
	if _, answer, err := db.TaskContents(ctx, o, k.ID); err != nil || answer != "" {
		t.Errorf("the answer is %q, %v", answer, err)
	}
	// What is written twice, because nobody heard that it was, is there once.
	for range 2 {
		ours, err = db.AppendProgress(ctx, k, []tasks.Progress{{Seq: 3, At: at, Kind: tasks.WasAnswered, Detail: "first", Tokens: 1}})
		must(t, err)
		same(t, "tokens of who runs it were taken", ours, true)
	}
	list, err := db.Progress(ctx, o, k.ID, 2, true, 10)
	must(t, err)
	same(t, "the lines", list, []tasks.Progress{{Seq: 3, At: at, Kind: tasks.WasAnswered, Detail: "first", Tokens: 1}})
}

// An owner has at most so many unfinished tasks, however many ask at the same time.
func taskLimit(t *testing.T, db *storage.DB) {
	o, user := someone(t, db)
	const most, tries = 3, 12
	errs := make([]error, tries)
	var asking sync.WaitGroup
	for i := range tries {
		asking.Go(func() { errs[i] = db.CreateTask(t.Context(), by, oneTask(o, user), "r", most) })
	}
	asking.Wait()
	taken := 0
	for _, err := range errs {
		if err == nil {
			taken++
		} else {
			wants(t, "one too many", err, &tasks.Full{Most: most})
		}
	}
	same(t, "tasks that were taken", taken, most)
	list, err := db.Tasks(t.Context(), tasks.Query{Org: o, Limit: 10})
	must(t, err)
	k := list[0]
	_, err = db.StopTask(t.Context(), by, o, k.ID)
	must(t, err)
	must(t, db.CreateTask(t.Context(), by, oneTask(o, user), "r", most))
	other := oneTask(o, "")
	other.As.Key = "key_1"
	must(t, db.CreateTask(t.Context(), by, other, "r", 1)) // a key without a user is somebody of its own
	wants(t, "another one of the key", db.CreateTask(t.Context(), by, &tasks.Task{ID: "task_x", Org: o, As: other.As, Endpoint: adapters.Embeddings, Created: at, Due: at}, "r", 1), &tasks.Full{Most: 1})
}

// The same request makes one task, whoever asks for it again, and however many at the same time; who has enough gets it all the same.
func tasksOnce(t *testing.T, db *storage.DB) {
	o, user := someone(t, db)
	const tries = 6
	ids := make([]tenancy.ID, tries)
	var asking sync.WaitGroup
	for i := range tries {
		asking.Go(func() {
			for ids[i] == "" {
				k := oneTask(o, user)
				k.Once = "request 1"
				if err := db.CreateTask(t.Context(), by, k, "r", 1); err == nil {
					ids[i] = k.ID
				} else if !errors.As(err, new(*tenancy.Taken)) { // the other one has not committed yet when this one looks
					t.Error(err)
					return
				}
			}
		})
	}
	asking.Wait()
	ids = slices.Compact(ids)
	list, err := db.Tasks(t.Context(), tasks.Query{Org: o, Limit: 10})
	must(t, err)
	if len(ids) != 1 || len(list) != 1 || list[0].ID != ids[0] {
		t.Errorf("%q are one task: %+v", ids, list)
	}
}

// Tasks are listed by what they are, the newest first.
func taskPages(t *testing.T, db *storage.DB) {
	o, user := someone(t, db)
	var ids []tenancy.ID
	for i := range 5 {
		k := oneTask(o, user)
		if k.Created = at.Add(time.Duration(i) * time.Minute); i == 4 {
			k.Agent, k.Model, k.As.User, k.As.Key = "agent_2", "other", "", "key_1"
		}
		ids = append(ids, made(t, db, k).ID)
	}
	_, err := db.StopTask(t.Context(), by, o, ids[1])
	must(t, err)
	for what, c := range map[string]struct {
		q    tasks.Query
		want []int
	}{
		"all":         {tasks.Query{}, []int{4, 3, 2, 1, 0}},
		"a page":      {tasks.Query{Limit: 2, Before: ids[3]}, []int{2, 1}},
		"of a state":  {tasks.Query{State: tasks.Cancelled}, []int{1}},
		"of an agent": {tasks.Query{Agent: "agent_2"}, []int{4}},
		"of a model":  {tasks.Query{Model: "other"}, []int{4}},
		"of an owner": {tasks.Query{Owner: user, State: tasks.Pending}, []int{3, 2, 0}},
		"of a key":    {tasks.Query{Owner: "key_1"}, []int{4}},
		"of a time":   {tasks.Query{From: at.Add(time.Minute), Until: at.Add(3 * time.Minute)}, []int{2, 1}},
		"of nobody":   {tasks.Query{Provider: "nobody"}, nil},
		"of a batch":  {tasks.Query{Batch: "batch_1"}, nil},
	} {
		if c.q.Org = o; c.q.Limit == 0 {
			c.q.Limit = 10
		}
		list, err := db.Tasks(t.Context(), c.q)
		must(t, err)
		var got []int
		for _, k := range list {
			got = append(got, slices.Index(ids, k.ID))
		}
		same(t, what, got, c.want)
	}
}

// One that waits ends when it is asked to; one that runs is found by its node.
func stoppedTasks(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	waits, runs := made(t, db, oneTask(o, user)), begun(t, db, o, user, "node_1")
	got, err := db.StopTask(ctx, by, o, waits.ID)
	must(t, err)
	same(t, "what waited is", got.State, tasks.Cancelled)
	stored, err := db.Task(ctx, o, waits.ID)
	must(t, err)
	same(t, "what was given back", got, stored)
	for range 2 { // asked twice is asked once
		got, err = db.StopTask(ctx, by, o, runs.ID)
		must(t, err)
		if got.State != tasks.Running || got.Stopping.IsZero() || got.Rev != runs.Rev {
			t.Errorf("what runs is %+v", got)
		}
	}
	ids, err := db.Stopping(ctx, "node_1")
	must(t, err)
	same(t, "what its node finds", ids, []tenancy.ID{runs.ID})
	ids, err = db.Stopping(ctx, "node_2")
	must(t, err)
	same(t, "what another node finds", len(ids), 0)
	runs.State, runs.Seq = tasks.Cancelled, 3
	advances(t, db, runs, true, "", tasks.Progress{Seq: 3, At: at, Kind: tasks.WasCancelled, Detail: "{}"})
	got, err = db.StopTask(ctx, by, o, runs.ID)
	must(t, err)
	same(t, "what has ended is", got.State, tasks.Cancelled)
	_, err = db.StopTask(ctx, by, o, "task_none")
	wants(t, "one that is none", err, tenancy.ErrNotFound)
}

// Whose person is disabled or gone is not run; a key is the data plane's to know.
func tasksOfTheGone(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	o, user := someone(t, db)
	k := made(t, db, oneTask(o, user))
	keyed := oneTask(o, "user_gone")
	keyed.As.Key = "key_1"
	made(t, db, keyed)
	gone := func(id tenancy.ID, want bool) {
		t.Helper()
		got, err := db.LoadTask(ctx, o, id)
		must(t, err)
		same(t, "the request", got.Request, "sealed request")
		if got.Gone != want || got.ID != id {
			t.Errorf("%s: gone %v, want %v", id, got.Gone, want)
		}
	}
	gone(k.ID, false)
	gone(keyed.ID, false)
	key := create(t, db.Keys(), tenancy.APIKey{Meta: meta(o, "key"), Hash: hash("key")})
	keyed = oneTask(o, "")
	keyed.As.Key = key.ID
	l, err := db.LoadTask(ctx, o, made(t, db, keyed).ID)
	must(t, err)
	same(t, "the hash of its key", l.Hash, key.Hash)
	u, err := db.Users().Get(ctx, o, user)
	must(t, err)
	u.Disabled = true
	_, err = db.Users().Update(ctx, by, u)
	must(t, err)
	gone(k.ID, true)
	must(t, db.Users().Delete(ctx, by, o, user, 0))
	gone(k.ID, true)
	_, err = db.LoadTask(ctx, o, "task_none")
	wants(t, "one that is none", err, tenancy.ErrNotFound)
}

// What ran on a node that is silent is begun anew, what waited for too long has failed, and what this node lost it finds again.
func patrols(t *testing.T, db *storage.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	o, user := someone(t, db)
	dead, lost, runs := begun(t, db, o, user, "node_dead"), begun(t, db, o, user, "node_me"), begun(t, db, o, user, "node_me")
	late := oneTask(o, user)
	late.Created = time.Now().Add(-time.Hour)
	late.Due, late.Deadline = late.Created, time.Now().Add(-time.Minute)
	made(t, db, late)
	told := make(chan tenancy.ID, 10)
	var patrolling sync.WaitGroup
	patrolling.Go(func() {
		db.Patrol(ctx, storage.Patrol{
			Node: "node_me", Runs: func(id tenancy.ID) bool { return id == runs.ID },
			Told: func(id tenancy.ID, _ int64) { told <- id }, Keep: func() time.Duration { return time.Hour },
			Running: func(context.Context, []tasks.Batch) {},
		})
	})
	defer func() { cancel(); patrolling.Wait() }()
	want := map[tenancy.ID]tasks.State{dead.ID: tasks.Pending, lost.ID: tasks.Pending, late.ID: tasks.Failed}
	for left := len(want); left > 0; left-- {
		select {
		case id := <-told:
			got, err := db.Task(ctx, o, id)
			must(t, err)
			if state, ok := want[id]; !ok || got.State != state || state == tasks.Pending && got.Interrupted != 1 {
				t.Errorf("%s is %+v", id, got)
			}
		case <-time.After(time.Minute):
			t.Fatal("not all of them were found")
		}
	}
	got, err := db.Task(ctx, o, runs.ID)
	must(t, err)
	same(t, "what runs here", got, *runs)
}

// What has been kept for long enough goes, its tokens before.
func tasksGone(t *testing.T, db *storage.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	o, user := someone(t, db)
	ends := func(ago time.Duration) *tasks.Task {
		k := begun(t, db, o, user, "node_me")
		k.State, k.Ended, k.Seq = tasks.Succeeded, time.Now().Add(-ago).UTC().Truncate(time.Microsecond), 4
		advances(t, db, k, true, "a", tasks.Progress{Seq: 3, At: at, Kind: tasks.WasAnswered, Detail: "x"}, tasks.Progress{Seq: 4, At: at, Kind: tasks.HasSucceeded, Detail: "{}"})
		return k
	}
	fresh, older, old := ends(time.Minute), ends(2*time.Hour), ends(48*time.Hour)
	var patrolling sync.WaitGroup
	patrolling.Go(func() {
		db.Patrol(ctx, storage.Patrol{
			Node: "node_me", Runs: func(tenancy.ID) bool { return false }, Told: func(tenancy.ID, int64) {}, Keep: func() time.Duration { return 24 * time.Hour },
			Running: func(context.Context, []tasks.Batch) {},
		})
	})
	defer func() { cancel(); patrolling.Wait() }()
	for {
		if _, err := db.Task(ctx, o, old.ID); err != nil {
			wants(t, "an old one", err, tenancy.ErrNotFound)
			break
		}
	}
	for k, lines := range map[*tasks.Task]int{fresh: 4, older: 3, old: 0} {
		list, err := db.Progress(ctx, o, k.ID, 0, true, 10)
		must(t, err)
		same(t, "lines of history", len(list), lines)
	}
	_, _, err := db.TaskContents(ctx, o, old.ID)
	wants(t, "what an old one said", err, tenancy.ErrNotFound)
}
