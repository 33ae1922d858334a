package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/tenancy"
)

// Costs is what was spent, how fast, on what, and what that comes to.
type Costs struct {
	Organization *Named      `json:"organization" doc:"Whose costs; null: everybody's."`
	Now          time.Time   `json:"now" doc:"As of this moment."`
	Timezone     string      `json:"timezone" doc:"Where days, weeks and months begin at midnight."`
	Today        SpentSince  `json:"today"`
	Week         SpentSince  `json:"week" doc:"Since Monday."`
	Month        SpentSince  `json:"month"`
	LastMonth    Spent       `json:"last_month" doc:"The whole of it."`
	BurnRate     BurnRate    `json:"burn_rate"`
	Projection   Projection  `json:"projection"`
	Unpriced     float64     `json:"unpriced_percent" doc:"Of a hundred calls of this month, those that may have cost more than is known."`
	Estimated    float64     `json:"estimated_percent" doc:"Likewise, those of which part of the usage was counted here."`
	Models       []CostShare `json:"models" nullable:"false" doc:"The ten models that cost most this month, with their providers."`
	Keys         []CostShare `json:"keys" nullable:"false" doc:"The ten keys."`
	Providers    []CostShare `json:"providers" nullable:"false" doc:"The ten providers."`
	Orgs         []CostShare `json:"organizations" nullable:"false" doc:"The hundred organizations, if nobody is named and everybody's costs are shown."`
}

// Spent is the sums of a stretch of time.
type Spent struct {
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Cost     string    `json:"cost_usd" doc:"Dollars as a decimal." example:"12.5"`
	Calls    int64     `json:"calls"`
	Failed   int64     `json:"failed" doc:"Of the calls, those that the provider or Vel failed."`
	Unpriced int64     `json:"unpriced" doc:"Of the calls, those that may have cost more than is known."`
}

// SpentSince is the sums of a period as far as it has come, beside the one before.
type SpentSince struct {
	Spent
	Hours  string   `json:"whole_hours_usd" doc:"Of the cost, that of the hours that are over."`
	Before string   `json:"before_usd" doc:"What as many hours of the period before cost, from its beginning on."`
	Change *float64 `json:"change_percent" doc:"By how much whole_hours_usd is more than before_usd; null: nothing was spent then."`
}

// BurnRate is how fast money is spent.
type BurnRate struct {
	Hour string `json:"per_hour_usd" doc:"The mean of the last 24 hours that are over."`
	Day  string `json:"per_day_usd" doc:"The mean of the last seven times 24 hours."`
}

// Projection is what the month comes to.
type Projection struct {
	MonthEnd string    `json:"month_end_usd" doc:"What the month will have cost."`
	At       time.Time `json:"month_end" doc:"When it ends."`
	Method   string    `json:"method" doc:"How it is computed."`
}

const projected = "what was spent this month, and for the rest of it the mean of the last seven times 24 hours; the newest weighs 7, the oldest 1, and those before the first call do not count"

// CostShare is what one of several cost.
type CostShare struct {
	ID    string  `json:"id" doc:"Of a model, its provider and the provider's name of it, with a slash between; empty: of calls that nobody was asked for."`
	Name  *string `json:"name" doc:"As it is called now; null: it is gone, or nobody said whose it is."`
	Cost  string  `json:"cost_usd"`
	Share float64 `json:"percent" doc:"Of what this month cost."`
	Calls int64   `json:"calls"`
}

type costsInput struct {
	Asked
	InEveryOrganization
	Timezone string `query:"timezone" maxLength:"64" default:"UTC" doc:"Where days, weeks and months begin at midnight: a name of the IANA database." example:"Europe/Berlin"`
}

type costsOutput struct{ Body Costs }

func (s *Server) serveCosts() {
	add(s, huma.Operation{
		OperationID: "get-costs", Method: http.MethodGet, Path: "/api/costs/summary", Tags: []string{"Calls"}, Summary: "Summarize costs",
		Description: "What was spent today, this week and this month beside the same stretch of the period before, how fast, on what, and what the month comes to.",
	}, s.costs, http.StatusNotFound)
}

