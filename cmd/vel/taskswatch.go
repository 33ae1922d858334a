package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/adapters/sse"
)

// comeBack is how long a watcher waits before it asks again, when a stream broke off.
const comeBack = time.Second

// watchTask writes the answer of a task while it comes, then what came of it; for machines only the latter. A stream that breaks off
// is taken up where it was.
func watchTask(ctx context.Context, o *output, r *remote, id, org string) error {
	w := &taskWatcher{o: o, r: &remote{r.base, r.key, &http.Client{Transport: r.client.Transport}}, path: tasksOf().at(id), query: tasksOf().in(org).scope()}
	for !w.over {
		if err := w.follow(ctx); w.over || err == nil {
			continue
		} else if !w.connected || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(comeBack):
		}
	}
	var v map[string]any
	if err := r.call(ctx, http.MethodGet, w.path, w.query, "", nil, &v); err != nil {
		return err
	}
	if state, _ := v["state"].(string); state != "succeeded" {
		if err := o.print(v, "\n"+taskSheet(v)); err != nil {
			return err
		}
		return errReported
	}
	return o.print(v, "\n")
}

// taskWatcher reads the stream of a task's answer.
type taskWatcher struct {
	o     *output
	r     *remote
	path  string
	query url.Values

	connected bool   // it was, at least once: what breaks off later is taken up again
	last      string // the id of the last event
	wrote     bool   // some of the answer
	over      bool
}

// follow reads a stream until it ends.
func (w *taskWatcher) follow(ctx context.Context) error {
	if w.last != "" {
		w.query.Set("last_event_id", w.last)
	}
	res, err := w.r.open(ctx, http.MethodGet, w.path+"/stream-response", w.query, "", nil)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	w.connected = true
	if res.StatusCode == http.StatusNoContent {
		w.over = true
		return nil
	}
	var events sse.Scanner
	var e sse.Event
	piece := make([]byte, 16<<10)
	for !w.over {
		n, err := res.Body.Read(piece)
		events.Feed(piece[:n])
		for events.Next(&e) {
			w.tell(&e)
		}
		if err != nil && !w.over {
			return fmt.Errorf("the stream broke off: %w", err)
		}
	}
	return nil
}

// tell shows an event.
func (w *taskWatcher) tell(e *sse.Event) {
	if len(e.ID) > 0 {
		w.last = string(e.ID)
	}
	switch string(e.Type) {
	case "token":
		var token struct{ Text string }
		if json.Unmarshal(e.Data, &token) == nil && !w.o.JSON {
			_, _ = io.WriteString(w.o.Out, token.Text)
			w.wrote = true
		}
	case "reset":
		if w.wrote {
			_, _ = fmt.Fprintln(w.o.Err, "\n(it is tried again: the answer begins anew)")
			w.wrote = false
		}
	case "done":
		w.over = true
	}
}

// taskSheet shows a task to people: what it is, what came of it, then its history and what was said.
func taskSheet(v map[string]any) string {
	var b strings.Builder
	result, _ := v["result"].(map[string]any)
	failed, _ := v["error"].(map[string]any)
	for _, line := range [][2]string{
		{"task", cell(v["id"])},
		{"state", cell(v["state"])},
		{"model", cell(v["model"])},
		{"priority", cell(v["priority"])},
		{"tries", cell(v["tries"])},
		{"created", cell(v["created"])},
		{"due", cell(v["due"])},
		{"began", cell(v["began"])},
		{"ended", cell(v["ended"])},
		{"went to", wentTo(result)},
		{"call", cell(result["call"])},
		{"tokens", cell(result["tokens_in"]) + " → " + cell(result["tokens_out"])},
		{"usd", cost(result)},
		{"queued ms", cell(result["queued_ms"])},
		{"first token ms", cell(result["first_token_ms"])},
		{"total ms", cell(result["total_ms"])},
		{"error", firstOf(failed, "message")},
	} {
		if line[1] != "-" && line[1] != "" {
			fmt.Fprintf(&b, "%-14s  %s\n", line[0], line[1])
		}
	}
	history, _ := v["history"].([]any)
	for i, step := range slices.All(history) {
		if i == 0 {
			b.WriteString("\n")
		}
		s, _ := step.(map[string]any)
		detail, _ := json.Marshal(s["detail"])
		fmt.Fprintf(&b, "%s  %-11s %s\n", cell(s["at"]), cell(s["kind"]), detail)
	}
	if content, ok := v["content"].(map[string]any); ok {
		for _, what := range []string{"request", "answer"} {
			said, _ := json.MarshalIndent(content[what], "", "  ")
			fmt.Fprintf(&b, "\n%s\n%s\n", what, said)
		}
	}
	return b.String()
}
