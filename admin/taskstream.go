package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// A task is followed by its history, whose numbers are the ids of the events: whoever comes back with the last one goes on behind
// it, on any node, also after a restart. What is told stands in rows; the feed only says that there are more.

// firstBegun is the number of the first try: before it a task was created, and nothing else can have happened.
const firstBegun = 2

// streamPage is how many lines are read at once, and streamAway how long is waited for a database that does not answer.
const (
	streamPage = 500
	streamAway = time.Second
)

// Resumed says from where on a stream is wanted.
type Resumed struct {
	LastHeader string `header:"Last-Event-ID" pattern:"^[0-9]{1,19}$" doc:"The id of the last event that was seen: those after it follow. An EventSource sends it by itself when it comes back."`
	LastQuery  int64  `query:"last_event_id" minimum:"0" doc:"The same, for clients that can not set the header."`
}

func (r *Resumed) after() int64 {
	if n, err := strconv.ParseInt(r.LastHeader, 10, 64); err == nil {
		return n
	}
	return r.LastQuery
}

func (s *Server) serveTaskStreams(op func(id, method, path, summary, description string) huma.Operation) {
	progress := op("stream-task", http.MethodGet, "/api/tasks/{id}/stream", "Follow task",
		"Its history as server-sent events, from the beginning or behind Last-Event-ID, until it ends: created, begun, progress (how many tokens came), interrupted, retry, succeeded, failed, cancelled. "+
			"A task that has ended, and whose last event was seen, is answered with 204.")
	add(s, progress, s.streamTask, http.StatusNotFound, http.StatusTooManyRequests)
	response := op("stream-task-response", http.MethodGet, "/api/tasks/{id}/stream-response", "Follow answer of task",
		"The tokens of its answer as server-sent events while they come, ten or 100 ms together: token with {\"text\"}; reset when a new try begins and the text begins anew; done with state, result and error when it has ended. "+
			"It is for the task's owner, or with content=true for who may view content.")
	add(s, response, s.streamTaskResponse, http.StatusNotFound, http.StatusTooManyRequests)
	text := map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}
	for _, path := range []string{progress.Path, response.Path} {
		described := s.api.OpenAPI().Paths[path].Get.Responses
		described["200"] = &huma.Response{Description: "The events.", Content: text}
		described["204"] = &huma.Response{Description: "The last event was seen: there are no more."}
	}
}

type (
	taskStreamInput struct {
		Asked
		Item
		Resumed
	}
	taskResponseInput struct {
		Asked
		Item
		Resumed
		Content bool `query:"content" doc:"Follow the answer of somebody else's task. It needs the permission view_content, and is written into the audit log."`
	}
)

