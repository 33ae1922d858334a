package simulator

import (
	"strconv"
	"strings"
	"testing"
)

type object struct {
	ID, Object, Status, Purpose, Filename string
	Bytes                                 int
	Output                                *string                                `json:"output_file_id"`
	Errors                                *string                                `json:"error_file_id"`
	Counts                                struct{ Total, Completed, Failed int } `json:"request_counts"`
	File                                  *object
	Data                                  []object
	More                                  bool                `json:"has_more"`
	First                                 string              `json:"first_id"`
	Metadata                              map[string]string   `json:"metadata"`
	Model                                 string              `json:"fine_tuned_model"`
	FileCounts                            struct{ Total int } `json:"file_counts"`
	Role, Content                         string
}

func TestFiles(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	content := "line\r\n\x00\xff"
	var ids []string
	for i := range 3 {
		f := decode[object](t, upload(t, s, "/v1/files", "purpose", "user_data", "file", "@f"+strconv.Itoa(i)+".txt:"+content))
		if f.Object != "file" || f.Bytes != len(content) || f.Filename != "f"+strconv.Itoa(i)+".txt" || f.Status != "processed" || !strings.HasPrefix(f.ID, "file-") {
			t.Fatalf("%+v", f)
		}
		ids = append(ids, f.ID)
	}
	if a := get(t, s, "GET", "/v1/files/"+ids[0]+"/content", "sk-test"); a.body != content || a.header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%q", a.body)
	}
	for query, want := range map[string][]string{
		"": {ids[2], ids[1], ids[0]}, "?order=asc": ids, "?limit=1": {ids[2]}, "?after=" + ids[1]: {ids[0]},
		"?order=asc&before=" + ids[2]: ids[:2], "?purpose=batch": nil, "?purpose=user_data&limit=2": {ids[2], ids[1]},
	} {
		list := decode[object](t, get(t, s, "GET", "/v1/files"+query, "sk-test"))
		var got []string
		for _, f := range list.Data {
			got = append(got, f.ID)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") || list.More != strings.Contains(query, "limit") || list.Object != "list" {
			t.Errorf("%s: %v", query, got)
		}
	}
	for method, path := range map[string]string{"GET": "/v1/files/" + ids[0], "DELETE": "/v1/files/" + ids[0]} {
		checkError(t, get(t, s, method, path, "sk-other"), 404, "not_found", ids[0])
	}
	checkError(t, get(t, s, "GET", "/v1/files/"+ids[0]+"/content", "sk-other"), 404, "not_found", ids[0])
	if list := decode[object](t, get(t, s, "GET", "/v1/files", "sk-other")); len(list.Data) != 0 {
		t.Errorf("another key sees %+v", list.Data)
	}
	if a := get(t, s, "DELETE", "/v1/files/"+ids[0], "sk-test"); !strings.Contains(a.body, `"deleted":true`) {
		t.Error(a.body)
	}
	checkError(t, get(t, s, "GET", "/v1/files/"+ids[0], "sk-test"), 404, "not_found", ids[0])
	checkError(t, upload(t, s, "/v1/files", "purpose", "fun", "file", "@a:b"), 400, "invalid_value", "fun")
	checkError(t, upload(t, s, "/v1/files", "purpose", "batch", "file", "@[[status=500]].txt:b"), 500, "", "error")
	checkError(t, get(t, s, "PUT", "/v1/files", "sk-test"), 405, "method_not_supported", "PUT")
}

func TestShelfIsBounded(t *testing.T) {
	t.Parallel()
	var s shelf
	for range keptObjects + 5 {
		s.put(&thing{account: "a", kind: "file", data: []byte("x"), doc: obj{}})
	}
	if len(s.all) != keptObjects || len(s.order) != keptObjects || s.bytes != keptObjects {
		t.Errorf("%d objects, %d bytes", len(s.all), s.bytes)
	}
	for range 3 {
		s.put(&thing{account: "a", kind: "file", data: make([]byte, keptObjectBytes/2), doc: obj{}})
	}
	if len(s.all) != 2 || s.bytes != keptObjectBytes {
		t.Errorf("%d objects, %d bytes", len(s.all), s.bytes)
	}
}

