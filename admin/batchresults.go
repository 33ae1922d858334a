package admin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// Batch is a batch as it is shown.
type Batch struct {
	ID           tenancy.ID        `json:"id"`
	Organization tenancy.ID        `json:"organization"`
	Name         *string           `json:"name"`
	State        string            `json:"state" enum:"draft,running,completed,cancelled"`
	Stopping     bool              `json:"stopping" doc:"It was asked to end."`
	User         *Named            `json:"user" doc:"Whose it is."`
	Key          *Named            `json:"key" doc:"The key that it was made with; null: a person made it."`
	Endpoint     string            `json:"endpoint"`
	Parallel     int               `json:"parallel"`
	Tags         map[string]string `json:"tags" nullable:"false"`
	Created      time.Time         `json:"created"`
	Began        *time.Time        `json:"began"`
	Ended        *time.Time        `json:"ended"`
	Total        int64             `json:"total" doc:"How many items it has."`
	Done         int64             `json:"done" doc:"How many of them have ended."`
	Succeeded    int64             `json:"succeeded"`
	Failed       int64             `json:"failed"`
	Cancelled    int64             `json:"cancelled"`
	TokensIn     int64             `json:"tokens_in"`
	TokensOut    int64             `json:"tokens_out"`
	Cost         string            `json:"cost_usd" doc:"Of the items that have ended."`
	Estimate     string            `json:"estimate_usd" doc:"What all of its items may cost, as they were added: by the length of what they ask, and as long an answer as they allow."`
	Unpriced     int64             `json:"unpriced" doc:"Items of which the estimate knows no price."`
	Bytes        int64             `json:"bytes" doc:"Of all requests."`
	Results      string            `json:"results_url"`
}

// TransformSchema says what may be null.
func (Batch) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "user", "key")
}

func viewBatch(b *tasks.Batch, names *namer) Batch {
	v := Batch{
		ID: b.ID, Organization: b.Org, Name: textOf(b.Name), State: string(b.State), Stopping: !b.Stopping.IsZero(),
		User: names.user(b.Org, b.As.User), Key: names.key(b.Org, b.As.Key), Endpoint: b.Endpoint.String(), Parallel: b.Parallel, Tags: map[string]string{},
		Created: b.Created.UTC(), Began: timeOf(b.Began), Ended: timeOf(b.Ended), Total: b.Total, Done: b.Done(), Succeeded: b.Succeeded, Failed: b.Failed, Cancelled: b.Cancelled,
		TokensIn: b.TokensIn, TokensOut: b.TokensOut, Cost: b.Cost.String(), Estimate: b.Estimate.String(), Unpriced: b.Unpriced, Bytes: b.Bytes, Results: batchPath(b.ID) + "/results",
	}
	for name, value := range b.Labels {
		v.Tags[name] = value
	}
	return v
}

// BatchResult is what came of an item.
type BatchResult struct {
	Item      int64      `json:"item" doc:"Its number, from 0."`
	CustomID  *string    `json:"custom_id"`
	Task      tenancy.ID `json:"task"`
	State     string     `json:"state"`
	Response  any        `json:"response" doc:"What the call answered; null: it did not."`
	Error     *TaskError `json:"error"`
	Provider  *string    `json:"provider"`
	Model     *string    `json:"model"`
	TokensIn  int64      `json:"tokens_in"`
	TokensOut int64      `json:"tokens_out"`
	Cost      string     `json:"cost_usd"`
}

type batchResultsInput struct {
	Asked
	Item
	Format  string `query:"format" enum:"json,jsonl,csv" default:"jsonl" doc:"One JSON array, a line of JSON for each item, or CSV with the text of each answer."`
	State   string `query:"state" enum:"succeeded,failed,cancelled,pending,running" doc:"Only the items in this state."`
	Content bool   `query:"content" doc:"Read what somebody else's batch was answered. It needs the permission view_content, and is written into the audit log."`
}

// resultsPage is how many items are read at once.
const resultsPage = 200

