package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// HookStore keeps what is on its way to webhooks. Errors are those of tenancy.Store.
type HookStore interface {
	RotateWebhook(ctx context.Context, by tenancy.Actor, org, id tenancy.ID, rev int64, sealed string, oldUntil time.Time) (tasks.Webhook, error)
	Delivery(ctx context.Context, org, id tenancy.ID) (tasks.Parcel, error)
	Deliveries(ctx context.Context, q tasks.DeliveryQuery) ([]tasks.Delivery, error)
	Redeliver(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (tasks.Delivery, error)
}

// Courier sends a notice at once. tasks.Courier is one.
type Courier interface {
	Try(ctx context.Context, w *tasks.Webhook, n *tasks.Notice) tasks.Sending
}

// Webhook is what the API shows of one.
type Webhook struct {
	Object
	URL      string     `json:"url"`
	Events   []string   `json:"events" nullable:"false" doc:"What it is told: patterns."`
	Disabled bool       `json:"disabled"`
	Why      *string    `json:"why" doc:"Why Vel has disabled it; null: it has not."`
	Failing  *time.Time `json:"failing_since" doc:"Since when nothing has reached it; null: the last delivery did."`
	OldUntil *time.Time `json:"old_secret_until" doc:"Until when deliveries are signed with the secret before the last rotation too."`
	Secret   string     `json:"secret,omitempty" doc:"What signatures are made with. It is shown once, in the answer that made it."`
}

// WebhookBody changes a webhook.
type WebhookBody struct {
	Name     string   `json:"name" minLength:"1" maxLength:"64" doc:"For people; unique within the organization."`
	URL      string   `json:"url" minLength:"1" maxLength:"2048" doc:"Where notices are posted: https, on the public internet unless the operator allows more."`
	Events   []string `json:"events" nullable:"false" minItems:"1" maxItems:"32" maxLength:"64" doc:"What it is told: task.succeeded, a family as task.*, or * for everything." example:"task.*"`
	Disabled bool     `json:"disabled,omitempty" nullable:"true" doc:"It is told nothing. Enabling one that Vel has disabled forgets why."`
}

// NewWebhook makes a webhook.
type NewWebhook struct {
	NewIn
	WebhookBody
	secret secrets.Secret
}

// Resolve is called by huma when the body has been read.
func (b *WebhookBody) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	return faultsAt(at, func(fault func(field, problem string)) {
		if strings.TrimSpace(b.Name) == "" {
			fault("name", tenancy.Empty)
		}
		if problem := tasks.ValidPatterns(b.Events); problem != "" {
			fault("events", problem)
		}
	})
}

// to puts the body over a webhook, or says what is wrong with its address.
func (b *WebhookBody) to(w *tasks.Webhook, plain bool) error {
	if problem := tasks.ValidURL(b.URL, plain); problem != "" {
		return faulty(Fault{"body.url", problem})
	}
	if w.Disabled && !b.Disabled {
		w.Why, w.Failing = "", time.Time{}
	}
	w.Name, w.URL, w.Events, w.Disabled = strings.TrimSpace(b.Name), b.URL, b.Events, b.Disabled
	return nil
}

func viewWebhook(w *tasks.Webhook) Webhook {
	return Webhook{
		Object: objectOf(&w.Meta), URL: w.URL, Events: append([]string{}, w.Events...), Disabled: w.Disabled, Why: textOf(w.Why), Failing: timeOf(w.Failing), OldUntil: timeOf(w.OldUntil),
	}
}

type webhookResource = resource[tasks.Webhook, NewWebhook, WebhookBody, Webhook]

