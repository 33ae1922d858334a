package admin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// BatchStore keeps batches. Errors are those of tenancy.Store and of package tasks.
type BatchStore interface {
	CreateBatch(ctx context.Context, by tenancy.Actor, b *tasks.Batch) error
	Batch(ctx context.Context, org, id tenancy.ID) (tasks.Batch, error)
	Batches(ctx context.Context, q tasks.BatchQuery) ([]tasks.Batch, error)
	// AddItems adds items behind the first from ones, and gives how many there are.
	AddItems(ctx context.Context, org, id tenancy.ID, from int64, items []tasks.NewItem) (total int64, err error)
	StartBatch(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (tasks.Batch, error)
	StopBatch(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (tasks.Batch, error)
	RetryBatch(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (tasks.Batch, error)
	// Items gives a page of the items, in their order.
	Items(ctx context.Context, q tasks.ItemQuery) ([]tasks.ItemResult, error)
}

// NewBatchBody asks for a batch.
type NewBatchBody struct {
	NewIn
	Name     string            `json:"name,omitempty" maxLength:"200" doc:"For people."`
	Endpoint string            `json:"endpoint,omitempty" default:"chat/completions" enum:"chat/completions,responses,completions,embeddings,moderations" doc:"The path below /v1 of all its items."`
	Parallel int               `json:"parallel,omitempty" minimum:"1" maximum:"1000" default:"20" doc:"How many items run at a time, over all nodes."`
	Retry    *TaskRetry        `json:"retry,omitempty" doc:"What happens when an item fails; left out: 3 attempts, 1 s before the second."`
	Tags     map[string]string `json:"tags,omitempty" doc:"As in x-vel-tags, for the calls of all items."`
	Items    []BatchItemBody   `json:"items,omitempty" nullable:"false" maxItems:"10000" doc:"Its items. Without them it is a draft: send them to /api/batches/{id}/items, and start it."`
	Draft    bool              `json:"draft,omitempty" doc:"Do not start it yet although it has items: look at its estimate first."`
	Over     bool              `json:"over_budget,omitempty" doc:"Start it although its estimate is more than its budgets have left."`
}

// Resolve is called by huma when the body has been read.
func (b *NewBatchBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return faultsAt(at, func(fault func(field, problem string)) {
		if problem := tagsProblem(b.Tags); problem != "" {
			fault("tags", problem)
		}
	})
}

type (
	createBatchInput struct {
		Asked
		InOrganization
		Idempotent
		Body NewBatchBody
	}
	beginBatchInput struct {
		Asked
		Item
		Over bool `query:"over_budget" doc:"Begin although the estimate is more than the budgets have left: items fail when the money is spent."`
	}
	batchesInput struct {
		Asked
		InOrganization
		State string `query:"state" enum:"draft,running,completed,cancelled" doc:"Only those in this state."`
		User  Ref    `query:"user" doc:"Only those of this user, or of this key without one. Who may not view analytics sees only their own."`
		Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The most batches on the page."`
		After Ref    `query:"after" doc:"The value of next on the page before."`
	}
	batchesOutput struct {
		Body struct {
			Data []Batch `json:"data" nullable:"false" doc:"The newest first."`
			Next *string `json:"next" doc:"Send it as after to get the next page; null: this is the last one."`
		}
	}
	batchOutput struct{ Body Batch }
)

func (s *Server) serveBatches() {
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"Batches"}, Summary: summary, Description: description}
	}
	create := op("create-batch", http.MethodPost, "/api/batches", "Create batch", "Many tasks that are made together. With items it starts at once, unless it is to be a draft.")
	create.DefaultStatus = http.StatusCreated
	add(s, create, s.createBatch, withBody(http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests)...)
	s.serveItems(op)
	add(s, op("start-batch", http.MethodPost, "/api/batches/{id}/start", "Start batch", "Its items begin in their order, so many at a time. While it runs, what they may cost is held in its owner's budgets."), s.startBatch, http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests)
	add(s, op("list-batches", http.MethodGet, "/api/batches", "List batches", "Your own, or with the permission view_analytics all of the organization."), s.listBatches, http.StatusNotFound)
	add(s, op("get-batch", http.MethodGet, "/api/batches/{id}", "Get batch", "How far it is, and what it has cost."), s.getBatch, http.StatusNotFound)
	add(s, op("cancel-batch", http.MethodPost, "/api/batches/{id}/cancel", "Cancel batch", "What has not begun never will; what runs is ended within a second. Answers that are there stay."), s.cancelBatch, http.StatusNotFound)
	add(s, op("retry-batch", http.MethodPost, "/api/batches/{id}/retry", "Retry batch", "The items that failed or were cancelled begin anew. It must have ended."), s.retryBatch, http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests)
	s.serveBatchResults(op)
}

