package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// CallStore reads what is kept of calls. Without an organization it reads those of all.
type CallStore interface {
	// Calls gives a page of calls, the newest first. What is only shown of one call alone may be left out.
	Calls(ctx context.Context, q accounting.CallQuery) ([]accounting.Record, error)
	// Call finds one. The error is tenancy.ErrNotFound.
	Call(ctx context.Context, org, id tenancy.ID) (accounting.Record, error)
	// CountCalls tells how many calls a filter finds.
	CountCalls(ctx context.Context, f accounting.CallFilter) (int64, error)
	// Replay gives a page of calls with their attempts and decisions, the oldest first, and where the next one begins; zero:
	// there is none.
	Replay(ctx context.Context, q accounting.ReplayQuery) ([]accounting.Record, accounting.CallCursor, error)
	// Usage sums what calls used.
	Usage(ctx context.Context, q accounting.UsageQuery) ([]accounting.UsageRow, error)
}

// CallLine is what a list shows of a call.
type CallLine struct {
	ID           tenancy.ID        `json:"id" doc:"As in x-request-id of the answer."`
	Organization tenancy.ID        `json:"organization" doc:"Whose call it is."`
	Begun        time.Time         `json:"begun"`
	State        string            `json:"state" enum:"begun,ended,interrupted" doc:"begun: nothing is known yet of its end. interrupted: the process ended before the call did, and what it used is an estimate."`
	Team         *Named            `json:"team"`
	User         *Named            `json:"user"`
	Key          *Named            `json:"key" doc:"The key that it was made with."`
	Route        string            `json:"route" doc:"The model whose targets were asked: the one that was asked for, or where a rule of it led."`
	Provider     string            `json:"provider" doc:"Who answered, or was asked last; empty: nobody."`
	Model        string            `json:"model" doc:"The provider's name of the model."`
	Endpoint     string            `json:"endpoint" example:"chat/completions"`
	Stream       bool              `json:"stream"`
	Status       int               `json:"status" doc:"What the client saw."`
	Class        string            `json:"class" doc:"How it ended: none, or the class of the failure as in the log."`
	Error        *string           `json:"error" doc:"What the client was told."`
	Waiting      float64           `json:"waiting_ms" doc:"Between attempts, and for a place."`
	FirstToken   *float64          `json:"first_token_ms" doc:"From the request to the first byte of the answer's body; null: there was none."`
	Total        float64           `json:"total_ms" doc:"From the request to the end of the answer."`
	Usage        Units             `json:"usage" doc:"Of all attempts that were executed."`
	TokensIn     int64             `json:"tokens_in"`
	TokensOut    int64             `json:"tokens_out"`
	Estimated    bool              `json:"estimated" doc:"Part of the usage was counted here, because the provider did not tell it."`
	Cost         string            `json:"cost_usd" doc:"Dollars as a decimal; if unpriced is set, at least so many." example:"0.0000575"`
	Unpriced     *string           `json:"unpriced" doc:"Why it may have cost more, no_price or no_usage; null: it is known as a whole."`
	Tags         map[string]string `json:"tags" nullable:"false" doc:"What the client sent in x-vel-tags."`
	Task         *tenancy.ID       `json:"task" doc:"What it was made for; null: a client's own."`
	Run          *tenancy.ID       `json:"run"`
	Saved        string            `json:"saved_usd" doc:"What the answer had cost that the cache gave again; 0: it did not."`
	Cache        *string           `json:"cache" doc:"hit or miss; replay: it repeats a call with the same Idempotency-Key; null: none of these."`
}

