package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// AuditEvent is what the API shows of one.
type AuditEvent struct {
	ID           tenancy.ID      `json:"id"`
	Organization tenancy.ID      `json:"organization" doc:"In whose log it stands."`
	Time         time.Time       `json:"time"`
	Action       string          `json:"action" doc:"What was done: the kind of object and a verb, or auth. and access." example:"keys.create"`
	Outcome      string          `json:"outcome" enum:"done,refused,failed" doc:"Whether it was done, was not allowed, or failed because they are not who they say."`
	Reason       string          `json:"reason" doc:"Why not; may be empty."`
	Count        int64           `json:"count" doc:"How often. More than 1: there were so many more alike within a minute."`
	Actor        AuditActor      `json:"actor" doc:"Who did it, as they were called then."`
	Request      *tenancy.ID     `json:"request" doc:"The id of the request."`
	Object       *AuditObject    `json:"object" doc:"What it is about."`
	Before       json.RawMessage `json:"before" doc:"What was changed, as it was. Of secrets there is nothing."`
	After        json.RawMessage `json:"after" doc:"Likewise, as it is. Of secrets it says only that they changed."`
	Seal         *int64          `json:"seal" doc:"The number of the seal that proves it; null: it is younger than a second or two."`
}

// AuditActor is who did something.
type AuditActor struct {
	Organization *tenancy.ID `json:"organization" doc:"Where they belong; null: nobody knows who they are."`
	User         *tenancy.ID `json:"user"`
	Key          *tenancy.ID `json:"key"`
	Session      *tenancy.ID `json:"session"`
	Name         string      `json:"name"`
	Email        string      `json:"email"`
	Address      string      `json:"address" doc:"From where."`
	Agent        string      `json:"agent" doc:"With what: the User-Agent."`
}

// AuditObject is what an event is about.
type AuditObject struct {
	Kind string      `json:"kind" doc:"The kind of object; of what was refused, the operation."`
	ID   *tenancy.ID `json:"id"`
	Name string      `json:"name"`
}

// AuditHead is the signed end of a chain.
type AuditHead struct {
	Organization tenancy.ID `json:"organization" doc:"Whose log it is."`
	Number       int64      `json:"number" doc:"How many checkpoints are kept."`
	Time         *time.Time `json:"time" doc:"When it was signed."`
	Seal         int64      `json:"seal" doc:"The number of the last seal; 0: the chain has lost its head."`
	Hash         string     `json:"hash" doc:"Of the last seal."`
	KeptFrom     *time.Time `json:"kept_from" doc:"Since which day events are kept; null: none was removed."`
	Key          chain.Key  `json:"key" doc:"The Ed25519 public key in base64 that verifies the signature."`
	Signature    string     `json:"signature"`
}

func viewHead(c *chain.Checkpoint) AuditHead {
	return AuditHead{c.Org, c.Number, timeOf(c.Time), c.Seal, c.Hash, timeOf(c.KeptFrom), c.Key, c.Signature}
}

func viewEvent(e *tenancy.AuditEvent) AuditEvent {
	v := AuditEvent{
		ID: e.ID, Organization: e.Org, Time: e.Time.UTC(), Action: e.Action, Outcome: e.Outcome, Reason: e.Reason, Count: e.Count, Request: idOf(e.By.Request),
		Actor: AuditActor{
			Organization: idOf(e.By.Org), User: idOf(e.By.User), Key: idOf(e.By.Key), Session: idOf(e.By.Session),
			Name: e.By.Name, Email: e.By.Email, Address: e.By.Address, Agent: e.By.Agent,
		},
		Before: raw(e.Before), After: raw(e.After),
	}
	if e.Object.Kind != "" {
		v.Object = &AuditObject{e.Object.Kind, idOf(e.Object.ID), e.Object.Name}
	}
	if e.Sealed.Seal != 0 {
		v.Seal = &e.Sealed.Seal
	}
	return v
}

func raw(text string) json.RawMessage {
	if text == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(text)
}

// AuditFilter narrows the log.
type AuditFilter struct {
	InOrganization
	From    time.Time `query:"from" doc:"Only what was done at this time or after it, as 2027-01-31T00:00:00Z."`
	To      time.Time `query:"to" doc:"Only what was done before this time."`
	Actor   string    `query:"actor" maxLength:"254" pattern:"^[^\\x00-\\x1f]*$" doc:"Only by this user, key or session, or by whoever has this e-mail address."`
	Action  string    `query:"action" maxLength:"64" pattern:"^[a-z_]+(\\.[a-z_]*)?$" doc:"Only this action, or with a dot at the end all actions of a kind." example:"keys."`
	Object  Ref       `query:"object" doc:"Only about the object with this id."`
	Outcome string    `query:"outcome" enum:"done,refused,failed" doc:"Only what ended like this."`
}