func (s *Server) serveWebhooks() {
	r := webhookResource{
		s: s, one: "webhook", many: "webhooks", tag: "Webhooks", filters: []string{"organization", "name"},
		store: s.Work.Webhooks, meta: func(w *tasks.Webhook) *tenancy.Meta { return &w.Meta }, view: viewWebhook,
		fill: func(_ context.Context, _ *asking, w *tasks.Webhook, b *NewWebhook) error {
			w.ID, b.secret = tenancy.NewID("webhook"), tasks.NewWebhookSecret()
			w.Secret = w.SealSecret(s.Keyring, b.secret)
			return b.to(w, s.Work.PlainHTTP)
		},
		edit: func(_ context.Context, _ *asking, w *tasks.Webhook, b *WebhookBody) error {
			return b.to(w, s.Work.PlainHTTP)
		},
		reveal: func(view *Webhook, b *NewWebhook) { view.Secret = b.secret.Reveal() },
		inBody: func(b *NewWebhook) Ref { return b.Organization },
	}
	r.register()
	op := func(id, method, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Tags: []string{"Webhooks"}, Summary: summary, Description: description}
	}
	add(s, op("rotate-webhook", http.MethodPost, "/api/webhooks/{id}/rotate", "Rotate secret",
		"Gives the webhook a new secret, which the answer shows once. Deliveries are signed with the old one too for a while."),
		func(ctx context.Context, in *rotateInput) (*createOutput[Webhook], error) {
			return s.rotateWebhook(ctx, &r, in)
		},
		withBody(http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)...)
	add(s, op("test-webhook", http.MethodPost, "/api/webhooks/{id}/test", "Test webhook", "Sends it a webhook.test at once, once, and tells what came of it."), s.testWebhook, http.StatusNotFound)
	add(s, op("list-deliveries", http.MethodGet, "/api/webhooks/{id}/deliveries", "List deliveries", "What it was told, or will be; the newest first."), s.listDeliveries, http.StatusNotFound)
	add(s, op("get-delivery", http.MethodGet, "/api/deliveries/{id}", "Get delivery", "With what was sent and answered."), s.getDelivery, http.StatusNotFound)
	add(s, op("redeliver", http.MethodPost, "/api/deliveries/{id}/redeliver", "Redeliver", "Tries a delivery anew, whatever became of it."), s.redeliver, http.StatusNotFound)
}

func (s *Server) rotateWebhook(ctx context.Context, r *webhookResource, in *rotateInput) (*createOutput[Webhook], error) {
	return once(ctx, s, in.ask, in.IdempotencyKey, []any{"rotate webhook", in.ID, in.Organization, in.Body}, func() (*createOutput[Webhook], error) {
		old := in.ask.now.Add(overlap)
		if in.Body != nil && in.Body.OverlapSeconds != nil {
			old = in.ask.now.Add(time.Duration(*in.Body.OverlapSeconds) * time.Second)
		}
		if !old.After(in.ask.now) {
			old = time.Time{} // it ends at once
		}
		secret := tasks.NewWebhookSecret()
		var rotated tasks.Webhook
		err := r.touch(ctx, in.ask, &in.Item, &in.Conditional, func(w *tasks.Webhook) (err error) {
			rotated, err = s.Work.Hooks.RotateWebhook(ctx, in.ask.by, w.Org, w.ID, w.Rev, w.SealSecret(s.Keyring, secret), old)
			return err
		})
		if err != nil {
			return nil, err
		}
		out := &createOutput[Webhook]{ETag: etag(rotated.Rev), Body: viewWebhook(&rotated)}
		out.Body.Secret = secret.Reveal()
		return out, nil
	})
}

// Sending is one attempt to deliver.
type Sending struct {
	At      time.Time `json:"at"`
	Took    float64   `json:"took_ms"`
	Status  *int      `json:"status" doc:"What the receiver answered; null: it did not."`
	Error   *string   `json:"error"`
	Request *string   `json:"request" doc:"What was sent, without what looks like a secret, and perhaps cut."`
	Answer  *string   `json:"answer" doc:"What came back, likewise."`
}

func viewSending(s *tasks.Sending) Sending {
	v := Sending{At: s.At.UTC(), Took: millis(s.Took), Error: textOf(s.Error), Request: textOf(s.Request), Answer: textOf(s.Answer)}
	if s.Status != 0 {
		v.Status = &s.Status
	}
	return v
}

// Delivery is what the API shows of one.
type Delivery struct {
	ID      tenancy.ID `json:"id"`
	Webhook tenancy.ID `json:"webhook"`
	Notice  tenancy.ID `json:"notice" doc:"As in webhook-id: the same for every attempt."`
	Type    string     `json:"type" example:"task.succeeded"`
	Object  tenancy.ID `json:"object" doc:"What it is about. Of one object what came first is told first."`
	State   string     `json:"state" enum:"pending,delivered,dead" doc:"dead: nobody tries any more, unless it is asked for again."`
	Tries   int        `json:"tries"`
	Created time.Time  `json:"created"`
	Due     *time.Time `json:"due" doc:"When it is tried next; null: it is not."`
	Ended   *time.Time `json:"ended"`
}