// Call is all that is shown of one.
type Call struct {
	CallLine
	Attempts []Attempt `json:"attempts" nullable:"false" doc:"Every try, in order."`
	Estimate string    `json:"estimate_usd" doc:"What it was taken to cost when it began."`
	Dropped  []string  `json:"dropped" nullable:"false" doc:"Members of the request that the provider does not know and did not get."`
	Agent    *string   `json:"agent" doc:"The client's User-Agent."`
	Content  *Content  `json:"content" doc:"What was said, if it was asked for; null: it was not, or nothing is kept."`
	Mirror   *Mirror   `json:"mirror" doc:"The call that this one is a copy of, and how the two compare; null: it is no copy."`
	Kept     bool      `json:"has_content" doc:"The prompt or the answer is kept: ask with content=true."`
}

// Attempt is one try at one provider.
type Attempt struct {
	Provider  string   `json:"provider"`
	Model     string   `json:"model" doc:"The provider's name of it."`
	Began     float64  `json:"began_ms" doc:"After the call."`
	FirstByte *float64 `json:"first_byte_ms" doc:"After the attempt began; null: nothing came."`
	Total     float64  `json:"total_ms"`
	Class     string   `json:"class" doc:"How it ended: none, or the class of the failure as in the log."`
	Status    *int     `json:"status" doc:"The provider's; null: it did not answer."`
	Executed  bool     `json:"executed" doc:"The provider did work for it, as far as is known, and is paid."`
	Usage     Units    `json:"usage"`
	Estimated bool     `json:"estimated"`
	Cost      string   `json:"cost_usd"`
	Unpriced  *string  `json:"unpriced" doc:"As of the call."`
	Price     *string  `json:"price" doc:"Which price it was."`
}

// CallFilter narrows calls.
type CallFilter struct {
	InEveryOrganization
	From     time.Time `query:"from" doc:"Only calls that began at this time or after it, as 2027-01-31T00:00:00Z."`
	To       time.Time `query:"to" doc:"Only calls that began before this time."`
	Team     Ref       `query:"team" doc:"Only those of this team."`
	User     Ref       `query:"user" doc:"Only those of this user."`
	Key      Ref       `query:"key" doc:"Only those made with this key."`
	Route    string    `query:"route" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those that went by the targets of this model."`
	Provider string    `query:"provider" maxLength:"64" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those that this provider answered, or was asked last."`
	Model    string    `query:"model" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those that went to the model of this name, which is the provider's."`
	Endpoint string    `query:"endpoint" maxLength:"64" pattern:"^[a-z_]+(/[a-z_]+)?$" doc:"Only those to this path below /v1." example:"chat/completions"`
	Tag      string    `query:"tag" maxLength:"256" pattern:"^[^\\x00-\\x1f:=]+([:=][^\\x00-\\x1f]*)?$" doc:"Only those with this tag: a key, or a key and a value." example:"feature:search"`
	Class    string    `query:"class" maxLength:"32" pattern:"^[a-z_]+$" doc:"Only those that ended like this: none, or the class of the failure as in the log." example:"timeout"`
	Failed   bool      `query:"failed" doc:"Only those that did not end well."`
	Unpriced bool      `query:"unpriced" doc:"Only those of which the cost is not known as a whole."`
	Text     string    `query:"q" maxLength:"200" pattern:"^[^\\x00-\\x1f]*$" doc:"Only those with this text in a tag or in the error."`
}

// Resolve is called by huma when the query has been read.
func (f *CallFilter) Resolve(huma.Context) []error { return inOrder(f.From, f.To) }

// inOrder refuses two times of which the first is not before the second.
func inOrder(from, to time.Time) []error {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return []error{&huma.ErrorDetail{Location: "query.to", Message: "is not after from"}}
	}
	return nil
}

func (f *CallFilter) query(org tenancy.ID, limit int) accounting.CallQuery {
	return accounting.CallQuery{
		CallFilter: accounting.CallFilter{
			Org: org, From: f.From, To: f.To, Team: tenancy.ID(f.Team), User: tenancy.ID(f.User), Key: tenancy.ID(f.Key), Route: f.Route,
			Provider: f.Provider, Model: f.Model, Endpoint: f.Endpoint, Tag: tagOf(f.Tag), Class: f.Class, Failed: f.Failed, Unpriced: f.Unpriced, Text: f.Text,
		},
		Limit: limit,
	}
}

