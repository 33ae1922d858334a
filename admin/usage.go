package admin

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// UsageFilter says what usage is asked for.
type UsageFilter struct {
	InEveryOrganization
	From     time.Time `query:"from" doc:"From this time on, as 2027-01-31T00:00:00Z; 30 days ago if it is not said, a day for minutes, a year for months. It is put back to the beginning of its span."`
	To       time.Time `query:"to" doc:"Before this time; now if it is not said."`
	By       []string  `query:"by" maxItems:"8" doc:"What it is told apart by, several with commas between: organization, team, user, key, route, provider, model, and one tag as tag:NAME." example:"key,model"`
	Per      string    `query:"per" enum:"none,minute,hour,day,month" default:"none" doc:"How long the spans are; hours, days and months are those of UTC."`
	Team     Ref       `query:"team" doc:"Only what this team used."`
	User     Ref       `query:"user" doc:"Only what this user used."`
	Key      Ref       `query:"key" doc:"Only what this key used."`
	Route    string    `query:"route" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only what asked for this model."`
	Provider string    `query:"provider" maxLength:"64" pattern:"^[^\\x00-\\x1f]*$" doc:"Only what this provider was asked for."`
	Model    string    `query:"model" maxLength:"256" pattern:"^[^\\x00-\\x1f]*$" doc:"Only what went to the model of this name, which is the provider's."`
	Tag      string    `query:"tag" maxLength:"256" pattern:"^[^\\x00-\\x1f:=]+[:=][^\\x00-\\x1f]+$" doc:"Only what has this tag; no other one can be asked by then." example:"feature:search"`
	Limit    int       `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"The most rows. What cost most comes first in each span."`

	by []accounting.Dimension
}

// usageInput asks what was used.
type usageInput struct {
	Asked
	UsageFilter
	Format string `query:"format" enum:"json,csv" doc:"csv: the same as CSV, as with Accept: text/csv."`
}

// Usage is the answer.
type Usage struct {
	From time.Time  `json:"from" doc:"The time that is summed begins here."`
	To   time.Time  `json:"to" doc:"And ends here."`
	Data []UsageRow `json:"data" nullable:"false" doc:"In the order of time, and then what cost most first."`
	More bool       `json:"more" doc:"There are more rows than the limit."`
}

// grain is how usage is summed over time.
type grain struct {
	is      accounting.Grain
	usual   time.Duration // how far back it goes unless said
	longest time.Duration
	in      string // longest for people
	begin   func(time.Time) time.Time
}

const aDay = 24 * time.Hour

func grains() map[string]grain {
	whole := func(d time.Duration) func(time.Time) time.Time {
		return func(t time.Time) time.Time { return t.Truncate(d) }
	}
	month := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }
	return map[string]grain{
		"none":   {is: accounting.Whole, usual: 30 * aDay, longest: 1100 * aDay, in: "1100 days", begin: whole(time.Minute)},
		"minute": {is: accounting.Minutes, usual: aDay, longest: 2 * aDay, in: "two days", begin: whole(time.Minute)},
		"hour":   {is: accounting.Hours, usual: 30 * aDay, longest: 93 * aDay, in: "93 days", begin: whole(time.Hour)},
		"day":    {is: accounting.Days, usual: 30 * aDay, longest: 1100 * aDay, in: "1100 days", begin: whole(aDay)},
		"month":  {is: accounting.Months, usual: 365 * aDay, longest: 1100 * aDay, in: "1100 days", begin: month},
	}
}

var tagDimension = regexp.MustCompile(`^tag:[^\x00-\x1f:=]{1,128}$`)

// Resolve is called by huma when the query has been read.
func (in *UsageFilter) Resolve(huma.Context) (faults []error) {
	fault := func(location, problem string) {
		faults = append(faults, &huma.ErrorDetail{Location: location, Message: problem})
	}
	tags := 0
	for i, word := range in.By {
		at := fmt.Sprintf("query.by[%d]", i)
		switch d := accounting.Dimension(word); {
		case slices.Contains(in.by, d):
			fault(at, "is there twice")
		case tagDimension.MatchString(word):
			if tags++; tags > 1 {
				fault(at, "is a second tag; usage is told apart by one")
			}
			if in.Tag != "" && word != "tag:"+tagOf(in.Tag).Key {
				fault(at, "is another tag than the one that is asked for")
			}
			in.by = append(in.by, d)
		case slices.Contains(dimensions(), d):
			in.by = append(in.by, d)
		default:
			fault(at, "is not organization, team, user, key, route, provider, model or tag:NAME")
		}
	}
	return append(faults, inOrder(in.From, in.To)...)
}

