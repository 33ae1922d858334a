package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	batchLines = 1000 // calls of one batch
	batchLife  = 24 * time.Hour
)

// batchReader is what reads the calls of a batch for an endpoint; nil where a batch may not call it.
func batchReader(endpoint string) func(*call) (job, *apiError) {
	switch endpoint {
	case "/v1/chat/completions":
		return readChat
	case "/v1/responses":
		return readResponses
	case "/v1/embeddings":
		return readEmbeddings
	case "/v1/completions":
		return readCompletion
	case "/v1/moderations":
		return readModeration
	}
	return nil
}

// createBatch understands POST /v1/batches. The lines are answered at once; the batch shows that it works on
// them for two readings and is done at the third.
func createBatch(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	fields := map[string]string{}
	for _, name := range []string{"input_file_id", "endpoint", "completion_window"} {
		if fields[name], e = m.required(name); e != nil {
			return job{}, e
		}
	}
	if batchReader(fields["endpoint"]) == nil {
		return job{}, errValue("endpoint", "Invalid value: '"+fields["endpoint"]+"'.")
	}
	metadata, e := m.metadata()
	if e != nil {
		return job{}, e
	}
	return operation(m.wordsIn(), func(c *call) (reply, *apiError) {
		file, ok := c.server.shelf.find(c.account, "file", fields["input_file_id"])
		if !ok {
			return nil, errNoObject("file", fields["input_file_id"])
		}
		results, failures, total := c.batch(file.data, fields["endpoint"])
		now := time.Now()
		t := &thing{account: c.account, kind: "batch", id: "batch_" + randomName(32), created: now}
		t.doc = obj{
			"id": t.id, "object": "batch", "endpoint": fields["endpoint"], "errors": nil, "input_file_id": file.id,
			"completion_window": fields["completion_window"], "status": "validating", "output_file_id": nil, "error_file_id": nil,
			"created_at": now.Unix(), "in_progress_at": nil, "expires_at": now.Add(batchLife).Unix(), "finalizing_at": nil, "completed_at": nil,
			"failed_at": nil, "expired_at": nil, "cancelling_at": nil, "cancelled_at": nil,
			"request_counts": obj{"total": 0, "completed": 0, "failed": 0}, "metadata": metadata,
		}
		t.state = batchState{results, failures, total}
		c.server.shelf.put(t)
		return answered(t.doc)
	})
}

// batchState is what a batch will show when it is done.
type batchState struct {
	results, failures []byte // lines
	total             int
}

// batch answers the lines of a batch's file.
func (c *call) batch(data []byte, endpoint string) (results, failures []byte, total int) {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || total == batchLines {
			continue
		}
		total++
		var in struct {
			ID   string `json:"custom_id"`
			URL  string
			Body json.RawMessage
		}
		status, body, id := http.StatusBadRequest, errNotJSON().appendJSON(nil), "req_"+randomName(24)
		if json.Unmarshal(line, &in) == nil && in.URL == endpoint {
			status, body = c.offline(endpoint, in.Body)
		}
		out := append(encode(obj{
			"id": "batch_req_" + randomName(24), "custom_id": in.ID, "error": nil,
			"response": obj{"status_code": status, "request_id": id, "body": rawJSON(body)},
		}), '\n')
		if status == http.StatusOK {
			results = append(results, out...)
		} else {
			failures = append(failures, out...)
		}
	}
	return results, failures, total
}

// offline answers a call that nobody waits for, as the endpoint would.
func (c *call) offline(endpoint string, body []byte) (status int, answer []byte) {
	inner := &call{server: c.server, w: c.w, r: c.r, ctx: c.ctx, record: &Request{ID: c.record.ID}, account: c.account, body: body}
	e := inner.read(batchReader(endpoint))
	var r reply
	if e == nil {
		r, e = inner.job.make(inner)
	}
	if e != nil {
		return e.status, e.appendJSON(nil)
	}
	answer, _ = r.whole(&inner.faults)
	return http.StatusOK, answer
}

func listBatches(c *call) (job, *apiError) { return c.listing("batch") }

// getBatch shows a batch and lets it go on: validating, in_progress, completed.
func getBatch(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		t, ok := c.server.shelf.find(c.account, "batch", c.path[0])
		if !ok {
			return nil, errNoObject("batch", c.path[0])
		}
		now, more := time.Now().Unix(), obj(nil)
		state, _ := t.state.(batchState)
		switch t.doc["status"] {
		case "validating":
			more = obj{"status": "in_progress", "in_progress_at": now, "request_counts": obj{"total": state.total, "completed": 0, "failed": 0}}
		case "in_progress":
			failed := bytes.Count(state.failures, []byte("\n"))
			more = obj{
				"status": "completed", "finalizing_at": now, "completed_at": now,
				"request_counts": obj{"total": state.total, "completed": state.total - failed, "failed": failed},
			}
			for member, lines := range map[string][]byte{"output_file_id": state.results, "error_file_id": state.failures} {
				if len(lines) > 0 {
					more[member] = c.server.keepFile(c.account, fmt.Sprintf("%s_%s.jsonl", t.id, member[:len(member)-8]), "batch_output", lines)["id"]
				}
			}
		}
		return c.moved("batch", t.doc["status"], more)
	})
}

// moved changes an account's object unless it has left a status meanwhile, and shows it.
func (c *call) moved(kind string, from any, more obj) (reply, *apiError) {
	t, e := c.server.shelf.change(c.account, kind, c.path[0], func(t *thing) *apiError {
		if t.doc["status"] == from {
			t.doc = t.doc.with(more)
		}
		return nil
	})
	if e != nil {
		return nil, e
	}
	return answered(t.doc)
}

// cancelBatch understands POST /v1/batches/{id}/cancel.
func cancelBatch(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		now := time.Now().Unix()
		t, e := c.server.shelf.change(c.account, "batch", c.path[0], func(t *thing) *apiError {
			status, _ := t.doc["status"].(string)
			if status != "validating" && status != "in_progress" {
				return &apiError{status: 409, message: "Cannot cancel a batch with status '" + status + "'."}
			}
			t.doc = t.doc.with(obj{"status": "cancelled", "cancelling_at": now, "cancelled_at": now})
			return nil
		})
		if e != nil {
			return nil, e
		}
		return answered(t.doc)
	})
}
