package tests

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// tenantsFile has two organizations, and one account that both use.
const tenantsFile = `
defaults: {attempts: 1}
providers:
  ours: {kind: openai, base_url: "URL", api_key: env:SIM_KEY, allow_private: true}
models:
  sim-echo: {targets: [{provider: ours}]}
organizations:
  acme: {keys: {full: {key: env:FULL_KEY}}}
  other: {keys: {narrow: {key: env:NARROW_KEY}}}
`

func tenants(t *testing.T) (*vel.Process, *simulated) {
	t.Helper()
	sim := simulate(t)
	return vel.Start(t, options(strings.ReplaceAll(tenantsFile, "URL", sim.URL()+"/v1"))), sim
}

// belongings are one of everything that a provider keeps.
type belongings struct {
	file, upload, part, uploaded, batch, output, job, tuned, store, conversation, turn string
	response, item, streamed, background, chat, streamedChat                           string
}

// settle makes one of everything.
func (o account) settle(t *testing.T) (b belongings) {
	t.Helper()
	line := `{"custom_id":"one","method":"POST","url":"/v1/chat/completions","body":` + chat("sim-echo", "hi from a batch", "") + "}\n"
	b.file = o.upload(t, "batch", "in.jsonl", []byte(line))
	b.upload = o.post(t, "/uploads", `{"purpose":"user_data","filename":"f","bytes":3,"mime_type":"text/plain"}`).id(t)
	b.part = ask(t, newForm(t).file(t, "data", "part", []byte("abc")).post(t, o.at+"/uploads/"+b.upload+"/parts", o.key)).id(t)
	whole, _ := o.post(t, "/uploads/"+b.upload+"/complete", `{"part_ids":["`+b.part+`"]}`).member(t, "file").(map[string]any)
	b.uploaded, _ = whole["id"].(string)
	b.batch = o.post(t, "/batches", `{"input_file_id":"`+b.file+`","endpoint":"/v1/chat/completions","completion_window":"24h"}`).id(t)
	for range 5 { // it goes on each time it is read
		if a := o.get(t, "/batches/"+b.batch); a.member(t, "status") == "completed" {
			b.output, _ = a.member(t, "output_file_id").(string)
			break
		}
	}
	b.job = o.post(t, "/fine_tuning/jobs", `{"model":"sim-echo","training_file":"`+b.file+`"}`).id(t)
	for range 5 {
		if a := o.get(t, "/fine_tuning/jobs/"+b.job); a.member(t, "status") == "succeeded" {
			b.tuned, _ = a.member(t, "fine_tuned_model").(string)
			break
		}
	}
	b.store = o.post(t, "/vector_stores", `{"name":"s","file_ids":["`+b.file+`"]}`).id(t)
	b.conversation = o.post(t, "/conversations", `{"items":[{"role":"user","content":"hello"}]}`).id(t)
	items := o.post(t, "/conversations/"+b.conversation+"/items", `{"items":[{"role":"user","content":"again"}]}`)
	b.turn = firstOf(t, items.body)
	made := o.post(t, "/responses", `{"model":"sim-echo","input":"remember me"}`)
	b.response, b.item = made.id(t), firstOutput(t, made.body)
	b.streamed = o.streamed(t, `{"model":"sim-echo","input":"a stream","stream":true}`)
	b.background = o.streamed(t, `{"model":"sim-echo","input":"in the background","background":true,"stream":true}`)
	b.chat = o.post(t, "/chat/completions", chat("sim-echo", "keep this", `,"store":true`)).id(t)
	s := askStream(t, request(t, "POST", o.at+"/chat/completions", o.key, chat("sim-echo", "and this", `,"store":true,"stream":true`)))
	b.streamedChat = idIn(t, s.data[0])
	return b
}

// streamed makes a response by a stream and gives its id.
func (o account) streamed(t *testing.T, body string) string {
	t.Helper()
	s := askStream(t, request(t, "POST", o.at+"/responses", o.key, body))
	var first struct{ Response json.RawMessage }
	if err := json.Unmarshal([]byte(s.data[0]), &first); err != nil {
		t.Fatal(err)
	}
	return idIn(t, string(first.Response))
}

func idIn(t *testing.T, object string) string {
	t.Helper()
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(object), &v); err != nil || v.ID == "" {
		t.Fatalf("no id: %v, %s", err, object)
	}
	return v.ID
}

