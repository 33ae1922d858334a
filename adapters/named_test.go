package adapters

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		endpoint Endpoint
		body     string
		want     []string // field=id
	}{
		"nothing":                     {ChatCompletions, `{"model":"m","messages":[{"role":"user","content":"file_id is \"file-1\""}]}`, nil},
		"a file of a message":         {ChatCompletions, `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}`, []string{"file_id=file-1"}},
		"a key with an escape":        {ChatCompletions, `{"model":"m","messages":[{"file":{"file\u005fid":"file-1"}}]}`, []string{"file_id=file-1"}},
		"an id with an escape":        {ChatCompletions, `{"model":"m","messages":[{"file_id":"file\u002d1"}]}`, []string{"file_id=file-1"}},
		"twice":                       {ChatCompletions, `{"model":"m","messages":[{"file_id":"file-1","file_id":"file-2"}]}`, []string{"file_id=file-1", "file_id=file-2"}},
		"the client's own":            {ChatCompletions, `{"model":"m","metadata":{"file_id":"a"},"messages":[],"tools":[{"function":{"parameters":{"default":{"file_id":"b"}}}}]}`, nil},
		"behind the client's own":     {ChatCompletions, `{"model":"m","metadata":{"a":{"b":[1]}},"messages":[{"file_id":"c"}]}`, []string{"file_id=c"}},
		"not a text":                  {ChatCompletions, `{"model":"m","messages":[{"file_id":7},{"file_id":null},{"file_id":""},{"file_id":[["a"],{"file_id":"b"}]}]}`, []string{"file_id=a", "file_id=b"}},
		"an id in a chat is no item":  {ChatCompletions, `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"call_1"}]}]}`, nil},
		"a response before":           {Responses, `{"model":"m","previous_response_id":"resp_1","input":"x"}`, []string{"previous_response_id=resp_1"}},
		"a conversation":              {Responses, `{"model":"m","conversation":"conv_1"}`, []string{"conversation=conv_1"}},
		"a conversation in an object": {Responses, `{"model":"m","conversation":{"id":"conv_1","id":"conv_2"}}`, []string{"conversation=conv_1", "conversation=conv_2"}},
		"tools": {
			Responses, `{"model":"m","tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2"]},{"type":"code_interpreter","container":"cntr_1"},` +
				`{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-1"]}},{"type":"shell","environment":{"container_id":"cntr_2"}},` +
				`{"type":"image_generation","input_image_mask":{"file_id":"file-2"}}]}`,
			[]string{"vector_store_ids=vs_1", "vector_store_ids=vs_2", "container=cntr_1", "file_ids=file-1", "container_id=cntr_2", "file_id=file-2"},
		},
		"items": {
			Responses, `{"model":"m","input":[{"type":"item_reference","id":"msg_1"},{"id":"msg_2"},{"id":"msg_3","type":null},` +
				`{"id":"msg_4","role":"user","content":"x"},{"type":"message","id":"msg_5","role":"assistant","content":[{"file_id":"file-1"}]},{"type":"function_call","id":"fc_1"}]}`,
			[]string{"input=msg_1", "input=msg_2", "input=msg_3", "file_id=file-1"},
		},
		"items without their content": {
			Responses, `{"model":"m","input":[{"type":"reasoning","id":"rs_1","summary":[]},{"type":"reasoning","id":"rs_2","encrypted_content":"x"},` +
				`{"type":"reasoning","id":"rs_3","encrypted_content":null},{"type":"image_generation_call","id":"ig_1"},{"type":"image_generation_call","id":"ig_2","result":"x"}]}`,
			[]string{"input=rs_1", "input=rs_3", "input=ig_1"},
		},
		"items that say two things": {
			Responses, `{"model":"m","input":[{"type":"message","type":"item_reference","id":"msg_1"},{"type":"item_reference","type":"message","id":"msg_2"},` +
				`{"type":"reasoning","id":"rs_1","encrypted_content":"x","encrypted_content":null},{"id":"a","id":"b"},{"id":"c","role":"user","role":""}]}`,
			[]string{"input=msg_1", "input=msg_2", "input=rs_1", "input=a", "input=b", "input=c"},
		},
		"an input that is odd": {Responses, `{"model":"m","input":["x",[{"file_id":"a"}],null,{}],"text":{"input":[{"id":"b"}]}}`, []string{"file_id=a"}},
		"a batch":              {Objects, ` {"input_file_id":"file-1","endpoint":"/v1/responses"} `, []string{"input_file_id=file-1"}},
		"a job": {
			Objects, `{"model":"ft:m:acme::1","training_file":"file-1","validation_file":"file-2","method":{"model":"ft:x"}}`,
			[]string{"model=ft:m:acme::1", "training_file=file-1", "validation_file=file-2"},
		},
		"a job on a plain model":    {Objects, `{"model":"gpt","training_file":"f"}`, []string{"training_file=f"}},
		"a model in escapes":        {Objects, `{"model":"f\u0074:m"}`, []string{"model=ft:m"}},
		"parts":                     {Objects, `{"part_ids":["part_1","part_2"]}`, []string{"part_ids=part_1", "part_ids=part_2"}},
		"files of a store":          {Objects, `{"files":[{"file_id":"a","attributes":{"file_id":"mine"}}],"file_ids":["b"]}`, []string{"file_id=a", "file_ids=b"}},
		"items of a conversation":   {Objects, `{"items":[{"type":"item_reference","id":"msg_1"},{"role":"user","content":[{"file_id":"a"}]}]}`, []string{"items=msg_1", "file_id=a"}},
		"an empty object":           {Objects, `{}`, nil},
		"spaces":                    {Objects, "{ \"file_ids\" :\n[ \"a\" ,\t\"b\" ] , \"x\" : [ ] , \"y\" : { } , \"z\" : -1.5e3 }", []string{"file_ids=a", "file_ids=b"}},
		"numbers, words and quotes": {Objects, `{"a":1,"b":true,"c":[null,false,"\"file_id\":\"x\"","\\"],"file_ids":["\\"]}`, []string{`file_ids=\`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, q := Content{Endpoint: c.endpoint}, Question{}
			if err := Parse([]byte(c.body), &in, &q); err != nil {
				t.Fatal(err)
			}
			named, err := AppendNamed(nil, &in)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range named {
				got = append(got, n.Param+"="+n.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if c.endpoint != Objects && len(c.want) > 0 && !q.Names {
				t.Error("Parse saw nothing to look for")
			}
		})
	}
}

func TestNamedOnlyInSoundBodies(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `[]`, `"x"`, `{"a":1,}`, `{"a":'x'}`, `{"input_file_id":"a"} {"input_file_id":"b"}`, "{\"a\":\"\xff\"}", `{"a":` + strings.Repeat("[", 2000)} {
		var refused *Error
		if named, err := AppendNamed(nil, &Content{Endpoint: Objects, Body: []byte(body)}); !errors.As(err, &refused) || refused.Class != ClassInvalid || len(named) > 0 {
			t.Errorf("%.30q: %v, %v", body, named, err)
		}
	}
}

// Most chats name nothing, and looking for that must cost nothing beside the pass that is made anyway.
func TestParseNotesForFree(t *testing.T) {
	body := []byte(`{"model":"m","messages":[` + strings.Repeat(`{"role":"user","content":"x","tool_call_id":"call_1"},`, 100) + `{"role":"user","content":"y"}]}`)
	var in Content
	var q Question
	if n := testing.AllocsPerRun(100, func() {
		in = Content{Endpoint: ChatCompletions}
		if err := Parse(body, &in, &q); err != nil || q.Names {
			t.Fatal(err, q.Names)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A body that nests deeply must not be gone over once for each level.
func TestNamedInDepth(t *testing.T) {
	t.Parallel()
	body := fmt.Sprintf(`{"a":%s"x",{"file_id":"deep"}%s}`, strings.Repeat("[", 1000), strings.Repeat("]", 1000))
	named, err := AppendNamed(nil, &Content{Endpoint: Objects, Body: []byte(body)})
	if err != nil || len(named) != 1 || named[0].ID != "deep" {
		t.Errorf("%v, %v", named, err)
	}
}

func FuzzNamed(f *testing.F) {
	for _, body := range []string{`{"file_ids":["a","b"],"input":[{"id":"x"},{"type":"reasoning","id":"y"}]}`, `{"metadata":{"a":"\\\""},"container":{"id":"c"}}`} {
		f.Add([]byte(body), uint8(Responses))
		f.Add([]byte(body), uint8(Objects))
	}
	f.Fuzz(func(t *testing.T, body []byte, endpoint uint8) {
		in, q := Content{Endpoint: Endpoint(endpoint) % endpoints}, Question{}
		if Parse(body, &in, &q) != nil {
			return
		}
		if in.Boundary != nil {
			return
		}
		named, err := AppendNamed(nil, &in)
		if err == nil && len(named) > 0 && in.Endpoint != Objects && shapes[in.Endpoint].names != nil && !q.Names {
			t.Errorf("%q: %v was not noted", body, named)
		}
	})
}
