package simulator

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

type response struct {
	ID, Object, Status, Model string
	Previous                  string `json:"previous_response_id"`
	Output                    []struct {
		ID, Type, Status, Name, Arguments string
		CallID                            string `json:"call_id"`
		Content                           []struct{ Type, Text string }
		Encrypted                         *string `json:"encrypted_content"`
		Summary                           []struct{ Text string }
		Queries                           []string
		Results                           []struct{ URL string }
	}
	Error      *struct{ Code, Message string }
	Incomplete *struct{ Reason string } `json:"incomplete_details"`
	Usage      *struct {
		Input  int `json:"input_tokens"`
		Output int `json:"output_tokens"`
		Total  int `json:"total_tokens"`
		Cost   *struct {
			Currency string
			Total    float64 `json:"total_cost"`
		}
		OutputDetails struct {
			Reasoning int `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
	}
}

func (r *response) text() string {
	for _, item := range r.Output {
		if item.Type == "message" {
			return item.Content[0].Text
		}
	}
	return ""
}

// step is an event of a stream of responses.
type step struct {
	Type     string
	Sequence int `json:"sequence_number"`
	Index    int `json:"output_index"`
	Delta    string
	Text     string
	Args     string   `json:"arguments"`
	Response response `json:"response"`
}

// steps reads a stream and checks what every event must have.
func steps(t *testing.T, a answer) []step {
	t.Helper()
	var out []step
	for i, e := range events(a.body) {
		var one step
		if err := json.Unmarshal([]byte(e), &one); err != nil {
			t.Fatalf("%v in %s", err, e)
		}
		if one.Sequence != i {
			t.Errorf("event %d has number %d", i, one.Sequence)
		}
		out = append(out, one)
	}
	return out
}

func kinds(all []step) []string {
	var out []string
	for _, s := range all {
		out = append(out, strings.TrimPrefix(s.Type, "response."))
	}
	return out
}

const respond = "/v1/responses"

func TestResponses(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	r := decode[response](t, post(t, s, respond, `{"model":"sim-echo","instructions":"be brief","input":[{"role":"user","content":"one two"}]}`))
	if r.Object != "response" || r.Status != "completed" || !strings.HasPrefix(r.ID, "resp_") || r.text() != "one two" || r.Error != nil || r.Usage.Total != r.Usage.Input+2 {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		name, body, text, status string
		check                    func(*response) bool
	}{
		{"length", `"input":"one two three","max_output_tokens":2`, "one two", "incomplete", func(r *response) bool { return r.Incomplete.Reason == "max_output_tokens" }},
		{"schema", `"input":"about Bob","text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{"k":{"type":"string"}}}}}`, `{"k":"Bob"}`, "completed", nil},
		{"reasoning", `"input":"hi","reasoning":{"summary":"auto"},"include":["reasoning.encrypted_content"]`, "hi", "completed", func(r *response) bool {
			return r.Output[0].Type == "reasoning" && *r.Output[0].Encrypted != "" && len(r.Output[0].Summary) == 1 && r.Usage.OutputDetails.Reasoning > 0
		}},
		{"tool", `"input":"weather in Paris","tools":[` + flatTool + `]`, "", "completed", func(r *response) bool {
			o := r.Output[0]
			return o.Type == "function_call" && o.Name == "get_weather" && o.Arguments == `{"city":"Paris"}` && o.CallID != "" && o.Status == "completed"
		}},
		{"tool result", `"input":[{"role":"user","content":"weather in Paris"},{"type":"function_call","call_id":"c","name":"get_weather","arguments":"{}"},` +
			`{"type":"function_call_output","call_id":"c","output":"sunny"}],"tools":[` + flatTool + `]`, "weather in Paris", "completed", nil},
		{"failed", `"input":"x [[error_mid=1]]"`, "", "failed", func(r *response) bool { return r.Error.Code == "server_error" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := decode[response](t, post(t, s, respond, `{"model":"sim-echo",`+c.body+`}`))
			if r.Status != c.status || r.text() != c.text || c.check != nil && !c.check(&r) {
				t.Errorf("%+v", r)
			}
			all := steps(t, post(t, s, respond, `{"model":"sim-echo","stream":true,`+c.body+`}`))
			last := all[len(all)-1]
			if last.Type != "response."+c.status || c.check != nil && !c.check(&last.Response) {
				t.Errorf("%+v", last)
			}
			if text := joined(all); text != c.text && c.status != "failed" {
				t.Errorf("streamed %q", text)
			}
		})
	}
}

const flatTool = `{"type":"function","name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}`

func joined(all []step) string {
	text := ""
	for _, s := range all {
		if s.Type == "response.output_text.delta" {
			text += s.Delta
		}
	}
	return text
}

func TestResponseEvents(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	a := post(t, s, respond, `{"model":"sim-echo","stream":true,"input":"one two"}`)
	all := steps(t, a)
	want := []string{
		"created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
		"output_text.done", "content_part.done", "output_item.done", "completed",
	}
	if got := kinds(all); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if !strings.HasPrefix(a.body, "event: response.created\ndata: ") || strings.Contains(a.body, "[DONE]") || all[6].Text != "one two" {
		t.Errorf("%s", a.body)
	}
	all = steps(t, post(t, s, respond, `{"model":"sim-echo","stream":true,"input":"weather in Rome","tools":[`+flatTool+`]}`))
	arguments := ""
	for _, e := range all {
		if e.Type == "response.function_call_arguments.delta" {
			arguments += e.Delta
		}
		if e.Type == "response.function_call_arguments.done" && (e.Args != arguments || arguments != `{"city":"Rome"}`) {
			t.Errorf("%q, then %q", arguments, e.Args)
		}
	}
	if arguments == "" {
		t.Errorf("%q", kinds(all))
	}
	first := events(post(t, s, respond, `{"model":"sim-echo","stream":true,"input":"x [[error_first]]"}`).body)
	if len(first) != 1 || !strings.Contains(first[0], `"type":"error"`) {
		t.Errorf("%q", first)
	}
	broken := events(post(t, s, respond, `{"model":"sim-echo","stream":true,"input":"one two [[truncate]]"}`).body)
	if json.Valid([]byte(broken[len(broken)-1])) {
		t.Errorf("%q", broken)
	}
}

func TestStoredResponses(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	first := decode[response](t, post(t, s, respond, `{"model":"sim-small","input":"the weather in Oslo [[latency=0 delay=0]]"}`))
	path := respond + "/" + first.ID
	if again := decode[response](t, get(t, s, "GET", path, "sk-test")); again.text() != first.text() || again.Usage.Total != first.Usage.Total {
		t.Errorf("%+v", again)
	}
	items := decode[struct {
		Data []struct{ ID, Role string }
	}](t, get(t, s, "GET", path+"/input_items", "sk-test"))
	if len(items.Data) != 1 || items.Data[0].ID == "" {
		t.Errorf("%+v", items)
	}
	next := decode[response](t, post(t, s, respond, `{"model":"sim-echo","input":"and Rome?","previous_response_id":"`+first.ID+`"}`))
	if next.Previous != first.ID || next.Usage.Input <= first.Usage.Input {
		t.Errorf("%+v", next)
	}
	// Another key knows none of it.
	for method, p := range map[string]string{"GET": path, "DELETE": path, "POST": path + "/cancel"} {
		checkError(t, get(t, s, method, p, "sk-other"), 404, "", first.ID)
	}
	checkError(t, post(t, s, respond, `{"model":"sim-echo","input":"x","previous_response_id":"resp_other"}`), 400, "previous_response_not_found", "resp_other")
	hidden := decode[response](t, post(t, s, respond, `{"model":"sim-echo","input":"x","store":false}`))
	checkError(t, get(t, s, "GET", respond+"/"+hidden.ID, "sk-test"), 404, "", hidden.ID)
	checkError(t, get(t, s, "POST", path+"/cancel", "sk-test"), 400, "", "synchronous")
	if a := get(t, s, "DELETE", path, "sk-test"); !strings.Contains(a.body, `"deleted":true`) {
		t.Error(a.body)
	}
	checkError(t, get(t, s, "GET", path, "sk-test"), 404, "", first.ID)
	counted := decode[struct {
		Input int `json:"input_tokens"`
	}](t, post(t, s, respond+"/input_tokens", `{"model":"sim-echo","input":"one two"}`))
	if counted.Input != perMessage+perAnswer+2 {
		t.Errorf("%+v", counted)
	}
}

func TestBackground(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	quick := decode[response](t, post(t, s, respond, `{"model":"sim-echo","background":true,"input":"one"}`))
	if done := decode[response](t, get(t, s, "GET", respond+"/"+quick.ID, "sk-test")); quick.Status != "queued" || done.Status != "completed" || done.text() != "one" {
		t.Errorf("%+v, then %+v", quick, done)
	}
	slow := decode[response](t, post(t, s, respond, `{"model":"sim-echo","background":true,"input":"one [[latency=1h]]"}`))
	if now := decode[response](t, get(t, s, "GET", respond+"/"+slow.ID, "sk-test")); now.Status != "in_progress" || len(now.Output) != 0 {
		t.Errorf("%+v", now)
	}
	for _, method := range []string{"POST", "GET"} {
		path := respond + "/" + slow.ID
		if method == "POST" {
			path += "/cancel"
		}
		if now := decode[response](t, get(t, s, method, path, "sk-test")); now.Status != "cancelled" {
			t.Errorf("%+v", now)
		}
	}
	// A stream is taken up again behind an event.
	a := post(t, s, respond, `{"model":"sim-echo","background":true,"stream":true,"input":"one two three [[cut=1]]"}`)
	seen := steps(t, a)
	rest := events(get(t, s, "GET", respond+"/"+seen[0].Response.ID+"?stream=true&starting_after=4", "sk-test").body)
	var one step
	if err := json.Unmarshal([]byte(rest[0]), &one); err != nil || one.Sequence != 5 || one.Delta != " two" {
		t.Errorf("%v %s", err, rest[0])
	}
	if !strings.Contains(rest[len(rest)-1], "response.completed") {
		t.Errorf("%s", rest[len(rest)-1])
	}
}

func TestResponseRefusals(t *testing.T) {
	t.Parallel()
	s := start(t, Config{})
	for body, want := range map[string][2]string{
		`{"input":"x"}`:                    {"missing_required_parameter", "'model'"},
		`{"model":"sim-echo"}`:             {"missing_required_parameter", "'input'"},
		`{"model":"sim-echo","input":5}`:   {"invalid_type", "input"},
		`{"model":"sim-echo","input":[5]}`: {"invalid_type", "input[0]"},
		`{"model":"sim-echo","input":[{"type":"function_call_output","output":"x"}]}`:                                  {"missing_required_parameter", "call_id"},
		`{"model":"sim-echo","input":"x","tools":[{"type":"function"}]}`:                                               {"missing_required_parameter", "tools[0].name"},
		`{"model":"sim-echo","input":"x","tools":[` + flatTool + `],"tool_choice":{"type":"function","name":"other"}}`: {"invalid_value", "other"},
		`{"model":"sim-echo","input":"x","text":{"format":{"type":"json_schema"}}}`:                                    {"missing_required_parameter", "text.format.name"},
		`{"model":"sim-echo","input":"x","background":true,"store":false}`:                                             {"invalid_value", "store"},
		`{"model":"sim-echo","input":"[[nonsense]]"}`:                                                                  {"invalid_value", "nonsense"},
	} {
		checkError(t, post(t, s, respond, body), 400, want[0], want[1])
	}
	checkError(t, post(t, s, respond, `{"model":"gpt","input":"x"}`), 404, "model_not_found", "gpt")
}
