package tasks

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Notice is something that happened, for who wants to be told. It is written in the transaction that made it happen.
type Notice struct {
	ID     tenancy.ID
	Org    tenancy.ID
	Type   string     // as task.succeeded
	Object tenancy.ID // what it is about: of one object, what came first is told first
	At     time.Time
	Data   json.RawMessage
}

// Body is what a receiver gets: as Standard Webhooks has it.
func (n *Notice) Body() []byte {
	b, err := json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{n.Type, n.At.UTC(), n.Data})
	if err != nil {
		return nil // it was JSON when it was made
	}
	return b
}

// DeliveryState is how far a delivery has come.
type DeliveryState string

// The states.
const (
	Undelivered DeliveryState = "pending"
	Delivered   DeliveryState = "delivered"
	Dead        DeliveryState = "dead" // nobody tries any more, unless it is asked for again
)

// Delivery is one notice on its way to one webhook.
type Delivery struct {
	ID, Org  tenancy.ID
	Webhook  tenancy.ID
	Notice   tenancy.ID
	Type     string
	Object   tenancy.ID
	State    DeliveryState
	Rev      int64
	Created  time.Time
	Due      time.Time
	Ended    time.Time
	Attempts []Sending // the last ones
	Tries    int       // of them all, since it was made or asked for again
}

// Sending is one attempt to deliver.
type Sending struct {
	At      time.Time     `json:"at"`
	Took    time.Duration `json:"took"`
	Status  int           `json:"status,omitempty"` // 0: there was no answer
	Error   string        `json:"error,omitempty"`
	Request string        `json:"request,omitempty"` // the body, without what looks like a secret, perhaps cut
	Answer  string        `json:"answer,omitempty"`  // likewise
	After   time.Duration `json:"-"`                 // the receiver's Retry-After
}

// well tells whether the receiver has it.
func (s *Sending) well() bool { return s.Status >= 200 && s.Status < 300 }

// waits are how long it takes until the next try, after the first, the second and so on: about a day together.
func waits() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 10 * time.Hour,
	}
}

// MostTries is how often a delivery is tried.
func MostTries() int { return len(waits()) + 1 }

// sendingsKept is how many attempts are shown of a delivery.
const sendingsKept = 12

// tell takes what came of a try, and decides what becomes of the delivery.
func (d *Delivery) tell(s Sending, now time.Time) {
	d.Attempts = append(d.Attempts, s)
	d.Attempts = d.Attempts[max(0, len(d.Attempts)-sendingsKept):]
	d.Tries++
	switch {
	case s.well():
		d.State, d.Ended = Delivered, now
	case d.Tries >= MostTries(), s.Status == http.StatusGone:
		d.State, d.Ended = Dead, now
	default:
		wait := waits()[d.Tries-1]
		wait += rand.N(wait/5 + 1) // so that what failed together does not come back together
		d.Due = now.Add(max(wait, min(s.After, longestBackoff)))
	}
}

// Job wakes a worker for the delivery as it is.
func (d *Delivery) Job() Job {
	return Job{Kind: RunDelivery, ID: d.ID, Org: d.Org, Rev: d.Rev, Due: d.Due, Priority: 2}
}

// DeliveryQuery asks for deliveries, the newest first. What is empty does not matter.
type DeliveryQuery struct {
	Org, Webhook tenancy.ID
	State        DeliveryState
	Before       tenancy.ID
	Limit        int
}
