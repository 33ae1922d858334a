package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// ledgerCmd is about what was spent.
type ledgerCmd struct {
	Verify ledgerVerifyCmd `cmd:"" help:"Prove that budgets were kept to, or name those that were not."`
	Repair ledgerRepairCmd `cmd:"" help:"Lower what is counted to what the ledger says."`
}

// Help shows how it is used.
func (ledgerCmd) Help() string {
	return `The ledger says what each call cost each of its budgets. In every window what was settled and what is held is at most the
budget and the listed overruns: docs/limits.md says how it is kept.

Example:
  vel ledger verify
  vel ledger verify --org org_… --since 2027-01-01T00:00:00Z
  vel ledger repair`
}

type ledgerVerifyCmd struct {
	manage
	within
	Since string `placeholder:"TIME" help:"Windows from this time on: 2027-01-31T00:00:00Z, or how long ago, as 36h or 30d; 62 days ago, if it is not said."`
}

// ledgerReport is what a server says of its ledger.
type ledgerReport struct {
	OK         bool           `json:"ok"`
	Since      time.Time      `json:"since"`
	Checked    int            `json:"checked"`
	Violations []ledgerWindow `json:"violations"`
	Overruns   []ledgerWindow `json:"overruns"`
}

type ledgerWindow struct {
	Organization string     `json:"organization"`
	Budget       string     `json:"budget"`
	Name         string     `json:"name"`
	From         *time.Time `json:"from"`
	Max          string     `json:"usd"`
	Settled      string     `json:"settled_usd"`
	Held         string     `json:"held_usd"`
	Overrun      string     `json:"overrun_usd"`
	Problem      string     `json:"problem"`
}

func (w *ledgerWindow) line(word string) string {
	from := "for ever"
	if w.From != nil {
		from = "from " + w.From.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%-8s%s (%s) of %s %s: settled %s + held %s, budget %s + overruns %s\n",
		word, w.Budget, w.Name, w.Organization, from, w.Settled, w.Held, w.Max, w.Overrun)
}

func (c *ledgerVerifyCmd) Run(ctx context.Context, o *output) error {
	query := (&kind{org: c.Org}).scope()
	if c.Since != "" {
		since, ok := pointInTime(c.Since, time.Now())
		if !ok {
			return fmt.Errorf("--since %s is neither a time such as 2027-01-31T00:00:00Z nor a duration such as 36h or 30d", c.Since)
		}
		query.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	return c.with(ctx, o, func(r *remote) error {
		var text json.RawMessage
		if err := r.call(ctx, http.MethodGet, "/api/ledger/verify", query, "", nil, &text); err != nil {
			return err
		}
		var report ledgerReport
		if err := json.Unmarshal(text, &report); err != nil {
			return fmt.Errorf("read the report: %w", err)
		}
		if err := o.print(text, report.text()); err != nil || report.OK {
			return err
		}
		return errReported
	})
}

// text is a report for people.
func (r *ledgerReport) text() string {
	var b bytes.Buffer
	for i := range r.Violations {
		b.WriteString(r.Violations[i].line("BROKEN"))
		b.WriteString("        " + r.Violations[i].Problem + "\n")
	}
	for i := range r.Overruns {
		b.WriteString(r.Overruns[i].line("overrun"))
	}
	word := "ok"
	if !r.OK {
		word = "BROKEN"
	}
	fmt.Fprintf(&b, "%-8swindows %d since %s, overruns in %d, violations %d\n", word, r.Checked, r.Since.UTC().Format(time.RFC3339), len(r.Overruns), len(r.Violations))
	return b.String()
}

type ledgerRepairCmd struct {
	manage
	within
}

func (c *ledgerRepairCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		var v struct {
			Lowered int `json:"lowered"`
		}
		if err := r.call(ctx, http.MethodPost, "/api/ledger/repair", (&kind{org: c.Org}).scope(), "", nil, &v); err != nil {
			return err
		}
		return o.print(v, fmt.Sprintf("budgets that were counted too high: %d\n", v.Lowered))
	})
}