func (s *Server) streamTask(ctx context.Context, in *taskStreamInput) (*huma.StreamResponse, error) {
	t, _, err := s.seenTask(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	return s.follow(in.ask, &t, in.after(), (*taskFollower).progress)
}

func (s *Server) streamTaskResponse(ctx context.Context, in *taskResponseInput) (*huma.StreamResponse, error) {
	t, own, err := s.seenTask(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	if !own {
		if !in.Content {
			return nil, notAllowed.new("It is somebody else's task: ask with content=true, and the permission " + tenancy.ViewContent.String() + ".")
		}
		if _, err := s.taskContent(ctx, in.ask, &t, false); err != nil {
			return nil, err
		}
	}
	return s.follow(in.ask, &t, in.after(), (*taskFollower).response)
}

// follow answers with a stream of what happens to a task after a number.
func (s *Server) follow(a *asking, t *tasks.Task, after int64, tell func(*taskFollower, *tasks.Progress) error) (*huma.StreamResponse, error) {
	if t.State.Over() && after >= t.Seq {
		return &huma.StreamResponse{Body: func(hc huma.Context) { hc.SetStatus(http.StatusNoContent) }}, nil
	}
	done, ok := s.watching.enter(string(a.by.Org)+"\x00"+string(a.by.User)+"\x00"+string(a.by.Key), s.Work.Streams())
	if !ok {
		return nil, tooManyTasks.new("You follow " + strconv.Itoa(s.Work.Streams()) + " tasks already, which is the most that you may at the same time.").after(time.Second)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer done()
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("Cache-Control", "no-store")
		hc.SetHeader("X-Accel-Buffering", "no") // or nginx keeps the events back
		hc.SetStatus(http.StatusOK)
		_, w := humago.Unwrap(hc)
		f := &taskFollower{s: s, w: w, out: http.NewResponseController(w), t: t, after: after}
		if err := f.run(hc.Context(), tell); err != nil && hc.Context().Err() == nil {
			s.brokeOff(a, err)
		}
	}}, nil
}

// taskFollower tells one client of one task.
type taskFollower struct {
	s      *Server
	w      http.ResponseWriter
	out    *http.ResponseController
	t      *tasks.Task
	after  int64 // the last number that was told
	buffer bytes.Buffer
	over   bool
}

// run tells until the task has ended or the client has left.
func (f *taskFollower) run(ctx context.Context, tell func(*taskFollower, *tasks.Progress) error) error {
	reader := f.s.Work.Feed.Read(f.t.ID)
	defer reader.Close()
	heart := time.NewTicker(f.s.Work.Hearts())
	defer heart.Stop()
	if err := f.flush(); err != nil { // the head, so that the client knows that it is connected
		return err
	}
	for {
		more, err := f.page(ctx, tell)
		if err == nil {
			err = f.flush()
		}
		if err != nil || f.over {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-reader.More:
		case <-heart.C:
			f.buffer.WriteString(": still there\n\n")
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
}

// page tells what there is, and whether there may be more.
func (f *taskFollower) page(ctx context.Context, tell func(*taskFollower, *tasks.Progress) error) (more bool, err error) {
	list, err := f.s.Work.Store.Progress(ctx, f.t.Org, f.t.ID, f.after, true, streamPage)
	if p := problemOf(err); p != nil && p.Status == http.StatusServiceUnavailable && ctx.Err() == nil {
		select { // the client need not come back for that
		case <-ctx.Done():
		case <-time.After(streamAway):
		}
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for i := range list {
		if err := tell(f, &list[i]); err != nil {
			return false, err
		}
		f.after = list[i].Seq
		f.over = f.over || list[i].Kind.Over()
	}
	return len(list) == streamPage, nil
}

func problemOf(err error) *Problem {
	if err == nil {
		return nil
	}
	return inWords(err)
}

// flush brings the client what was told.
func (f *taskFollower) flush() error {
	if f.buffer.Len() > 0 {
		if _, err := f.w.Write(f.buffer.Bytes()); err != nil {
			return err
		}
		f.buffer.Reset()
	}
	return f.out.Flush()
}

// event adds an event.
func (f *taskFollower) event(seq int64, name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	f.buffer.WriteString("id: " + strconv.FormatInt(seq, 10) + "\nevent: " + name + "\ndata: ")
	f.buffer.Write(text)
	f.buffer.WriteString("\n\n")
	return nil
}

// progress tells of a line of the history. Of tokens it says only how many there are.
func (f *taskFollower) progress(p *tasks.Progress) error {
	if p.Kind == tasks.WasAnswered {
		return f.event(p.Seq, "progress", map[string]any{"at": p.At, "tokens": p.Tokens})
	}
	return f.event(p.Seq, string(p.Kind), TaskStep{p.Seq, p.At, string(p.Kind), json.RawMessage(p.Detail)})
}

// response tells the text of the answer, as far as a line of the history is about it.
func (f *taskFollower) response(p *tasks.Progress) error {
	gone := p.Seq > f.after+1 // the tokens before it are no longer kept one by one
	switch {
	case p.Kind.Over():
		return f.done(p, gone)
	case p.Kind == tasks.WasBegun && p.Seq > firstBegun:
		return f.event(p.Seq, "reset", map[string]any{"at": p.At})
	case p.Kind != tasks.WasAnswered:
		return nil
	}
	text, err := tasks.Tokens(f.s.Keyring, f.t.Org, f.t.ID, p.Detail)
	if err != nil {
		return err
	}
	return f.event(p.Seq, "token", map[string]any{"text": string(text)})
}

// done tells how the task ended, and before it the whole answer where its tokens are gone.
func (f *taskFollower) done(p *tasks.Progress, gone bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), howLong)
	defer cancel()
	t, err := f.s.Work.Store.Task(ctx, f.t.Org, f.t.ID)
	if err != nil {
		return err
	}
	if gone {
		if err := f.whole(ctx, &t); err != nil {
			return err
		}
	}
	v := viewTaskLine(&t, f.s.namer(ctx))
	return f.event(p.Seq, "done", map[string]any{"at": p.At, "state": v.State, "result": v.Result, "error": v.Error})
}

// whole tells the text of a whole answer, in the place of all that was told of it.
func (f *taskFollower) whole(ctx context.Context, t *tasks.Task) error {
	_, sealed, err := f.s.Work.Store.TaskContents(ctx, t.Org, t.ID)
	if err != nil || sealed == "" {
		return err
	}
	answer, err := tasks.Content(f.s.Keyring, t.Org, t.ID, sealed)
	if err != nil {
		return err
	}
	text := tasks.Said(t.Endpoint, answer)
	if text == "" {
		return nil
	}
	if err := f.event(t.Seq-1, "reset", map[string]any{"at": t.Ended}); err != nil {
		return err
	}
	return f.event(t.Seq-1, "token", map[string]any{"text": text})
}

// watching counts the streams of everybody on this node.
type watching struct {
	mu  sync.Mutex
	who map[string]int // guarded by mu
}

// enter counts one more, unless there are most already; done counts it no longer.
func (w *watching) enter(who string, most int) (done func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.who[who] >= most {
		return nil, false
	}
	w.who[who]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.who[who]--; w.who[who] == 0 {
			delete(w.who, who)
		}
	}, true
}