func TestUploads(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	begin := func() object {
		return decode[object](t, post(t, s, "/v1/uploads", `{"filename":"a.txt","purpose":"assistants","bytes":6,"mime_type":"text/plain"}`))
	}
	u := begin()
	second := decode[object](t, upload(t, s, "/v1/uploads/"+u.ID+"/parts", "data", "@blob:def"))
	first := decode[object](t, upload(t, s, "/v1/uploads/"+u.ID+"/parts", "data", "@blob:abc"))
	checkError(t, post(t, s, "/v1/uploads/"+u.ID+"/complete", `{"part_ids":["`+first.ID+`"]}`), 400, "invalid_value", "size")
	done := decode[object](t, post(t, s, "/v1/uploads/"+u.ID+"/complete", `{"part_ids":["`+first.ID+`","`+second.ID+`"]}`))
	if done.Status != "completed" || done.File == nil {
		t.Fatalf("%+v", done)
	}
	if a := get(t, s, "GET", "/v1/files/"+done.File.ID+"/content", "sk-test"); a.body != "abcdef" {
		t.Errorf("%q", a.body)
	}
	checkError(t, upload(t, s, "/v1/uploads/"+u.ID+"/parts", "data", "@blob:x"), 400, "", "completed")
	other := begin()
	if c := decode[object](t, post(t, s, "/v1/uploads/"+other.ID+"/cancel", ``)); c.Status != "cancelled" {
		t.Errorf("%+v", c)
	}
	checkError(t, get(t, s, "POST", "/v1/uploads/"+other.ID+"/cancel", "sk-other"), 404, "not_found", other.ID)
}

func TestBatches(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	lines := `{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"sim-echo","messages":[{"role":"user","content":"first"}]}}` + "\n" +
		`{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt","messages":[{"role":"user","content":"x"}]}}` + "\n"
	f := decode[object](t, upload(t, s, "/v1/files", "purpose", "batch", "file", "@b.jsonl:"+lines))
	ask := `{"input_file_id":"` + f.ID + `","endpoint":"/v1/chat/completions","completion_window":"24h","metadata":{"k":"v"}}`
	b := decode[object](t, post(t, s, "/v1/batches", ask))
	var went []string
	for went = append(went, b.Status); len(went) < 3; went = append(went, b.Status) {
		b = decode[object](t, get(t, s, "GET", "/v1/batches/"+b.ID, "sk-test"))
	}
	if strings.Join(went, " ") != "validating in_progress completed" || b.Counts.Total != 2 || b.Counts.Failed != 1 || b.Metadata["k"] != "v" {
		t.Fatalf("%v %+v", went, b)
	}
	out := get(t, s, "GET", "/v1/files/"+*b.Output+"/content", "sk-test").body
	failed := get(t, s, "GET", "/v1/files/"+*b.Errors+"/content", "sk-test").body
	if !strings.Contains(out, `"custom_id":"a"`) || !strings.Contains(out, `"content":"first"`) || !strings.Contains(failed, "model_not_found") || !strings.Contains(failed, `"custom_id":"b"`) {
		t.Errorf("%s\n%s", out, failed)
	}
	again := decode[object](t, post(t, s, "/v1/batches", ask))
	if c := decode[object](t, post(t, s, "/v1/batches/"+again.ID+"/cancel", ``)); c.Status != "cancelled" {
		t.Errorf("%+v", c)
	}
	checkError(t, get(t, s, "GET", "/v1/batches/"+b.ID, "sk-other"), 404, "not_found", b.ID)
	checkError(t, post(t, s, "/v1/batches", strings.Replace(ask, f.ID, "file-other", 1)), 404, "not_found", "file-other")
	if list := decode[object](t, get(t, s, "GET", "/v1/batches", "sk-test")); len(list.Data) != 2 || list.Data[0].ID != again.ID {
		t.Errorf("%+v", list)
	}
}

func TestFineTuning(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	f := decode[object](t, upload(t, s, "/v1/files", "purpose", "fine-tune", "file", "@b.jsonl:{}"))
	ask := `{"model":"sim-echo","training_file":"` + f.ID + `"}`
	j := decode[object](t, post(t, s, "/v1/fine_tuning/jobs", ask))
	path := "/v1/fine_tuning/jobs/" + j.ID
	for range 2 {
		j = decode[object](t, get(t, s, "GET", path, "sk-test"))
	}
	type entries struct{ Data []struct{ ID string } }
	told := decode[entries](t, get(t, s, "GET", path+"/events", "sk-test"))
	points := decode[entries](t, get(t, s, "GET", path+"/checkpoints", "sk-test"))
	if j.Status != "succeeded" || !strings.HasPrefix(j.Model, "ft:sim-echo:") || len(told.Data) != 3 || len(points.Data) != 1 {
		t.Errorf("%+v, %d events, %d checkpoints", j, len(told.Data), len(points.Data))
	}
	checkError(t, get(t, s, "POST", path+"/cancel", "sk-test"), 400, "", "already")
	other := decode[object](t, post(t, s, "/v1/fine_tuning/jobs", ask))
	if c := decode[object](t, post(t, s, "/v1/fine_tuning/jobs/"+other.ID+"/cancel", ``)); c.Status != "cancelled" {
		t.Errorf("%+v", c)
	}
	checkError(t, get(t, s, "GET", path+"/events", "sk-other"), 404, "not_found", j.ID)
}