var resultsMedia = map[string]string{"json": "application/json", "jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}

func (s *Server) serveBatchResults(op func(id, method, path, summary, description string) huma.Operation) {
	results := op("get-batch-results", http.MethodGet, "/api/batches/{id}/results", "Get results of batch",
		"All items in their order, those that have not ended too, with their answers. It is for the batch's owner, or with content=true for who may view content.")
	add(s, results, s.batchResults, http.StatusNotFound)
	content := map[string]*huma.MediaType{}
	for _, media := range resultsMedia {
		content[media] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	one := huma.SchemaFromType(s.api.OpenAPI().Components.Schemas, reflect.TypeFor[BatchResult]())
	content[resultsMedia["json"]].Schema = &huma.Schema{Type: huma.TypeArray, Items: one}
	s.api.OpenAPI().Paths[results.Path].Get.Responses["200"] = &huma.Response{Description: "The items.", Content: content}
}

func (s *Server) batchResults(ctx context.Context, in *batchResultsInput) (*huma.StreamResponse, error) {
	b, own, err := s.seenBatch(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	if !own {
		if !in.Content || !in.ask.by.May.Has(tenancy.ViewContent) {
			return nil, notAllowed.new("It is somebody else's batch: ask with content=true, and the permission " + tenancy.ViewContent.String() + ".")
		}
		event := tenancy.NewAuditEvent(in.ask.by, b.Org, tenancy.ActionReadContent, tenancy.AuditObject{Kind: "batch", ID: b.ID}, in.ask.now)
		if err := s.Audit.Record(ctx, []tenancy.AuditEvent{event}); err != nil {
			return nil, err
		}
	}
	q := tasks.ItemQuery{Org: b.Org, Batch: b.ID, After: -1, State: tasks.State(in.State), Limit: resultsPage}
	first, err := s.batchStore().Items(ctx, q) // as long as nothing was written, a fault can be told
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", resultsMedia[in.Format])
		hc.SetHeader("Content-Disposition", `attachment; filename="`+string(b.ID)+`.`+in.Format+`"`)
		hc.SetStatus(http.StatusOK)
		if err := s.writeResults(hc.Context(), q, first, newResults(in.Format, hc.BodyWriter())); err != nil {
			s.brokeOff(in.ask, err)
		}
	}}, nil
}

// writeResults writes all items of a batch; page is the first of them.
func (s *Server) writeResults(ctx context.Context, q tasks.ItemQuery, page []tasks.ItemResult, to results) (err error) {
	for {
		for i := range page {
			r := s.viewResult(&page[i])
			if err := to.item(&page[i], &r); err != nil {
				return err
			}
		}
		if len(page) < q.Limit {
			return to.end()
		}
		q.After = page[len(page)-1].Item
		if page, err = s.batchStore().Items(ctx, q); err != nil {
			return err
		}
	}
}

func (s *Server) viewResult(r *tasks.ItemResult) BatchResult {
	o := &r.Outcome
	in, out := o.Usage.Tokens()
	v := BatchResult{
		Item: r.Item, CustomID: textOf(r.Custom), Task: r.ID, State: string(r.State), Provider: textOf(o.Provider), Model: textOf(o.Model), TokensIn: in, TokensOut: out,
		Cost: o.Cost.String(),
	}
	if o.Message != "" {
		v.Error = &TaskError{o.Class.String(), textOf(o.Code), o.Message}
	}
	c := s.openTask(&r.Task, "", r.Answer)
	if v.Response = c.Answer; c.Unreadable != nil {
		v.Error = &TaskError{Class: "unreadable", Message: *c.Unreadable}
	}
	return v
}

// results writes items in one format.
type results interface {
	item(of *tasks.ItemResult, r *BatchResult) error
	end() error
}

func newResults(format string, w io.Writer) results {
	switch format {
	case "csv":
		return &csvResults{w: csv.NewWriter(w)}
	case "json":
		return &jsonResults{w: w, lines: json.NewEncoder(w)}
	}
	return &lineResults{json.NewEncoder(w)}
}

type lineResults struct{ lines *json.Encoder }

func (l *lineResults) item(_ *tasks.ItemResult, r *BatchResult) error { return l.lines.Encode(r) }
func (l *lineResults) end() error                                     { return nil }

type jsonResults struct {
	w     io.Writer
	lines *json.Encoder
	begun bool
}

func (j *jsonResults) item(_ *tasks.ItemResult, r *BatchResult) error {
	sign := ","
	if !j.begun {
		sign = "["
	}
	j.begun = true
	if _, err := io.WriteString(j.w, sign); err != nil {
		return err
	}
	return j.lines.Encode(r)
}

func (j *jsonResults) end() error {
	text := "]\n"
	if !j.begun {
		text = "[]\n"
	}
	_, err := io.WriteString(j.w, text)
	return err
}

type csvResults struct {
	w     *csv.Writer
	begun bool
}

func (c *csvResults) head() error {
	c.begun = true
	return c.w.Write([]string{"item", "custom_id", "task", "state", "text", "error", "provider", "model", "tokens_in", "tokens_out", "cost_usd"})
}

func (c *csvResults) item(of *tasks.ItemResult, r *BatchResult) error {
	if !c.begun {
		if err := c.head(); err != nil {
			return err
		}
	}
	text, failed := "", ""
	if raw, ok := r.Response.(json.RawMessage); ok {
		if text = tasks.Said(of.Endpoint, raw); text == "" {
			text = string(raw)
		}
	}
	if r.Error != nil {
		failed = r.Error.Message
	}
	return c.w.Write(noFormulas([]string{
		strconv.FormatInt(r.Item, 10), orEmpty(r.CustomID), string(r.Task), r.State, text, failed, orEmpty(r.Provider), orEmpty(r.Model),
		strconv.FormatInt(r.TokensIn, 10), strconv.FormatInt(r.TokensOut, 10), r.Cost,
	}))
}

func (c *csvResults) end() error {
	var err error
	if !c.begun {
		err = c.head()
	}
	c.w.Flush()
	return errors.Join(err, c.w.Error())
}

// TransformSchema says what may be null.
func (BatchResult) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "error")
}
