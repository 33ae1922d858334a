package simulator

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// stored finds an account's response that may be read.
func (c *call) stored() (*responsesReply, *apiError) {
	t, ok := c.server.shelf.find(c.account, "resp", c.path[0])
	if !ok || t.hidden {
		return nil, &apiError{status: 404, message: fmt.Sprintf("Response with id '%s' not found.", c.path[0])}
	}
	r, _ := t.state.(*responsesReply)
	return r.copied(), nil
}

// standing is the status of a stored response now.
func (r *responsesReply) standing(cancelled bool) string {
	switch {
	case cancelled:
		return "cancelled"
	case time.Now().Before(r.ready):
		return "in_progress"
	}
	return r.status()
}

// getResponse understands GET /v1/responses/{id}, also ?stream=true&starting_after=N.
func getResponse(c *call) (job, *apiError) {
	query := c.r.URL.Query()
	stream := query.Get("stream") == "true"
	after, e := startingAfter(query)
	if e != nil {
		return job{}, e
	}
	return job{param: "id", stream: stream, make: func(c *call) (reply, *apiError) {
		r, e := c.stored()
		if e != nil {
			return nil, e
		}
		if !stream {
			t, _ := c.server.shelf.find(c.account, "resp", c.path[0])
			return &fixed{body: r.snapshot(r.standing(t.doc != nil))}, nil
		}
		if !r.q.background || !r.q.chat.stream {
			return nil, errValue("stream", "This response cannot be streamed because it was not created with stream=true and background=true.")
		}
		r.after = after
		return r, nil
	}}, nil
}

func startingAfter(query url.Values) (int, *apiError) {
	given := query.Get("starting_after")
	if given == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil {
		return 0, errType("starting_after", "an integer", "a string")
	}
	return n, nil
}

func deleteResponse(c *call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		if _, e := c.stored(); e != nil {
			return nil, e
		}
		if e := c.server.shelf.drop(c.account, "resp", c.path[0]); e != nil {
			return nil, e
		}
		return answered(obj{"id": c.path[0], "object": "response", "deleted": true})
	})
}

// cancelResponse understands POST /v1/responses/{id}/cancel. A response that was cancelled has a document of
// its own; all others are rendered when they are read.
func cancelResponse(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		r, e := c.stored()
		if e != nil {
			return nil, e
		}
		if !r.q.background {
			return nil, &apiError{status: 400, message: "Cannot cancel a synchronous response."}
		}
		t, e := c.server.shelf.change(c.account, "resp", r.id, func(t *thing) *apiError {
			if t.doc == nil && time.Now().Before(r.ready) {
				t.doc = r.document("cancelled")
			}
			return nil
		})
		if e != nil {
			return nil, e
		}
		return &fixed{body: r.snapshot(r.standing(t.doc != nil))}, nil
	})
}

func responseInput(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		r, e := c.stored()
		if e != nil {
			return nil, e
		}
		return page(c.r.URL.Query(), append([]obj(nil), r.q.input...))
	})
}
