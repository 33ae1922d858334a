package tasks

import (
	"encoding/json"
	"fmt"

	"github.com/vel-gateway/vel/adapters"
)

// Fault says what is wrong with a member of what somebody asks for: where it stands, and what was expected there.
type Fault struct {
	Path string // as agents.retry.attempts; empty: all of it
	Text string // what was expected
}

// Error is the fault as one line.
func (f *Fault) Error() string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + ": " + f.Text
}

// fault makes one.
func fault(path, format string, args ...any) *Fault {
	return &Fault{Path: path, Text: fmt.Sprintf(format, args...)}
}

// Prepare makes the body of a call out of what was asked for, and finds its model. Where followed, an answer that can come token by
// token does: what `stream` says there is about the answer of a task means nothing.
//
// What else the body says is the data plane's to judge, when the call is made. The error is a *Fault.
func Prepare(e adapters.Endpoint, body []byte, followed bool) (prepared []byte, model string, err error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil || all == nil {
		return nil, "", fault("request", "expected a JSON object: the body of a call of /v1/%s", e)
	}
	if err := json.Unmarshal(all["model"], &model); err != nil || model == "" {
		return nil, "", fault("request.model", "expected the name of a model")
	}
	if background := string(all["background"]); e == adapters.Responses && background != "" && background != "false" && background != "null" {
		return nil, "", fault("request.background", "expected nothing or false: a task is in the background already")
	}
	delete(all, "stream")
	delete(all, "stream_options")
	if followed && streams(e) {
		all["stream"] = json.RawMessage("true")
		if e != adapters.Responses {
			all["stream_options"] = json.RawMessage(`{"include_usage":true}`)
		}
	}
	prepared, err = json.Marshal(all)
	return prepared, model, err
}

// withModel is the request of the next try: after failures that count, with one of the fallbacks in the place of the model.
func (t *Task) withModel(body []byte) []byte {
	if t.Failures == 0 || len(t.Fallbacks) == 0 {
		return body
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(body, &all) != nil {
		return body // it was JSON when it was made
	}
	all["model"] = asJSON(t.Fallbacks[min(t.Failures, len(t.Fallbacks))-1])
	return asJSON(all)
}
