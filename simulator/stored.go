package simulator

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Stored chat completions: those that were made with store: true.

// storeCompletion keeps a completion and the messages that led to it.
func (c *call) storeCompletion(q *chatRequest, r *chatReply) {
	doc := obj{}
	_ = json.Unmarshal(r.appendWhole(nil, true), &doc) // it is ours
	metadata := q.metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	doc["metadata"] = metadata
	doc["request_id"] = c.record.ID
	doc["tool_choice"], doc["tools"] = q.raw.orNull("tool_choice"), q.raw.orNull("tools")
	var messages []obj
	_ = json.Unmarshal(q.raw["messages"], &messages)
	for i, m := range messages {
		messages[i] = m.with(obj{"id": r.id + "-" + strconv.Itoa(i)})
	}
	c.server.shelf.put(&thing{account: c.account, kind: "chatcmpl", id: r.id, doc: doc, state: messages})
}

func listCompletions(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		query := c.r.URL.Query()
		var found []obj
		for _, t := range c.server.shelf.list(c.account, "chatcmpl") {
			if model := query.Get("model"); model != "" && t.doc["model"] != model {
				continue
			}
			if meets(query, t.doc["metadata"]) {
				found = append(found, t.doc)
			}
		}
		if query.Get("order") == "" {
			query.Set("order", "asc") // this list alone is oldest first
		}
		return page(query, found)
	})
}

// meets tells whether metadata has all that a query names as metadata[key]=value.
func meets(query map[string][]string, metadata any) bool {
	have, _ := metadata.(map[string]string)
	for name, values := range query {
		key, ok := strings.CutPrefix(name, "metadata[")
		if ok && len(values) > 0 && have[strings.TrimSuffix(key, "]")] != values[0] {
			return false
		}
	}
	return true
}

func getCompletion(c *call) (job, *apiError) { return c.showing("chatcmpl") }

func updateCompletion(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	if _, ok := m.has("metadata"); !ok {
		return job{}, errMissing("metadata")
	}
	metadata, e := m.metadata()
	if e != nil {
		return job{}, e
	}
	return operation(m.wordsIn(), func(c *call) (reply, *apiError) {
		t, e := c.server.shelf.change(c.account, "chatcmpl", c.path[0], func(t *thing) *apiError {
			t.doc = t.doc.with(obj{"metadata": metadata})
			return nil
		})
		if e != nil {
			return nil, e
		}
		return answered(t.doc)
	})
}

func deleteCompletion(c *call) (job, *apiError) {
	return c.dropping("chatcmpl", "chat.completion.deleted")
}

func completionMessages(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		t, ok := c.server.shelf.find(c.account, "chatcmpl", c.path[0])
		if !ok {
			return nil, errNoObject("chatcmpl", c.path[0])
		}
		messages, _ := t.state.([]obj)
		query := c.r.URL.Query()
		if query.Get("order") == "" {
			query.Set("order", "asc")
		}
		return page(query, append([]obj(nil), messages...))
	})
}