func TestVectorStores(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	f := decode[object](t, upload(t, s, "/v1/files", "purpose", "assistants", "file", "@a.txt:the quick brown fox"))
	v := decode[object](t, post(t, s, "/v1/vector_stores", `{"name":"n"}`))
	path := "/v1/vector_stores/" + v.ID
	if a := decode[object](t, post(t, s, path+"/files", `{"file_id":"`+f.ID+`"}`)); a.Object != "vector_store.file" || a.ID != f.ID {
		t.Errorf("%+v", a)
	}
	if now := decode[object](t, get(t, s, "GET", path, "sk-test")); now.FileCounts.Total != 1 {
		t.Errorf("%+v", now)
	}
	if a := post(t, s, path+"/search", `{"query":"fox"}`); !strings.Contains(a.body, f.ID) {
		t.Errorf("%s", a.body)
	}
	if a := post(t, s, path, `{"name":"other"}`); !strings.Contains(a.body, `"name":"other"`) {
		t.Errorf("%s", a.body)
	}
	for _, p := range []string{path, path + "/files", path + "/files/" + f.ID} {
		checkError(t, get(t, s, "GET", p, "sk-other"), 404, "not_found", v.ID)
	}
	if a := get(t, s, "DELETE", path+"/files/"+f.ID, "sk-test"); !strings.Contains(a.body, `"deleted":true`) {
		t.Errorf("%s", a.body)
	}
	if list := decode[object](t, get(t, s, "GET", path+"/files", "sk-test")); len(list.Data) != 0 {
		t.Errorf("%+v", list)
	}
	if a := get(t, s, "DELETE", path, "sk-test"); !strings.Contains(a.body, `"vector_store.deleted"`) {
		t.Errorf("%s", a.body)
	}
}

func TestStoredCompletions(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	whole := parse(t, chat(t, s, ask("keep", `"store":true`, `"metadata":{"k":"v"}`)).body)
	streamed := parse(t, events(chat(t, s, ask("keep too", `"store":true`, streaming)).body)[0])
	chat(t, s, ask("forget"))
	list := decode[object](t, get(t, s, "GET", "/v1/chat/completions", "sk-test"))
	if len(list.Data) != 2 || list.Data[0].ID != whole.ID || list.Data[1].ID != streamed.ID {
		t.Fatalf("%+v", list)
	}
	if list := decode[object](t, get(t, s, "GET", "/v1/chat/completions?metadata%5Bk%5D=v", "sk-test")); len(list.Data) != 1 {
		t.Errorf("%+v", list)
	}
	path := "/v1/chat/completions/" + streamed.ID
	if c := parse(t, get(t, s, "GET", path, "sk-test").body); *c.Choices[0].Message.Content != "keep too" || c.Usage.Completion != 2 {
		t.Errorf("%+v", c)
	}
	if m := decode[object](t, get(t, s, "GET", path+"/messages", "sk-test")); len(m.Data) != 1 || m.Data[0].Content != "keep too" || m.Data[0].ID == "" {
		t.Errorf("%+v", m)
	}
	if u := decode[object](t, post(t, s, path, `{"metadata":{"z":"1"}}`)); u.Metadata["z"] != "1" {
		t.Errorf("%+v", u)
	}
	checkError(t, get(t, s, "GET", path, "sk-other"), 404, "not_found", streamed.ID)
	if d := get(t, s, "DELETE", path, "sk-test"); !strings.Contains(d.body, `"chat.completion.deleted"`) {
		t.Errorf("%s", d.body)
	}
	checkError(t, get(t, s, "GET", path, "sk-test"), 404, "not_found", streamed.ID)
}

func TestConversations(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	made := decode[object](t, post(t, s, "/v1/conversations", `{"items":[{"role":"user","content":"one"}],"metadata":{"k":"v"}}`))
	path := "/v1/conversations/" + made.ID
	if !strings.HasPrefix(made.ID, "conv_") || made.Metadata["k"] != "v" {
		t.Fatalf("%+v", made)
	}
	type items struct{ Data []struct{ ID string } }
	added := decode[items](t, post(t, s, path+"/items", `{"items":[{"role":"user","content":"two"}]}`))
	list := decode[items](t, get(t, s, "GET", path+"/items?order=asc", "sk-test"))
	if len(added.Data) != 1 || len(list.Data) != 2 || list.Data[1].ID != added.Data[0].ID {
		t.Errorf("%+v, %+v", added, list)
	}
	if again := decode[object](t, get(t, s, "GET", path, "sk-test")); again.ID != made.ID {
		t.Errorf("%+v", again)
	}
	checkError(t, get(t, s, "GET", path, "sk-other"), 404, "not_found", made.ID)
	checkError(t, get(t, s, "GET", path+"/items", "sk-other"), 404, "not_found", made.ID)
	checkError(t, post(t, s, "/v1/conversations", `{"items":[7]}`), 400, "invalid_type", "items[0]")
	if d := get(t, s, "DELETE", path, "sk-test"); !strings.Contains(d.body, `"conversation.deleted"`) {
		t.Errorf("%s", d.body)
	}
	checkError(t, get(t, s, "GET", path, "sk-test"), 404, "not_found", made.ID)
}
