package tasks

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/tenancy"
)

// Post keeps deliveries. One method is one transaction.
type Post interface {
	// LoadDelivery gives a delivery that is to be tried, and claims it: its revision is raised. ErrNotFound: there is none with this
	// revision that waits, or an earlier one about the same object still does.
	LoadDelivery(ctx context.Context, org, id tenancy.ID, rev int64) (*Parcel, error)
	// EndDelivery writes what became of it, if it has the revision still; with a wake-up for its next try, or for what waits behind
	// it. why disables its webhook; empty: it does not.
	EndDelivery(ctx context.Context, p *Parcel, why string) error
}

// Parcel is a delivery with what it takes to send it.
type Parcel struct {
	Delivery
	Notice  Notice
	Webhook Webhook
}

// Courier brings notices to webhooks.
type Courier struct {
	post   Post
	sender *Sender
	vault  Vault
	log    *slog.Logger
	sent   *prometheus.CounterVec
}

// NewCourier makes the courier of a node.
func NewCourier(p Post, s *Sender, v Vault, reg prometheus.Registerer, log *slog.Logger) *Courier {
	c := &Courier{post: p, sender: s, vault: v, log: log, sent: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vel_webhook_sendings_total", Help: "Attempts to deliver to webhooks, by what came of them.",
	}, []string{"outcome"})}
	reg.MustRegister(c.sent)
	return c
}

// Run tries a delivery. It is the Handler of the kind RunDelivery.
func (c *Courier) Run(ctx context.Context, j Job) error {
	p, err := c.post.LoadDelivery(ctx, j.Org, j.ID, j.Rev)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err // what is due and was not tried is woken again
	}
	sent := c.send(ctx, p)
	now := time.Now().UTC().Truncate(time.Microsecond)
	p.tell(sent, now)
	c.sent.WithLabelValues(map[bool]string{true: "delivered", false: "failed"}[sent.well()]).Inc()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLonger)
	defer cancel()
	return c.post.EndDelivery(ctx, p, p.reach(sent, now))
}

// send sends what is in a parcel.
func (c *Courier) send(ctx context.Context, p *Parcel) Sending {
	if p.Webhook.Disabled {
		return Sending{At: time.Now().UTC(), Status: http.StatusGone, Error: "the webhook is disabled"}
	}
	list, err := p.Webhook.secretsNow(c.vault, time.Now())
	if err != nil {
		return Sending{At: time.Now().UTC(), Error: "the secret of the webhook was sealed with a key that this node does not have"}
	}
	return c.sender.Send(ctx, p.Webhook.URL, list, &p.Notice)
}

// Try sends a notice to a webhook at once, once, for somebody who wants to see whether it arrives.
func (c *Courier) Try(ctx context.Context, w *Webhook, n *Notice) Sending {
	return c.send(ctx, &Parcel{Webhook: *w, Notice: *n})
}

// reach notes whether anything reaches the webhook, and tells why it is to be disabled; empty: it is not.
func (p *Parcel) reach(s Sending, now time.Time) (why string) {
	w := &p.Webhook
	switch {
	case s.well():
		w.Failing = time.Time{}
		return ""
	case w.Disabled:
		return ""
	case s.Status == http.StatusGone:
		return "it answered 410: it is gone"
	case w.Failing.IsZero():
		w.Failing = now
		return ""
	case now.Sub(w.Failing) >= DisableAfter:
		return "nothing has reached it for " + strconv.Itoa(int(DisableAfter/(24*time.Hour))) + " days"
	}
	return ""
}
