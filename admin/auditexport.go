package admin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// exportInput is what of a log is exported, and how.
type exportInput struct {
	Asked
	AuditFilter
	Format string `query:"format" enum:"ndjson,csv,json" default:"ndjson" doc:"ndjson has the whole log of a time with what proves it, and takes no other filter; csv and json have the events alone."`
}

// exportPage is how many events are read at once.
const exportPage = 1000

// exporter writes what belongs to one form.
type exporter struct {
	media, extension string
	write            func(ctx context.Context, s *Server, org tenancy.ID, in *exportInput, w io.Writer) error
}

func exporters() map[string]exporter {
	return map[string]exporter{
		"ndjson": {"application/x-ndjson", "ndjson", writeProof},
		"csv":    {"text/csv; charset=utf-8", "csv", writeCSV},
		"json":   {"application/json", "json", writeJSON},
	}
}

func (s *Server) exportAudit(ctx context.Context, in *exportInput) (*huma.StreamResponse, error) {
	org, err := logOf(in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	if in.Format == "ndjson" && in.Actor+in.Action+string(in.Object)+in.Outcome != "" {
		return nil, faulty(Fault{"query.format", "ndjson has the whole log of a time: use csv or json to filter it"})
	}
	if _, err := s.Audit.AuditHeads(ctx, org, "", 1); err != nil { // as long as nothing was written, a fault can be told
		return nil, err
	}
	form := exporters()[in.Format]
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", form.media)
		hc.SetHeader("Content-Disposition", `attachment; filename="audit.`+form.extension+`"`)
		hc.SetStatus(http.StatusOK)
		if err := form.write(ctx, s, org, in, hc.BodyWriter()); err != nil {
			s.brokeOff(in.ask, err)
		}
	}}, nil
}

// writeProof writes the log with all that proves it.
func writeProof(ctx context.Context, s *Server, org tenancy.ID, in *exportInput, w io.Writer) error {
	signer := chain.NewSigner(s.Keyring.SigningKey())
	return s.Audit.ExportAudit(ctx, org, in.From, in.To, chain.NewWriter(w, signer, org, in.From, in.To, s.Now(), "vel/"+s.Version))
}

// each calls f for every event that the filters find.
func (s *Server) each(ctx context.Context, org tenancy.ID, in *exportInput, f func(e *tenancy.AuditEvent) error) error {
	for q := in.query(org, exportPage); ; {
		found, err := s.Audit.Audit(ctx, q)
		if err != nil {
			return err
		}
		for i := range found {
			if err := f(&found[i]); err != nil {
				return err
			}
		}
		if len(found) < exportPage {
			return nil
		}
		last := &found[exportPage-1]
		q.Before = tenancy.AuditCursor{Time: last.Time, ID: last.ID}
	}
}

func writeJSON(ctx context.Context, s *Server, org tenancy.ID, in *exportInput, w io.Writer) error {
	before := "["
	err := s.each(ctx, org, in, func(e *tenancy.AuditEvent) error {
		text, err := json.Marshal(viewEvent(e))
		if err != nil {
			return err
		}
		_, err = w.Write(append([]byte(before+"\n"), text...))
		before = ","
		return err
	})
	if err != nil {
		return err
	}
	if before == "[" {
		before = "[\n"
	} else {
		before = "\n"
	}
	_, err = io.WriteString(w, before+"]\n")
	return err
}

// csvColumns are the columns of a CSV, and what stands in them.
func csvColumns() (names []string, row func(e *tenancy.AuditEvent) []string) {
	names = []string{
		"time", "organization", "id", "action", "outcome", "reason", "count", "actor_organization", "user", "key", "session", "name", "email", "address",
		"agent", "request", "object_kind", "object_id", "object_name", "before", "after", "seal",
	}
	return names, func(e *tenancy.AuditEvent) []string {
		return []string{
			e.Time.UTC().Format(time.RFC3339Nano), string(e.Org), string(e.ID), e.Action, e.Outcome, e.Reason, strconv.FormatInt(e.Count, 10),
			string(e.By.Org), string(e.By.User), string(e.By.Key), string(e.By.Session), e.By.Name, e.By.Email, e.By.Address, e.By.Agent, string(e.By.Request),
			e.Object.Kind, string(e.Object.ID), e.Object.Name, e.Before, e.After, strconv.FormatInt(e.Sealed.Seal, 10),
		}
	}
}

func writeCSV(ctx context.Context, s *Server, org tenancy.ID, in *exportInput, w io.Writer) error {
	names, row := csvColumns()
	out := csv.NewWriter(w)
	if err := out.Write(names); err != nil {
		return err
	}
	err := s.each(ctx, org, in, func(e *tenancy.AuditEvent) error {
		return out.Write(noFormulas(row(e)))
	})
	out.Flush()
	if err != nil {
		return err
	}
	return out.Error()
}

// noFormula keeps a spreadsheet from computing what somebody has put into a name.
func noFormula(cell string) string {
	if strings.IndexAny(cell, "=+-@") == 0 {
		return "'" + cell
	}
	return cell
}