func firstOf(t *testing.T, list []byte) string {
	t.Helper()
	var v struct{ Data []json.RawMessage }
	if err := json.Unmarshal(list, &v); err != nil || len(v.Data) == 0 {
		t.Fatalf("an empty list: %v, %s", err, list)
	}
	return idIn(t, string(v.Data[0]))
}

func firstOutput(t *testing.T, response []byte) string {
	t.Helper()
	var v struct{ Output []json.RawMessage }
	if err := json.Unmarshal(response, &v); err != nil || len(v.Output) == 0 {
		t.Fatalf("no output: %v, %s", err, response)
	}
	return idIn(t, string(v.Output[0]))
}

// places are the paths by which they are read.
func (b *belongings) places() []string {
	return []string{
		"/files/" + b.file, "/files/" + b.file + "/content", "/files/" + b.uploaded, "/files/" + b.output, "/files/" + b.output + "/content", "/batches/" + b.batch,
		"/fine_tuning/jobs/" + b.job, "/fine_tuning/jobs/" + b.job + "/events", "/fine_tuning/jobs/" + b.job + "/checkpoints",
		"/vector_stores/" + b.store, "/vector_stores/" + b.store + "/files", "/vector_stores/" + b.store + "/files/" + b.file,
		"/conversations/" + b.conversation, "/conversations/" + b.conversation + "/items",
		"/responses/" + b.response, "/responses/" + b.response + "/input_items", "/responses/" + b.streamed, "/responses/" + b.background,
		"/responses/" + b.background + "?stream=true", "/chat/completions/" + b.chat, "/chat/completions/" + b.chat + "/messages", "/chat/completions/" + b.streamedChat,
	}
}

// calls name them in bodies: path and body in turn.
func (b *belongings) calls() [][2]string {
	ask := func(more string) [2]string { return [2]string{"/responses", `{"model":"sim-echo",` + more + `}`} }
	return [][2]string{
		{"/batches", `{"input_file_id":"` + b.file + `","endpoint":"/v1/chat/completions","completion_window":"24h"}`},
		{"/batches", `{"input\u005ffile_id":"` + b.file + `","endpoint":"/v1/chat/completions","completion_window":"24h"}`},
		{"/fine_tuning/jobs", `{"model":"sim-echo","training_file":"` + b.file + `"}`},
		{"/vector_stores", `{"file_ids":["` + b.uploaded + `"]}`},
		{"/vector_stores/" + b.store + "/files", `{"file_id":"` + b.output + `"}`},
		{"/vector_stores/" + b.store + "/search", `{"query":"x"}`},
		{"/conversations", `{"items":[{"type":"item_reference","id":"` + b.turn + `"}]}`},
		{"/conversations/" + b.conversation + "/items", `{"items":[{"role":"user","content":"x"}]}`},
		{"/chat/completions/" + b.chat, `{"metadata":{"a":"b"}}`},
		{"/chat/completions", `{"model":"sim-echo","messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"file","file":{"file_id":"` + b.file + `"}}]}]}`},
		ask(`"input":[{"role":"user","content":[{"type":"input_text","text":"x"},{"type":"input_file","file_id":"` + b.file + `"}]}]`),
		ask(`"input":"x","tools":[{"type":"file_search","vector_store_ids":["` + b.store + `"]}]`),
		ask(`"input":"x","previous_response_id":"` + b.response + `"`),
		ask(`"input":"x","previous_response_id":"` + b.streamed + `","stream":true`),
		ask(`"input":"x","conversation":"` + b.conversation + `"`),
		ask(`"input":"x","conversation":{"id":"` + b.conversation + `"}`),
		ask(`"input":[{"role":"user","content":"x"},{"type":"item_reference","id":"` + b.item + `"}]`),
	}
}

// lists are the paths of lists, and what must stand in them.
func (b *belongings) lists() map[string][]string {
	return map[string][]string{
		"/files": {b.file, b.uploaded, b.output}, "/files?purpose=batch": {b.file}, "/batches": {b.batch}, "/fine_tuning/jobs": {b.job},
		"/vector_stores": {b.store}, "/chat/completions": {b.chat, b.streamedChat},
	}
}

func (a answer) listed(t *testing.T) (ids []string) {
	t.Helper()
	var list struct{ Data []struct{ ID string } }
	if err := json.Unmarshal(a.body, &list); err != nil || a.status != 200 || list.Data == nil {
		t.Fatalf("no list: %d %s", a.status, a.body)
	}
	for _, d := range list.Data {
		ids = append(ids, d.ID)
	}
	return ids
}