// batchStore is where batches are kept: with tasks.
func (s *Server) batchStore() BatchStore { return s.Work.Batches }

func batchPath(id tenancy.ID) string { return "/api/batches/" + url.PathEscape(string(id)) }

func (s *Server) createBatch(ctx context.Context, in *createBatchInput) (*createOutput[Batch], error) {
	if _, err := s.scope(ctx, in.ask, in.Organization, in.Body.Organization); err != nil {
		return nil, err
	}
	who, err := s.asker(in.ask)
	if err != nil {
		return nil, err
	}
	b := &tasks.Batch{
		ID: tenancy.NewID("batch"), Org: who.Org, Name: in.Body.Name, As: who, Endpoint: endpointOf(in.Body.Endpoint), Parallel: in.Body.Parallel,
		Labels: in.Body.Tags, Retry: in.Body.Retry.policy(), Created: in.ask.now.UTC().Truncate(time.Microsecond),
	}
	items, err := s.itemsOf(b, in.Body.Items)
	if err != nil {
		return nil, err
	}
	if in.IdempotencyKey != "" {
		b.Once = requestID(in.ask, in.IdempotencyKey)
	}
	return once(ctx, s, in.ask, in.IdempotencyKey, []any{"batch", who.Org, in.Body}, func() (*createOutput[Batch], error) {
		if cost := costOf(items); !in.Body.Draft && !in.Body.Over {
			if err := s.afford(ctx, b, cost); err != nil {
				return nil, err
			}
		}
		made, err := s.makeBatch(ctx, in.ask, b, items, in.Body.Draft)
		if err != nil {
			return nil, err
		}
		names := s.namer(ctx)
		return &createOutput[Batch]{ETag: etag(made.Rev), Location: batchPath(made.ID), Body: viewBatch(made, names)}, names.err
	})
}

// makeBatch stores a batch with its first items, and starts it if it has some and is to be no draft.
func (s *Server) makeBatch(ctx context.Context, a *asking, b *tasks.Batch, items []tasks.NewItem, draft bool) (*tasks.Batch, error) {
	if err := s.batchStore().CreateBatch(ctx, a.by, b); err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return b, nil
	}
	for i := range items { // of a batch that a node made which is gone, they go into that one
		items[i].Batch = b.ID
	}
	if _, err := s.addInParts(ctx, b, 0, items); err != nil {
		return nil, err
	}
	if draft {
		is, err := s.batchStore().Batch(ctx, b.Org, b.ID)
		return &is, err
	}
	is, err := s.batchStore().StartBatch(ctx, a.by, b.Org, b.ID)
	return &is, err
}

// ofBatch says in words why something can not be done with a batch.
func ofBatch(err error) error {
	switch {
	case errors.Is(err, tasks.ErrBegun):
		return inState.new("The batch has begun: its items can not change any more.")
	case errors.Is(err, tasks.ErrGap):
		return inState.new("Items before these are missing, or there are others in their place: from must be the number of items that there are.")
	case errors.Is(err, tasks.ErrTooManyItems):
		return faulty(Fault{"body", "a batch has at most " + strconv.Itoa(tasks.MostItems) + " items"})
	case errors.Is(err, tasks.ErrNoItems):
		return inState.new("The batch has no items.")
	case errors.Is(err, tasks.ErrRunning):
		return inState.new("The batch has not ended: wait, or cancel it.")
	}
	return err
}

