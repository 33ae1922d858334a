package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Conversations: lists of items that outlive responses. A response does not add to one here.

// readItems reads the items of a request.
func readItems(m members) ([]obj, *apiError) {
	var raw []json.RawMessage
	if e := m.read("items", "items", "an array of items", &raw); e != nil {
		return nil, e
	}
	var q responsesRequest
	for i, item := range raw {
		if e := q.readItem(item, fmt.Sprintf("items[%d]", i)); e != nil {
			return nil, e
		}
	}
	return q.input, nil
}

// createConversation understands POST /v1/conversations.
func createConversation(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	items, e := readItems(m)
	if e != nil {
		return job{}, e
	}
	metadata, e := m.metadata()
	if e != nil {
		return job{}, e
	}
	return operation(m.wordsIn(), func(c *call) (reply, *apiError) {
		t := &thing{account: c.account, kind: "conv", id: "conv_" + randomName(32), created: time.Now(), state: items}
		t.doc = obj{"id": t.id, "object": "conversation", "created_at": t.created.Unix(), "metadata": metadata}
		c.server.shelf.put(t)
		return answered(t.doc)
	})
}

func getConversation(c *call) (job, *apiError) { return c.showing("conv") }

func deleteConversation(c *call) (job, *apiError) { return c.dropping("conv", "conversation.deleted") }

// addItems understands POST /v1/conversations/{id}/items.
func addItems(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	items, e := readItems(m)
	if e != nil {
		return job{}, e
	}
	return operation(nil, func(c *call) (reply, *apiError) {
		_, e := c.server.shelf.change(c.account, "conv", c.path[0], func(t *thing) *apiError {
			before, _ := t.state.([]obj)
			t.state = slices.Concat(before, items)
			return nil
		})
		if e != nil {
			return nil, e
		}
		return answered(obj{"object": "list", "data": items, "first_id": nil, "last_id": nil, "has_more": false})
	})
}

func listItems(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		t, ok := c.server.shelf.find(c.account, "conv", c.path[0])
		if !ok {
			return nil, errNoObject("conv", c.path[0])
		}
		items, _ := t.state.([]obj)
		return page(c.r.URL.Query(), slices.Clone(items))
	})
}
