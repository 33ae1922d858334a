package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tenancy"
)

// Proposer makes the routes that are in force, and those that would be if a text were the file's part about them; or, as part,
// stood beside what the file has. An organization that proposes something may say nothing of providers, and sees only those
// that are open to it. The faults are the text's.
type Proposer func(with string, part bool, org tenancy.ID) (now, then *routing.Table, faults []Fault, err error)

// replayPage is how many calls are read at once, and replayScan how many are looked at for them.
const (
	replayPage = 500
	replayScan = 100_000
)

// DiffBody says what is proposed, and for which calls.
type DiffBody struct {
	With     string    `json:"with" minLength:"1" maxLength:"524288" doc:"The proposal: models and providers as the configuration file has them, in YAML or JSON; the whole file will do. References to secrets are not followed: a provider has the key of the one in force with its name, and a new one is taken to have one."`
	Part     bool      `json:"part,omitempty" doc:"Models that the proposal does not name stay. Without it its models take the place of all that the file declares."`
	Since    time.Time `json:"since,omitzero" doc:"Calls that began at this time or after it; 24 hours ago if it is not said."`
	Until    time.Time `json:"until,omitzero" doc:"Calls that began before this time; now if it is not said."`
	Team     Ref       `json:"team,omitempty" doc:"Only those of this team."`
	User     Ref       `json:"user,omitempty" doc:"Only those of this user."`
	Key      Ref       `json:"key,omitempty" doc:"Only those made with this key."`
	Route    string    `json:"route,omitempty" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those that went by the targets of this model."`
	Provider string    `json:"provider,omitempty" maxLength:"64" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those that this provider answered, or was asked last."`
	Model    string    `json:"model,omitempty" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those that went to the model of this name, which is the provider's."`
	Endpoint string    `json:"endpoint,omitempty" maxLength:"64" pattern:"^[a-z_]+(/[a-z_]+)?$" doc:"Only those to this path below /v1." example:"chat/completions"`
	Tag      string    `json:"tag,omitempty" maxLength:"256" pattern:"^[^\\x00-\\x1f:=]+([:=][^\\x00-\\x1f]*)?$" doc:"Only those with this tag: a key, or a key and a value." example:"feature:search"`
	Limit    int64     `json:"limit,omitempty" default:"200000" minimum:"1" maximum:"200000" doc:"The most calls that are looked at. If there are more, one of every two, three and so on is, evenly; every says so."`
	Examples int       `json:"examples,omitempty" default:"10" minimum:"1" maximum:"100" doc:"The most examples."`
}

type (
	diffInput struct {
		Asked
		InEveryOrganization
		Body DiffBody
	}
	diffOutput struct{ Body Diff }
)

func (s *Server) serveDiff() {
	add(s, huma.Operation{
		OperationID: "diff-routes", Method: http.MethodPost, Path: "/api/routes/diff", Tags: []string{"Routes"}, Summary: "Compare with recorded calls",
		Description: "Where recorded calls would go if the configuration were another one, what their answers would cost, and how long those of the targets take. Nothing is sent, and nothing is changed. " +
			"All targets are taken to be well. An organization may propose models, for its own calls; what it does not name stays. One comparison runs at a time on a node.",
	}, s.diffRoutes, withBody(http.StatusNotFound)...)
}

func (s *Server) diffRoutes(ctx context.Context, in *diffInput) (*diffOutput, error) {
	if s.Proposer == nil {
		return nil, unavailable.new("No calls are served here, so no routes are in force; ask a running server.")
	}
	org, err := in.whose(in.ask)
	if err != nil {
		return nil, err
	}
	b, proposer := &in.Body, tenancy.ID("")
	if !in.ask.by.OfPlatform() {
		b.Part, proposer = true, org
	}
	q, err := b.query(org, in.ask.now)
	if err != nil {
		return nil, err
	}
	now, then, faults, err := s.Proposer(b.With, b.Part, proposer)
	switch {
	case err != nil:
		return nil, err
	case len(faults) > 0:
		return nil, faulty(faults...)
	}
	select { // it takes a core for some seconds, and calls come first
	case s.replaying <- struct{}{}:
		defer func() { <-s.replaying }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	found, err := s.Calls.CountCalls(ctx, q.CallFilter)
	if err != nil {
		return nil, err
	}
	q.Every = int(max(1, (found+b.Limit-1)/b.Limit))
	q.Limit = max(1, min(replayPage, replayScan/q.Every))
	compared, err := s.compare(ctx, q, now, then, b.Examples)
	if err != nil {
		return nil, err
	}
	return &diffOutput{viewDiff(compared, &q, found)}, nil
}

// query is which calls are meant.
func (b *DiffBody) query(org tenancy.ID, now time.Time) (accounting.ReplayQuery, error) {
	const unsaid = 24 * time.Hour
	q := accounting.ReplayQuery{CallFilter: accounting.CallFilter{
		Org: org, From: b.Since, To: b.Until, Team: tenancy.ID(b.Team), User: tenancy.ID(b.User), Key: tenancy.ID(b.Key), Route: b.Route,
		Provider: b.Provider, Model: b.Model, Endpoint: b.Endpoint, Tag: tagOf(b.Tag),
	}}
	if q.To.IsZero() {
		q.To = now
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-unsaid)
	}
	if !q.From.Before(q.To) {
		return q, faulty(Fault{"body.until", "is not after since"})
	}
	return q, nil
}

// compare goes through the calls twice: to find out how the targets did, and then where the calls would go.
func (s *Server) compare(ctx context.Context, q accounting.ReplayQuery, now, then *routing.Table, examples int) (*routing.Comparison, error) {
	var measured routing.Measured
	if err := s.replay(ctx, q, measured.Learn); err != nil {
		return nil, err
	}
	w := routing.NewWhatIf(now, then, &measured, examples)
	if err := s.replay(ctx, q, w.Add); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// replay calls f for every call that a query finds, in the order in which they began.
func (s *Server) replay(ctx context.Context, q accounting.ReplayQuery, f func(*routing.Recorded)) error {
	keys := s.Index()
	for {
		page, next, err := s.Calls.Replay(ctx, q)
		if err != nil {
			return err
		}
		for i := range page {
			f(recorded(&page[i], keys))
		}
		if next == (accounting.CallCursor{}) {
			return nil
		}
		q.After = next
	}
}

// recorded is a call as routing plans it again. A key that opens nothing any more is taken for one that could use everything.
func recorded(r *accounting.Record, keys *tenancy.KeyIndex) *routing.Recorded {
	c := &routing.Recorded{
		ID: string(r.ID), Begun: r.Begun, Endpoint: r.Endpoint, Stream: r.Stream, Agent: r.Agent, Cached: r.Cache == "hit" || r.Cache == "replay",
	}
	var err error
	if c.Who, err = keys.Resolve(r.Who, r.Begun); err != nil {
		c.Who = &tenancy.Principal{Identity: r.Who}
	}
	if c.Decision, err = routing.ReadDecision(r.Decision); err != nil {
		c.Decision = nil // there is none, or a newer version has written it
	}
	for _, t := range r.Tags {
		c.Tags = append(c.Tags, []byte(t.Key+"="+t.Value))
	}
	for i := range r.Attempts {
		a := &r.Attempts[i]
		c.Tries = append(c.Tries, routing.Tried{
			Provider: a.Provider, Model: a.Model, Class: a.Class, FirstByte: a.FirstByte, Total: a.Total, Usage: a.Usage, Cost: a.Cost, Priced: a.Unpriced == "",
		})
	}
	return c
}
