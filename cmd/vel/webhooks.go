package main

import (
	"context"
	"net/http"
	"time"
)

// webhooksOf is how the command line sees webhooks.
func webhooksOf() *kind {
	return &kind{path: "/api/webhooks", columns: []string{"id", "name", "url", "events", "disabled", "why", "failing_since"}, sent: []string{"name", "url", "events", "disabled"}}
}

// deliveriesOf is how it sees what they are told.
func deliveriesOf() *kind {
	return &kind{path: "/api/deliveries", columns: []string{"id", "type", "object", "state", "tries", "created", "due", "ended"}}
}

// webhooksCmd manages webhooks.
type webhooksCmd struct {
	List       webhooksListCmd       `cmd:"" help:"List webhooks."`
	Get        webhooksGetCmd        `cmd:"" help:"Show one."`
	Create     webhooksCreateCmd     `cmd:"" help:"Make one; its secret is shown once."`
	Update     webhooksUpdateCmd     `cmd:"" help:"Change one."`
	Delete     webhooksDeleteCmd     `cmd:"" help:"Delete one, with what is on its way to it."`
	Rotate     webhooksRotateCmd     `cmd:"" help:"Give one another secret."`
	Test       webhooksTestCmd       `cmd:"" help:"Send one a test, at once."`
	Deliveries webhooksDeliveriesCmd `cmd:"" help:"List what one was told."`
	Delivery   webhooksDeliveryCmd   `cmd:"" help:"Show a delivery with its attempts."`
	Redeliver  webhooksRedeliverCmd  `cmd:"" help:"Try a delivery anew."`
}

// Help shows how it is used.
func (webhooksCmd) Help() string {
	return `Webhooks are told what happens: tasks and batches that end, budgets that are spent, providers that fail.

Example:
  vel webhooks create ops https://example.com/hooks --event task.failed --event 'budget.*'
  vel webhooks test webhook_…
  vel webhooks deliveries webhook_… --state dead
  vel webhooks redeliver delivery_…`
}

type webhooksListCmd struct {
	manage
	within
	Name string `help:"Only the one of this name."`
}

// Run lists webhooks.
func (c *webhooksListCmd) Run(ctx context.Context, o *output) error {
	return webhooksOf().in(c.Org).list(ctx, o, &c.manage, text("name", c.Name))
}

// oneWebhookCmd names a webhook, or a delivery.
type oneWebhookCmd struct {
	manage
	within
	ID string `arg:"" help:"Its id."`
}

type webhooksGetCmd struct{ oneWebhookCmd }

// Run shows a webhook.
func (c *webhooksGetCmd) Run(ctx context.Context, o *output) error {
	return webhooksOf().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type webhooksCreateCmd struct {
	manage
	within
	Name  string   `arg:"" help:"For people."`
	URL   string   `arg:"" name:"url" help:"Where notices are posted."`
	Event []string `default:"*" help:"What it is told: task.succeeded, task.*, or * for everything; more than once for more of them."`
}

// Run makes a webhook.
func (c *webhooksCreateCmd) Run(ctx context.Context, o *output) error {
	return webhooksOf().in(c.Org).create(ctx, o, &c.manage, given(text("name", c.Name), text("url", c.URL), member{"events", c.Event, true}))
}

type webhooksUpdateCmd struct {
	oneWebhookCmd
	Name    string   `help:"Another name."`
	URL     string   `name:"url" help:"Another address."`
	Event   []string `help:"What it is told from now on."`
	Disable bool     `help:"Tell it nothing."`
	Enable  bool     `help:"Tell it again."`
}

// Run changes a webhook.
func (c *webhooksUpdateCmd) Run(ctx context.Context, o *output) error {
	return webhooksOf().in(c.Org).change(ctx, o, &c.manage, c.ID, given(text("name", c.Name), text("url", c.URL), member{"events", c.Event, len(c.Event) > 0},
		member{"disabled", c.Disable && !c.Enable, c.Disable || c.Enable}))
}

type webhooksDeleteCmd struct{ oneWebhookCmd }

// Run deletes a webhook.
func (c *webhooksDeleteCmd) Run(ctx context.Context, o *output) error {
	return webhooksOf().in(c.Org).remove(ctx, o, &c.manage, c.ID)
}

type webhooksRotateCmd struct {
	oneWebhookCmd
	Overlap time.Duration `default:"24h" help:"How long deliveries are signed with the old secret too."`
}

// Run gives a webhook another secret.
func (c *webhooksRotateCmd) Run(ctx context.Context, o *output) error {
	return webhooksOf().in(c.Org).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/rotate", map[string]any{"overlap_seconds": int64(c.Overlap / time.Second)})
}

type webhooksTestCmd struct{ oneWebhookCmd }

// Run sends a test.
func (c *webhooksTestCmd) Run(ctx context.Context, o *output) error {
	return (&kind{path: "/api/webhooks", columns: []string{"status", "error", "took_ms", "at", "request", "answer"}, org: c.Org}).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/test", nil)
}

type webhooksDeliveriesCmd struct {
	oneWebhookCmd
	State string `enum:",pending,delivered,dead" default:"" help:"Only those in this state."`
}

// Run lists deliveries.
func (c *webhooksDeliveriesCmd) Run(ctx context.Context, o *output) error {
	k := deliveriesOf()
	k.path, k.org = webhooksOf().at(c.ID)+"/deliveries", c.Org
	return k.list(ctx, o, &c.manage, text("state", c.State))
}

type webhooksDeliveryCmd struct{ oneWebhookCmd }

// Run shows a delivery.
func (c *webhooksDeliveryCmd) Run(ctx context.Context, o *output) error {
	return deliveriesOf().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type webhooksRedeliverCmd struct{ oneWebhookCmd }

// Run tries a delivery anew.
func (c *webhooksRedeliverCmd) Run(ctx context.Context, o *output) error {
	return deliveriesOf().in(c.Org).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/redeliver", nil)
}
