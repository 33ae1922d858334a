package openai

import (
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/adapters"
)

func spelled(kept []adapters.Kept) (all []string) {
	for _, k := range kept {
		all = append(all, k.Kind+"="+k.ID)
	}
	return all
}

func TestKept(t *testing.T) {
	t.Parallel()
	codecs := New("openai", "").Codecs
	for name, c := range map[string]struct {
		in   adapters.Content
		body string
		want []string
	}{
		"a chat":        {adapters.Content{Endpoint: adapters.ChatCompletions}, `{"id":"chatcmpl-1","choices":[]}`, nil},
		"a stored chat": {adapters.Content{Endpoint: adapters.ChatCompletions, Stored: true}, `{"id":"chatcmpl-1","choices":[]}`, []string{"chat.completion=chatcmpl-1"}},
		"a response": {
			adapters.Content{Endpoint: adapters.Responses, Stored: true},
			`{"id":"resp_1","output":[{"id":"rs_1","type":"reasoning"},{"type":"code_interpreter_call","container_id":"cntr_1","id":"ci_1"},{"type":"x"}]}`,
			[]string{"response=resp_1", "response.item=rs_1", "container=cntr_1", "response.item=ci_1"},
		},
		"a response of a conversation": {
			adapters.Content{Endpoint: adapters.Responses, Stored: true},
			`{"id":"resp_1","conversation":{"id":"conv_1"},"output":[{"id":"msg_1"}]}`,
			[]string{"response=resp_1", "conversation.item=msg_1"},
		},
		"a response that says that it is not": {adapters.Content{Endpoint: adapters.Responses, Stored: true}, `{"id":"resp_1","store":false,"output":[{"id":"msg_1"}]}`, nil},
		"a response that is not stored":       {adapters.Content{Endpoint: adapters.Responses}, `{"id":"resp_1","output":[{"id":"msg_1","container_id":"cntr_1"}]}`, []string{"container=cntr_1"}},
		"the beginning of a large response":   {adapters.Content{Endpoint: adapters.Responses, Stored: true}, `{"id":"resp_1","output":[{"id":"ig_1","result":"AAAA`, []string{"response=resp_1", "response.item=ig_1"}},
		"embeddings":                          {adapters.Content{Endpoint: adapters.Embeddings, Stored: true}, `{"id":"x","object":"list"}`, nil},
		"a file":                              {adapters.Content{Endpoint: adapters.Objects}, `{"object":"file","id":"file-1"}`, []string{"file=file-1"}},
		"a file that went":                    {adapters.Content{Endpoint: adapters.Objects, Method: "DELETE"}, `{"object":"file","id":"file-1","deleted":true}`, nil},
		"an upload":                           {adapters.Content{Endpoint: adapters.Objects}, `{"object":"upload","id":"upload_1","file":null}`, []string{"upload=upload_1"}},
		"an upload that is complete":          {adapters.Content{Endpoint: adapters.Objects}, `{"object":"upload","id":"upload_1","file":{"id":"file-1"}}`, []string{"upload=upload_1", "file=file-1"}},
		"a part":                              {adapters.Content{Endpoint: adapters.Objects}, `{"object":"upload.part","id":"part_1"}`, []string{"upload.part=part_1"}},
		"a batch": {
			adapters.Content{Endpoint: adapters.Objects},
			`{"object":"batch","id":"batch_1","input_file_id":"file-0","output_file_id":"file-1","error_file_id":"file-2"}`,
			[]string{"batch=batch_1", "file=file-1", "file=file-2"},
		},
		"a batch that goes on": {adapters.Content{Endpoint: adapters.Objects}, `{"object":"batch","id":"batch_1","output_file_id":null}`, []string{"batch=batch_1"}},
		"a job": {
			adapters.Content{Endpoint: adapters.Objects},
			`{"object":"fine_tuning.job","id":"ftjob-1","training_file":"file-0","result_files":["file-1"],"fine_tuned_model":"ft:m:1"}`,
			[]string{"fine_tuning.job=ftjob-1", "file=file-1", "model=ft:m:1"},
		},
		"a list of files":         {adapters.Content{Endpoint: adapters.Objects, Path: []byte("/files")}, `{"object":"list","data":[{"id":"file-1"}]}`, nil},
		"items of a conversation": {adapters.Content{Endpoint: adapters.Objects, Path: []byte("/conversations/conv_1/items")}, `{"object":"list","data":[{"id":"msg_1"},{"id":"msg_2"}]}`, []string{"conversation.item=msg_1", "conversation.item=msg_2"}},
		"items of a response":     {adapters.Content{Endpoint: adapters.Objects, Path: []byte("/responses/resp_1/input_items")}, `{"object":"list","data":[{"id":"msg_1"}]}`, []string{"response.item=msg_1"}},
		"nonsense":                {adapters.Content{Endpoint: adapters.Objects}, `[]`, nil},
		"an id that is none":      {adapters.Content{Endpoint: adapters.Objects}, `{"object":"file","id":7}`, nil},
	} {
		keeper, ok := codecs[c.in.Endpoint].(adapters.Keeper)
		if !ok && c.want == nil {
			continue
		}
		body := []byte(c.body)
		kept := keeper.Kept(nil, &c.in, body)
		for i := range kept { // only the ids may be parts of the body
			kept[i].ID = strings.Clone(kept[i].ID)
		}
		clear(body)
		if got := spelled(kept); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestKeptOfStreams(t *testing.T) {
	t.Parallel()
	const (
		chunk = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
		begun = `data: {"type":"response.created","response":{"id":"resp_1","store":true,"output":[]}}` + "\n\n"
		ended = `data: {"type":"response.completed","response":{"id":"resp_1","output":[{"id":"msg_1"}]}}` + "\n\n"
	)
	for name, c := range map[string]struct {
		endpoint adapters.Endpoint
		asked    bool
		stored   bool
		events   string
		want     []string
	}{
		"a chat":                             {adapters.ChatCompletions, false, false, chunk, nil},
		"a stored chat":                      {adapters.ChatCompletions, true, true, chunk, []string{"chat.completion=chatcmpl-1"}},
		"a stored chat, asked for its usage": {adapters.ChatCompletions, false, true, chunk, []string{"chat.completion=chatcmpl-1"}},
		"a response that began":              {adapters.Responses, false, true, begun, []string{"response=resp_1"}},
		"a response":                         {adapters.Responses, false, true, begun + ended, []string{"response=resp_1", "response.item=msg_1"}},
		"a response that is not stored":      {adapters.Responses, false, false, ended, nil},
	} {
		in := adapters.Content{Endpoint: c.endpoint, Stream: true, UsageAsked: c.asked, Stored: c.stored}
		s := New("openai", "", AskUsage()).Codecs[c.endpoint].DecodeStream(&in, nil)
		bytes := []byte(c.events)
		if _, err := s.Feed(nil, bytes); err != nil {
			t.Fatal(err)
		}
		clear(bytes)
		if got := spelled(s.(adapters.KeptStream).Kept()); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
