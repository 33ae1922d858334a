package tasks

import (
	"encoding/json"
	"time"
)

// taskNotice is what is told of a task that has ended. What it asked and was answered is not in it: a receiver fetches that, with
// a key.
type taskNotice struct {
	ID        string            `json:"id"`
	Org       string            `json:"organization"`
	State     State             `json:"state"`
	Agent     string            `json:"agent,omitempty"`
	Model     string            `json:"model"`
	Provider  string            `json:"provider,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
	Tries     int               `json:"tries"`
	TokensIn  int64             `json:"tokens_in"`
	TokensOut int64             `json:"tokens_out"`
	Cost      string            `json:"cost_usd"`
	Class     string            `json:"class,omitempty"`
	Code      string            `json:"code,omitempty"`
	Message   string            `json:"message,omitempty"`
	Created   time.Time         `json:"created"`
	Ended     time.Time         `json:"ended"`
	URL       string            `json:"url"`
}

// Notice is what is told of a task that has ended.
func (t *Task) Notice() Notice {
	o := &t.Outcome
	in, out := o.Usage.Tokens()
	n := taskNotice{
		ID: string(t.ID), Org: string(t.Org), State: t.State, Agent: string(t.Agent), Model: t.Model, Provider: o.Provider, Tags: t.Labels, Tries: t.Tries,
		TokensIn: in, TokensOut: out, Cost: o.Cost.String(), Created: t.Created.UTC(), Ended: t.Ended.UTC(), URL: "/api/tasks/" + string(t.ID),
	}
	if o.Message != "" {
		n.Class, n.Code, n.Message = o.Class.String(), o.Code, o.Message
	}
	return Notice{Org: t.Org, Type: "task." + string(t.State), Object: t.ID, At: t.Ended, Data: asJSON(n)}
}

// batchNotice is what is told of a batch that has ended.
type batchNotice struct {
	ID        string     `json:"id"`
	Org       string     `json:"organization"`
	Name      string     `json:"name,omitempty"`
	State     BatchState `json:"state"`
	Total     int64      `json:"total"`
	Succeeded int64      `json:"succeeded"`
	Failed    int64      `json:"failed"`
	Cancelled int64      `json:"cancelled"`
	Cost      string     `json:"cost_usd"`
	Ended     time.Time  `json:"ended"`
	URL       string     `json:"url"`
}

// Notice is what is told of a batch that has ended.
func (b *Batch) Notice() Notice {
	return Notice{Org: b.Org, Type: "batch." + string(b.State), Object: b.ID, At: b.Ended, Data: asJSON(batchNotice{
		string(b.ID), string(b.Org), b.Name, b.State, b.Total, b.Succeeded, b.Failed, b.Cancelled, b.Cost.String(), b.Ended.UTC(), "/api/batches/" + string(b.ID),
	})}
}

func asJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("{}") // texts, numbers and times
	}
	return b
}