// DeliveryWhole is all that is shown of one.
type DeliveryWhole struct {
	Delivery
	Body     any       `json:"body" doc:"What the receiver gets."`
	Attempts []Sending `json:"attempts" nullable:"false" doc:"The last ones."`
}

func viewDelivery(d *tasks.Delivery) Delivery {
	v := Delivery{
		ID: d.ID, Webhook: d.Webhook, Notice: d.Notice, Type: d.Type, Object: d.Object, State: string(d.State), Tries: d.Tries, Created: d.Created.UTC(), Ended: timeOf(d.Ended),
	}
	if d.State == tasks.Undelivered {
		v.Due = timeOf(d.Due)
	}
	return v
}

type (
	sendingOutput   struct{ Body Sending }
	deliveriesInput struct {
		Asked
		Item
		State string `query:"state" enum:"pending,delivered,dead" doc:"Only those in this state."`
		Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The most deliveries on the page."`
		After Ref    `query:"after" doc:"The value of next on the page before."`
	}
	deliveriesOutput struct {
		Body struct {
			Data []Delivery `json:"data" nullable:"false" doc:"The newest first."`
			Next *string    `json:"next" doc:"Send it as after to get the next page; null: this is the last one."`
		}
	}
	deliveryOutput      struct{ Body Delivery }
	deliveryWholeOutput struct{ Body DeliveryWhole }
)

func (s *Server) testWebhook(ctx context.Context, in *itemInput) (*sendingOutput, error) {
	org, err := s.scope(ctx, in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	w, err := s.Work.Webhooks.Get(ctx, org, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	if s.Work.Courier == nil {
		return nil, unavailable.new("Nothing is sent from here; ask a running server.")
	}
	w.Disabled = false // it is tried to see whether it may be enabled again
	sent := s.Work.Courier.Try(ctx, &w, &tasks.Notice{
		ID: tenancy.NewID("evt"), Org: org, Type: "webhook.test", Object: w.ID, At: in.ask.now, Data: json.RawMessage(`{"message":"This is a test."}`),
	})
	return &sendingOutput{viewSending(&sent)}, nil
}

func (s *Server) listDeliveries(ctx context.Context, in *deliveriesInput) (*deliveriesOutput, error) {
	org, err := s.scope(ctx, in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	if _, err := s.Work.Webhooks.Get(ctx, org, tenancy.ID(in.ID)); err != nil {
		return nil, err
	}
	found, err := s.Work.Hooks.Deliveries(ctx, tasks.DeliveryQuery{
		Org: org, Webhook: tenancy.ID(in.ID), State: tasks.DeliveryState(in.State), Before: tenancy.ID(in.After), Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	out := &deliveriesOutput{}
	out.Body.Data = []Delivery{}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		next := string(found[in.Limit-1].ID)
		out.Body.Next = &next
	}
	for i := range found {
		out.Body.Data = append(out.Body.Data, viewDelivery(&found[i]))
	}
	return out, nil
}

func (s *Server) getDelivery(ctx context.Context, in *itemInput) (*deliveryWholeOutput, error) {
	org, err := s.scope(ctx, in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	p, err := s.Work.Hooks.Delivery(ctx, org, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	out := &deliveryWholeOutput{DeliveryWhole{Delivery: viewDelivery(&p.Delivery), Body: json.RawMessage(p.Notice.Body()), Attempts: []Sending{}}}
	for i := range p.Attempts {
		out.Body.Attempts = append(out.Body.Attempts, viewSending(&p.Attempts[i]))
	}
	return out, nil
}

func (s *Server) redeliver(ctx context.Context, in *itemInput) (*deliveryOutput, error) {
	org, err := s.scope(ctx, in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	d, err := s.Work.Hooks.Redeliver(ctx, in.ask.by, org, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	return &deliveryOutput{viewDelivery(&d)}, nil
}