// has checks that an organization sees and can use everything of its own, and nothing else.
func (o account) has(t *testing.T, b *belongings) {
	t.Helper()
	for _, path := range b.places() {
		if a := o.get(t, path); a.status != 200 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	for path, want := range b.lists() {
		ids := o.get(t, path).listed(t)
		if slices.Sort(ids); !slices.Equal(ids, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: %v, want %v", path, ids, want)
		}
	}
}

func TestTenantsOfOneAccount(t *testing.T) {
	t.Parallel()
	p, sim := tenants(t)
	acme, other := account{p.URL + "/v1", fullKey}, account{p.URL + "/v1", narrowKey}
	mine, theirs := acme.settle(t), other.settle(t)
	acme.has(t, &mine)
	other.has(t, &theirs)

	before := sim.Stats().Calls
	for _, path := range mine.places() {
		a := other.get(t, path)
		a.wantError(t, 404, "object_not_found")
		if unknown := other.get(t, strings.NewReplacer(mine.file, "file-x", mine.batch, "batch_x").Replace(path)); unknown.status != 404 {
			t.Errorf("%s: %s", path, unknown.body)
		}
	}
	for _, c := range mine.calls() {
		code := "object_not_found"
		if strings.Contains(c[1], "previous_response_id") {
			code = "previous_response_not_found"
		}
		other.post(t, c[0], c[1]).wantError(t, 404, code)
	}
	other.post(t, "/fine_tuning/jobs", `{"model":"`+mine.tuned+`","training_file":"`+theirs.file+`"}`).wantError(t, 404, "object_not_found")
	other.post(t, "/uploads/"+theirs.upload+"/complete", `{"part_ids":["`+mine.part+`"]}`).wantError(t, 404, "object_not_found")
	other.post(t, "/vector_stores/"+theirs.store+"/files", `{"file_id":"`+mine.file+`"}`).wantError(t, 404, "object_not_found")
	for _, path := range []string{
		"/uploads/" + mine.upload + "/cancel", "/batches/" + mine.batch + "/cancel", "/fine_tuning/jobs/" + mine.job + "/cancel", "/responses/" + mine.background + "/cancel",
	} {
		other.post(t, path, "").wantError(t, 404, "object_not_found")
	}
	for _, path := range []string{
		"/files/" + mine.file, "/vector_stores/" + mine.store, "/vector_stores/" + mine.store + "/files/" + mine.file, "/conversations/" + mine.conversation,
		"/responses/" + mine.response, "/chat/completions/" + mine.chat,
	} {
		ask(t, request(t, "DELETE", other.at+path, other.key, "")).wantError(t, 404, "object_not_found")
	}
	if after := sim.Stats().Calls; after != before {
		t.Errorf("%d calls on another's objects reached the provider", after-before)
	}
	acme.has(t, &mine)
	for _, c := range mine.calls() {
		if a := acme.post(t, c[0], c[1]); a.status != 200 {
			t.Errorf("%s %s: %d %s", c[0], c[1], a.status, a.body)
		}
	}
}

// Who made what is known after a restart, too, and what was deleted is gone for good.
func TestTenantsAfterARestart(t *testing.T) {
	t.Parallel()
	sim, dir := simulate(t), t.TempDir()
	o := options(strings.ReplaceAll(tenantsFile, "URL", sim.URL()+"/v1"))
	start := func() (acme, other account, stop func()) {
		p, err := vel.Launch(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		return account{p.URL + "/v1", fullKey}, account{p.URL + "/v1", narrowKey}, func() {
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	acme, other, stop := start()
	mine, theirs := acme.settle(t), other.settle(t)
	extra := acme.upload(t, "user_data", "extra", []byte("x"))
	acme.remove(t, "/files/"+extra)
	stop()

	acme, other, stop = start()
	defer stop()
	acme.has(t, &mine)
	other.has(t, &theirs)
	for _, path := range append(mine.places(), "/files/"+extra) {
		other.get(t, path).wantError(t, 404, "object_not_found")
	}
	acme.get(t, "/files/"+extra).wantError(t, 404, "object_not_found")
	for path := range mine.lists() {
		for _, id := range other.get(t, path).listed(t) {
			if strings.Contains(strings.Join(mine.places(), " "), id) {
				t.Errorf("%s: the other organization sees %s", path, id)
			}
		}
	}
}