func dimensions() []accounting.Dimension {
	return []accounting.Dimension{
		accounting.ByOrg, accounting.ByTeam, accounting.ByUser, accounting.ByKey, accounting.ByRoute, accounting.ByProvider, accounting.ByModel,
	}
}

// over is the time that is asked for, in whole spans at its beginning and whole minutes at its end.
func (in *UsageFilter) over(now time.Time) (from, to time.Time, err error) {
	g := grains()[in.Per]
	from, to = in.From.UTC(), in.To.UTC()
	if in.To.IsZero() {
		to = now.UTC()
	}
	if in.From.IsZero() {
		from = to.Add(-g.usual)
	}
	if !from.Before(to) {
		return from, to, faulty(Fault{"query.from", "is not in the past"})
	}
	from = g.begin(from)
	if end := to.Truncate(time.Minute); !end.Equal(to) {
		to = end.Add(time.Minute)
	}
	if to.Sub(from) > g.longest {
		return from, to, faulty(Fault{"query.from", "is too far from the end: with per=" + in.Per + " it may be " + g.in})
	}
	return from, to, nil
}

func (s *Server) serveUsage() {
	op := huma.Operation{
		OperationID: "get-usage", Method: http.MethodGet, Path: "/api/usage", Tags: []string{"Calls"}, Summary: "Sum what was used",
		Description: "By organization, team, user, key, route, provider, model or tag, and by minute, hour, day or month; exact to the last call that is stored.",
	}
	add(s, op, s.usage, http.StatusNotFound)
	registry := s.api.OpenAPI().Components.Schemas
	s.api.OpenAPI().Paths[op.Path].Get.Responses["200"] = &huma.Response{Description: "What was used.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: registry.Schema(reflect.TypeFor[Usage](), true, "")}, "text/csv": {Schema: &huma.Schema{Type: huma.TypeString}},
	}}
}

func (s *Server) usage(ctx context.Context, in *usageInput) (*huma.StreamResponse, error) {
	org, err := in.whose(in.ask)
	if err != nil {
		return nil, err
	}
	answer, err := s.sum(ctx, org, in)
	if err != nil {
		return nil, err
	}
	if in.Format == "csv" || in.Format == "" && strings.HasPrefix(in.ask.request.Header.Get("Accept"), "text/csv") {
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			hc.SetHeader("Content-Type", "text/csv; charset=utf-8")
			hc.SetHeader("Content-Disposition", `attachment; filename="usage.csv"`)
			hc.SetStatus(http.StatusOK)
			if err := writeUsage(&in.UsageFilter, answer.Data, hc.BodyWriter()); err != nil {
				s.brokeOff(in.ask, err)
			}
		}}, nil
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		hc.SetStatus(http.StatusOK)
		if err := huma.DefaultJSONFormat.Marshal(hc.BodyWriter(), answer); err != nil {
			s.brokeOff(in.ask, err)
		}
	}}, nil
}

// sum asks the store and finds names.
func (s *Server) sum(ctx context.Context, org tenancy.ID, in *usageInput) (*Usage, error) {
	from, to, err := in.over(in.ask.now)
	if err != nil {
		return nil, err
	}
	rows, err := s.Calls.Usage(ctx, accounting.UsageQuery{
		Org: org, From: from, To: to, Team: tenancy.ID(in.Team), User: tenancy.ID(in.User), Key: tenancy.ID(in.Key), Route: in.Route, Provider: in.Provider,
		Model: in.Model, Tag: tagOf(in.Tag), By: in.by, Grain: grains()[in.Per].is, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	answer := &Usage{From: from, To: to, Data: make([]UsageRow, 0, min(len(rows), in.Limit)), More: len(rows) > in.Limit}
	names := s.namer(ctx)
	for i := range rows[:min(len(rows), in.Limit)] {
		answer.Data = append(answer.Data, viewUsage(&rows[i], org, in.by, names))
	}
	return answer, names.err
}
