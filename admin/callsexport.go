package admin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/accounting"
)

// callsExportInput is which calls are exported, and how.
type callsExportInput struct {
	Asked
	CallFilter
	Format string `query:"format" enum:"ndjson,csv" default:"ndjson" doc:"Lines of JSON, each a call as the list has it, or CSV."`
}

func (s *Server) exportCalls(ctx context.Context, in *callsExportInput) (*huma.StreamResponse, error) {
	org, err := in.whose(in.ask)
	if err != nil {
		return nil, err
	}
	first, err := s.Calls.Calls(ctx, in.query(org, exportPage)) // as long as nothing was written, a fault can be told
	if err != nil {
		return nil, err
	}
	media, write := "application/x-ndjson", writeCallLines
	if in.Format == "csv" {
		media, write = "text/csv; charset=utf-8", writeCallRows
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", media)
		hc.SetHeader("Content-Disposition", `attachment; filename="calls.`+in.Format+`"`)
		hc.SetStatus(http.StatusOK)
		names := s.namer(ctx)
		each := func(f func(line *CallLine) error) error {
			return s.eachCall(ctx, in.query(org, exportPage), first, names, f)
		}
		if err := write(each, hc.BodyWriter()); err != nil {
			s.brokeOff(in.ask, err)
		}
	}}, nil
}

// eachCall calls f for every call that a query finds; page is the first of them.
func (s *Server) eachCall(ctx context.Context, q accounting.CallQuery, page []accounting.Record, names *namer, f func(line *CallLine) error) (err error) {
	for {
		for i := range page {
			line := viewLine(&page[i], names)
			if names.err != nil {
				return names.err
			}
			if err := f(&line); err != nil {
				return err
			}
		}
		if len(page) < q.Limit {
			return nil
		}
		last := &page[len(page)-1]
		q.Before = accounting.CallCursor{Begun: last.Begun, ID: last.ID}
		if page, err = s.Calls.Calls(ctx, q); err != nil {
			return err
		}
	}
}

type eachCall func(f func(line *CallLine) error) error

func writeCallLines(each eachCall, w io.Writer) error {
	out := json.NewEncoder(w)
	return each(func(line *CallLine) error { return out.Encode(line) })
}

// writeCallRows writes a CSV of calls.
func writeCallRows(each eachCall, w io.Writer) error {
	out := csv.NewWriter(w)
	err := out.Write([]string{
		"begun", "organization", "id", "state", "team", "team_name", "user", "user_name", "key", "key_name", "route", "provider", "model", "endpoint", "stream",
		"status", "class", "error", "waiting_ms", "first_token_ms", "total_ms", "tokens_in", "tokens_out", "estimated", "cost_usd", "unpriced", "tags", "saved_usd",
	})
	if err != nil {
		return err
	}
	err = each(func(v *CallLine) error {
		return out.Write(noFormulas(slices.Concat(
			[]string{v.Begun.Format(time.RFC3339Nano), string(v.Organization), string(v.ID), v.State}, v.Team.cells(), v.User.cells(), v.Key.cells(),
			[]string{
				v.Route, v.Provider, v.Model, v.Endpoint, strconv.FormatBool(v.Stream), strconv.Itoa(v.Status), v.Class, orEmpty(v.Error),
				number(&v.Waiting), number(v.FirstToken), number(&v.Total), strconv.FormatInt(v.TokensIn, 10), strconv.FormatInt(v.TokensOut, 10),
				strconv.FormatBool(v.Estimated), v.Cost, orEmpty(v.Unpriced), tagsText(v.Tags), v.Saved,
			},
		)))
	})
	out.Flush()
	if err != nil {
		return err
	}
	return out.Error()
}

// cells are the id and the name in a row.
func (n *Named) cells() []string {
	if n == nil {
		return []string{"", ""}
	}
	return []string{string(n.ID), orEmpty(n.Name)}
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func number(f *float64) string {
	if f == nil {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}

// tagsText are tags in one cell, in the order of their keys.
func tagsText(tags map[string]string) string {
	var all []string
	for key, value := range tags {
		all = append(all, key+"="+value)
	}
	slices.Sort(all)
	return strings.Join(all, ";")
}

// noFormulas keeps a spreadsheet from computing what somebody has put into a name.
func noFormulas(cells []string) []string {
	for i := range cells {
		cells[i] = noFormula(cells[i])
	}
	return cells
}