func (f *AuditFilter) query(org tenancy.ID, limit int) tenancy.AuditQuery {
	return tenancy.AuditQuery{
		Org: org, From: f.From, To: f.To, Actor: f.Actor, Action: f.Action, Object: tenancy.ID(f.Object), Outcome: f.Outcome, Limit: limit,
	}
}

type (
	auditInput struct {
		Asked
		AuditFilter
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most events on the page."`
		After string `query:"after" maxLength:"200" pattern:"^[0-9]+\\.[A-Za-z0-9_]+$" doc:"The value of next on the page before."`
	}
	auditOutput struct {
		Body struct {
			Data []AuditEvent `json:"data" nullable:"false" doc:"The newest first."`
			Next *string      `json:"next" doc:"Send it as after to get the next page; null: this is the last one."`
		}
	}
	headsInput struct {
		Asked
		InOrganization
		Limit int `query:"limit" minimum:"1" maximum:"100" default:"20" doc:"The most heads on the page."`
		After Ref `query:"after" doc:"The value of next on the page before."`
	}
	headsOutput struct{ Body ListOf[AuditHead] }
)

func (s *Server) serveAudit() {
	op := func(id, path, summary, description string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"Audit"}, Summary: summary, Description: description}
	}
	add(s, op("list-audit", "/api/audit", "List who did what", "Every change, sign-in and refusal of an organization, the newest first."), s.listAudit, http.StatusNotFound)
	add(s, op("list-audit-heads", "/api/audit/heads", "List the signed ends of the logs",
		"Keep one elsewhere, and nobody can cut the log off before it unseen. Platform administrators see those of all organizations unless they name one."), s.listHeads, http.StatusNotFound)
	export := op("export-audit", "/api/audit/export", "Export who did what",
		"As lines of JSON with all that proves them, for `vel audit verify` or a program of your own; or, with the filters, as CSV or JSON.")
	export.Responses = map[string]*huma.Response{}
	add(s, export, s.exportAudit, http.StatusNotFound)
	s.api.OpenAPI().Paths["/api/audit/export"].Get.Responses["200"] = exported()
}

// exported describes the answers of an export.
func exported() *huma.Response {
	text := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	return &huma.Response{Description: "The log.", Content: map[string]*huma.MediaType{
		"application/x-ndjson": text, "text/csv": text,
		"application/json": {Schema: &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Ref: "#/components/schemas/AuditEvent"}}},
	}}
}

// logOf decides whose log a request is about. An organization that was deleted still has one.
func logOf(a *asking, named Ref) (tenancy.ID, error) {
	org := tenancy.ID(named)
	if org == "" {
		org = a.by.Org
	}
	if !a.by.Reaches(org) {
		return "", tenancy.ErrNotFound
	}
	return org, nil
}

func (s *Server) listAudit(ctx context.Context, in *auditInput) (*auditOutput, error) {
	org, err := logOf(in.ask, in.Organization)
	if err != nil {
		return nil, err
	}
	q := in.query(org, in.Limit+1)
	q.Before.Time, q.Before.ID = cursorOf(in.After)
	found, err := s.Audit.Audit(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &auditOutput{}
	found, out.Body.Next = upTo(found, in.Limit, func(e *tenancy.AuditEvent) (time.Time, tenancy.ID) { return e.Time, e.ID })
	out.Body.Data = make([]AuditEvent, 0, len(found))
	for i := range found {
		out.Body.Data = append(out.Body.Data, viewEvent(&found[i]))
	}
	return out, nil
}

func (s *Server) listHeads(ctx context.Context, in *headsInput) (*headsOutput, error) {
	org := tenancy.ID(in.Organization)
	if org != "" || !in.ask.by.OfPlatform() {
		var err error
		if org, err = logOf(in.ask, in.Organization); err != nil {
			return nil, err
		}
	}
	found, err := s.Audit.AuditHeads(ctx, org, tenancy.ID(in.After), in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &headsOutput{ListOf[AuditHead]{Data: make([]AuditHead, 0, min(len(found), in.Limit))}}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		out.Body.Next = &found[in.Limit-1].Org
	}
	for i := range found {
		out.Body.Data = append(out.Body.Data, viewHead(&found[i]))
	}
	return out, nil
}

// brokeOff ends an answer that has begun so that its client does not take it for whole.
func (s *Server) brokeOff(a *asking, err error) {
	s.Log.Error("an export broke off", slog.String("id", a.answer.id), slog.Any("err", err))
	panic(http.ErrAbortHandler)
}
