package nodes

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// follower reads the two streams of a task to their end. When one breaks off it comes back, to another node, with the id of the
// last event that it has seen.
type follower struct {
	ids   []int  // of /stream
	last  string // the kind of its last event
	text  string // of /stream-response, since the last reset
	done  bool   // it said so
	times int    // how often both were opened

	opened func() // is called when a stream is there; nil: nobody wants to know
}

// backAfter is how long a follower waits before it comes back.
const backAfter = 20 * time.Millisecond

// follow follows a task on nodes that may end at any time; at gives one that lives now.
func follow(ctx context.Context, at func() *node, secret, path string) (f follower, err error) {
	err = f.read(ctx, at, secret, path+"/stream", func(id int, kind, _ string) bool {
		f.ids, f.last = append(f.ids, id), kind
		return kind == "succeeded" || kind == "failed" || kind == "cancelled"
	})
	if err != nil {
		return f, err
	}
	return f, f.read(ctx, at, secret, path+"/stream-response", func(_ int, kind, data string) bool {
		var token struct{ Text string }
		_ = json.Unmarshal([]byte(data), &token) // then there is no text
		switch kind {
		case "token":
			f.text += token.Text
		case "reset":
			f.text = ""
		case "done":
			f.done = true
		}
		return f.done
	})
}

// read reads one stream until each has said that it was the last event.
func (f *follower) read(ctx context.Context, at func() *node, secret, path string, each func(id int, kind, data string) bool) error {
	for last := 0; ; {
		f.times++
		over, err := f.open(ctx, at(), secret, path, &last, each)
		if over || ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && strings.HasPrefix(err.Error(), "status") {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(backAfter):
		}
	}
}

// open reads a stream until it breaks off or is over.
func (f *follower) open(ctx context.Context, n *node, secret, path string, last *int, each func(id int, kind, data string) bool) (over bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+path, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	if *last > 0 {
		req.Header.Set("Last-Event-ID", strconv.Itoa(*last))
	}
	res, err := n.client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusServiceUnavailable { // it has begun to stop, or just started
		return false, nil
	}
	if res.StatusCode != http.StatusOK {
		return false, fmt.Errorf("status %d of %s behind %d", res.StatusCode, path, *last)
	}
	if f.opened != nil {
		f.opened()
	}
	var id int
	var kind, data string
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		line := lines.Text()
		field, value, _ := strings.Cut(line, ": ")
		switch {
		case field == "id":
			id, _ = strconv.Atoi(value)
		case field == "event":
			kind = value
		case field == "data":
			data = value
		case line == "" && kind != "":
			*last = id
			if each(id, kind, data) {
				return true, nil
			}
			kind = ""
		}
	}
	return false, lines.Err()
}