// seenBatch finds a batch that somebody may see.
func (s *Server) seenBatch(ctx context.Context, a *asking, in *Item) (b tasks.Batch, own bool, err error) {
	org, err := s.scope(ctx, a, in.Organization)
	if err != nil {
		return b, false, err
	}
	if b, err = s.batchStore().Batch(ctx, org, tenancy.ID(in.ID)); err != nil {
		return b, false, err
	}
	who, err := s.asker(a)
	own = err == nil && owns(who) == owns(b.As) && who.Org == b.Org
	if !own && !a.by.May.Has(tenancy.ViewAnalytics) {
		return b, false, tenancy.ErrNotFound
	}
	return b, own, nil
}

// ownBatch finds a batch that somebody may change.
func (s *Server) ownBatch(ctx context.Context, a *asking, in *Item) (b tasks.Batch, err error) {
	b, own, err := s.seenBatch(ctx, a, in)
	if err == nil && !own && !a.by.May.Has(tenancy.ManageOrganization) {
		return b, notAllowed.new("It is somebody else's batch: you need the permission " + tenancy.ManageOrganization.String() + ".")
	}
	return b, err
}

func (s *Server) startBatch(ctx context.Context, in *beginBatchInput) (*batchOutput, error) {
	return s.changeBatch(ctx, in.ask, &in.Item, s.batchStore().StartBatch, func(b *tasks.Batch) money.Nano {
		if in.Over || b.State != tasks.Draft {
			return 0
		}
		return b.Estimate
	})
}

func (s *Server) cancelBatch(ctx context.Context, in *itemInput) (*batchOutput, error) {
	return s.changeBatch(ctx, in.ask, &in.Item, s.batchStore().StopBatch, func(*tasks.Batch) money.Nano { return 0 })
}

func (s *Server) retryBatch(ctx context.Context, in *beginBatchInput) (*batchOutput, error) {
	return s.changeBatch(ctx, in.ask, &in.Item, s.batchStore().RetryBatch, func(b *tasks.Batch) money.Nano {
		if in.Over || !b.State.Over() {
			return 0
		}
		return b.ToRetry()
	})
}

// changeBatch changes the state of a batch, if its budgets have room for what that may cost.
func (s *Server) changeBatch(ctx context.Context, a *asking, of *Item, change func(context.Context, tenancy.Actor, tenancy.ID, tenancy.ID) (tasks.Batch, error), cost func(b *tasks.Batch) money.Nano) (*batchOutput, error) {
	b, err := s.ownBatch(ctx, a, of)
	if err != nil {
		return nil, err
	}
	if err := s.afford(ctx, &b, cost(&b)); err != nil {
		return nil, err
	}
	if b, err = change(ctx, a.by, b.Org, b.ID); err != nil {
		return nil, ofBatch(err)
	}
	names := s.namer(ctx)
	return &batchOutput{viewBatch(&b, names)}, names.err
}

func (s *Server) getBatch(ctx context.Context, in *itemInput) (*batchOutput, error) {
	b, _, err := s.seenBatch(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	names := s.namer(ctx)
	return &batchOutput{viewBatch(&b, names)}, names.err
}

func (s *Server) listBatches(ctx context.Context, in *batchesInput) (*batchesOutput, error) {
	org, err := s.scope(ctx, in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	q := tasks.BatchQuery{Org: org, Owner: tenancy.ID(in.User), State: tasks.BatchState(in.State), Before: tenancy.ID(in.After), Limit: in.Limit + 1}
	out := &batchesOutput{}
	out.Body.Data = []Batch{}
	if mine, none, err := s.onlyOwn(in.ask, q.Owner); err != nil || none {
		return out, err
	} else if mine != "" {
		q.Owner = mine
	}
	found, err := s.batchStore().Batches(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		next := string(found[in.Limit-1].ID)
		out.Body.Next = &next
	}
	names := s.namer(ctx)
	for i := range found {
		out.Body.Data = append(out.Body.Data, viewBatch(&found[i], names))
	}
	return out, names.err
}

// onlyOwn narrows a list to what is one's own for who may not see what others do; none: others were asked for.
func (s *Server) onlyOwn(a *asking, asked tenancy.ID) (mine tenancy.ID, none bool, err error) {
	if a.by.May.Has(tenancy.ViewAnalytics) {
		return "", false, nil
	}
	who, err := s.asker(a)
	return owns(who), asked != "" && asked != owns(who), err
}