func (s *Server) costs(ctx context.Context, in *costsInput) (*costsOutput, error) {
	org, err := in.whose(in.ask)
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(in.Timezone)
	if err != nil || in.Timezone == "Local" {
		return nil, faulty(Fault{"query.timezone", "is no time zone; send a name of the IANA database such as Europe/Berlin"})
	}
	cal := accounting.NewCalendar(in.ask.now, zone)
	sums, err := s.sumsOf(ctx, org, &cal)
	if err != nil {
		return nil, err
	}
	sum, err := cal.Summarize(sums)
	if err != nil {
		return nil, err
	}
	names := s.namer(ctx)
	out := &costsOutput{viewCosts(&cal, &sum)}
	out.Body.Organization, out.Body.Timezone = names.org(org), in.Timezone
	return out, s.shares(ctx, org, &sum.Month, names, &out.Body)
}

// sumsOf are the sums of a calendar's spans. One that is empty is not asked for.
func (s *Server) sumsOf(ctx context.Context, org tenancy.ID, cal *accounting.Calendar) (sums []accounting.UsageRow, err error) {
	for _, span := range cal.Spans() {
		var sum accounting.UsageRow
		if span.From.Before(span.To) {
			rows, err := s.Calls.Usage(ctx, accounting.UsageQuery{Org: org, From: span.From, To: span.To, Limit: 1, Plain: true})
			if err != nil {
				return nil, err
			}
			if len(rows) > 0 {
				sum = rows[0]
			}
		}
		sums = append(sums, sum)
	}
	return sums, nil
}

func viewCosts(cal *accounting.Calendar, sum *accounting.Summary) Costs {
	return Costs{
		Now: cal.Now, Today: viewPeriod(&sum.Today), Week: viewPeriod(&sum.Week), Month: viewPeriod(&sum.Month), LastMonth: viewSpent(&sum.LastMonth),
		BurnRate: BurnRate{sum.PerHour.String(), sum.PerDay.String()}, Projection: Projection{sum.MonthEnd.String(), cal.MonthEnd, projected},
		Unpriced: percent(accounting.Thousandths(sum.Month.Unpriced, sum.Month.Calls)), Estimated: percent(accounting.Thousandths(sum.Month.Estimated, sum.Month.Calls)),
	}
}

func percent(thousandths int64) float64 { return float64(thousandths) / 10 }

func viewSpent(s *accounting.Spent) Spent {
	return Spent{s.From, s.To, s.Cost.String(), s.Calls, s.Failed, s.Unpriced}
}

func viewPeriod(p *accounting.Period) SpentSince {
	v := SpentSince{Spent: viewSpent(&p.Spent), Hours: p.Hours.String(), Before: p.Before.String()}
	if change, known := p.Change(); known {
		more := percent(change)
		v.Change = &more
	}
	return v
}

// shares finds out on what the month's money was spent.
func (s *Server) shares(ctx context.Context, org tenancy.ID, month *accounting.Period, names *namer, into *Costs) error {
	for _, of := range []struct {
		by    []accounting.Dimension
		limit int
		into  *[]CostShare
		name  func(group []string) *Named
	}{
		{[]accounting.Dimension{accounting.ByModel}, 10, &into.Models, nil},
		{[]accounting.Dimension{accounting.ByKey, accounting.ByOrg}, 10, &into.Keys, func(group []string) *Named { return names.key(tenancy.ID(group[1]), tenancy.ID(group[0])) }},
		{[]accounting.Dimension{accounting.ByProvider}, 10, &into.Providers, nil},
		{[]accounting.Dimension{accounting.ByOrg}, 100, &into.Orgs, func(group []string) *Named { return names.org(tenancy.ID(group[0])) }},
	} {
		*of.into = []CostShare{}
		if of.into == &into.Orgs && org != "" {
			continue
		}
		rows, err := s.Calls.Usage(ctx, accounting.UsageQuery{Org: org, From: month.From, To: month.To, By: of.by, Limit: of.limit, Plain: true})
		if err != nil {
			return err
		}
		for i := range rows {
			r := &rows[i]
			share := CostShare{ID: r.Group[0], Cost: r.Cost.String(), Share: percent(accounting.Thousandths(int64(r.Cost), int64(month.Cost))), Calls: r.Calls}
			if of.into == &into.Models {
				share.ID = modelOf(share.ID)
			}
			if of.name != nil {
				if n := of.name(r.Group); n != nil {
					share.Name = n.Name
				}
			}
			*of.into = append(*of.into, share)
		}
	}
	return names.err
}