// tagOf reads a key, or a key and a value with a colon or an equals sign between.
func tagOf(text string) accounting.Tag {
	at := strings.IndexAny(text, ":=")
	if at < 0 {
		return accounting.Tag{Key: text}
	}
	return accounting.Tag{Key: text[:at], Value: text[at+1:]}
}

// InEveryOrganization names the organization; platform administrators need not.
type InEveryOrganization struct {
	Organization Ref `query:"organization" doc:"Whose calls; your own if it is not named, and those of all if you are a platform administrator."`
}

// whose decides whose calls a request is about; empty: everybody's. An organization that was deleted still has some.
func (i *InEveryOrganization) whose(a *asking) (tenancy.ID, error) {
	if i.Organization == "" && a.by.OfPlatform() {
		return "", nil
	}
	return logOf(a, i.Organization)
}

type (
	callsInput struct {
		Asked
		CallFilter
		Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The most calls on the page."`
		After string `query:"after" maxLength:"200" pattern:"^[0-9]+\\.[A-Za-z0-9_]+$" doc:"The value of next on the page before."`
	}
	callsOutput struct {
		Body struct {
			Data []CallLine `json:"data" nullable:"false" doc:"The newest first."`
			Next *string    `json:"next" doc:"Send it as after to get the next page; null: this is the last one."`
		}
	}
	callInput struct {
		Asked
		InEveryOrganization
		ID      Ref  `path:"id" doc:"The call's id, as in x-request-id of its answer."`
		Content bool `query:"content" doc:"Show the prompt and the answer, if they are kept. It needs the permission view_content, and is written into the audit log."`
	}
	callOutput struct{ Body Call }
)

func (s *Server) serveCalls() {
	op := func(id, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"Calls"}, Summary: summary, Description: description}
	}
	add(s, op("list-calls", "/api/calls", "List calls", "A call can be read within a second or two of its end."), s.listCalls, http.StatusNotFound)
	add(s, op("get-call", "/api/calls/{id}", "Get call", "With every attempt, and what was said if it is kept and asked for."), s.getCall, http.StatusNotFound)
	export := op("export-calls", "/api/calls/export", "Export calls", "All that the filters find, the newest first, as lines of JSON or as CSV.")
	add(s, export, s.exportCalls, http.StatusNotFound)
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	s.api.OpenAPI().Paths["/api/calls/export"].Get.Responses["200"] = &huma.Response{
		Description: "The calls.", Content: map[string]*huma.MediaType{"application/x-ndjson": text, "text/csv": text},
	}
}

func (s *Server) listCalls(ctx context.Context, in *callsInput) (*callsOutput, error) {
	org, err := in.whose(in.ask)
	if err != nil {
		return nil, err
	}
	q := in.query(org, in.Limit+1)
	q.Before.Begun, q.Before.ID = cursorOf(in.After)
	found, err := s.Calls.Calls(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &callsOutput{}
	found, out.Body.Next = upTo(found, in.Limit, func(r *accounting.Record) (time.Time, tenancy.ID) { return r.Begun, r.ID })
	out.Body.Data = make([]CallLine, 0, len(found))
	names := s.namer(ctx)
	for i := range found {
		out.Body.Data = append(out.Body.Data, viewLine(&found[i], names))
	}
	return out, names.err
}

func (s *Server) getCall(ctx context.Context, in *callInput) (*callOutput, error) {
	org, err := in.whose(in.ask)
	if err != nil {
		return nil, err
	}
	r, err := s.Calls.Call(ctx, org, tenancy.ID(in.ID))
	if err != nil {
		return nil, err
	}
	names := s.namer(ctx)
	out := &callOutput{viewCall(&r, names)}
	if names.err != nil {
		return nil, names.err
	}
	if in.Content {
		out.Body.Content, err = s.readContent(ctx, in.ask, &r, s.Keyring)
	}
	return out, err
}
