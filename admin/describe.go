package admin

import (
	"context"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// apiVersion is that of the document. It changes with the API, not with the program.
const apiVersion = "1.0.0"

const introduction = `Manage organizations, teams, users, roles, keys, limits, budgets, providers and routes of a Vel gateway.

**Signing in.** ` + "`POST /api/auth/login`" + ` gives a token that lives for 24 hours; ` + "`POST /api/auth/refresh`" + ` swaps it for a new one. A key with a role works as well. Both are sent as ` + "`Authorization: Bearer`" + `.

**Lists** come in pages: ask for the next one with the value of ` + "`next`" + ` as ` + "`after`" + `, until it is null.

**Changes** replace the whole object. Send the ETag that you have read as ` + "`If-Match`" + `, and a change that somebody else made meanwhile is not lost: you get a 412.

**Creates** are safe to repeat with an ` + "`Idempotency-Key`" + `: for 24 hours the same key with the same body gives the same answer.

**Errors** are ` + "`application/problem+json`" + ` (RFC 9457). ` + "`errors`" + ` lists every fault of a request at once, ` + "`type`" + ` is for programs.

**Objects of the configuration file** are shown with ` + "`managed_by: file`" + ` and are read-only here.`

// describe makes the API and what stands once in its document.
func (s *Server) describe() {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	s.api = humago.New(s.mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Vel admin API", Version: apiVersion, Description: introduction},
			Components: &huma.Components{Schemas: registry, Responses: map[string]*huma.Response{}, SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "The token of a session, or a key with a role."},
				"cookie": {Type: "apiKey", In: "cookie", Name: "__Host-vel", Description: "The token of a session in a browser; requests of other sites' pages are refused. Without TLS, on the same machine, its name is vel."},
				"apiKey": {Type: "apiKey", In: "header", Name: "X-Api-Key", Description: "The same in another header, for clients that can not send Authorization."},
			}},
			Tags: []*huma.Tag{
				{Name: "Sign-in", Description: "Tokens of people."},
				{Name: "Organizations", Description: "Tenants. Nothing of one is ever seen by another."},
				{Name: "Teams", Description: "Groups within an organization."},
				{Name: "Users", Description: "People, with roles."},
				{Name: "Roles", Description: "Named sets of permissions: built-in ones, and those that an organization makes."},
				{Name: "Keys", Description: "Virtual keys: what applications call models with, and automation this API."},
				{Name: "Providers", Description: "Accounts at AI providers, with the settings of the configuration file. They belong to the platform."},
				{Name: "Routes", Description: "Public model names and where their calls go, with the settings of the configuration file. They belong to the platform."},
				{Name: "Limits", Description: "How fast calls may come: those of an organization, or of one team, user, key or model of it. There is one object of each."},
				{Name: "Budgets", Description: "What calls may cost in a window of the calendar, and the ledger that says what they did."},
				{Name: "Secrets", Description: "The keys that encrypt secrets at rest."},
				{Name: "Audit", Description: "Who did what. What is older than a second or two can be proved: see docs/audit.md."},
				{Name: "Calls", Description: "What was asked of models, what it used and what it cost."},
				{Name: "Agents", Description: "Configurations of chats that have a name, and all that they were."},
				{Name: "Tasks", Description: "Calls that are made later, tried again when they fail, and kept with their answers."},
				{Name: "Batches", Description: "Many tasks that are made together, so many at a time."},
				{Name: "Webhooks", Description: "Who is told what happens, and what became of that."},
				{Name: "Health", Description: "Whether this node works."},
			},
		},
		Formats: formats(), DefaultFormat: "application/json",
		Transformers: []huma.Transformer{s.inOurWords},
	})
}

// inOurWords puts every error into our form before it is written.
func (s *Server) inOurWords(ctx huma.Context, _ string, v any) (any, error) {
	a := askingOf(ctx)
	switch v := v.(type) {
	case *huma.ErrorModel:
		a.problem = ofHuma(v)
	case *Problem:
		a.problem = v
	default:
		return v, nil
	}
	s.sign(a.answer, a.problem)
	return a.problem, nil
}

// add registers an operation: who may use it, how it fails, and its handler.
func add[I, O any](s *Server, op huma.Operation, handle func(context.Context, *I) (*O, error), fails ...int) {
	needed, ok := s.needs[op.OperationID]
	if !ok {
		needed = forbidden
	}
	op.Extensions = map[string]any{"x-vel-permission": needed.String()}
	if needed == public {
		op.Security = []map[string][]string{}
	} else {
		op.Security = []map[string][]string{{"bearer": {}}, {"apiKey": {}}, {"cookie": {}}}
		fails = append(fails, http.StatusUnauthorized, http.StatusForbidden)
	}
	s.fails(&op, append(fails, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable))
	op.Middlewares = huma.Middlewares{s.admit(op.OperationID, needed)}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, inWords(err)
		}
		return out, nil
	})
}

// withBody are the statuses that only an operation with a body answers.
func withBody(more ...int) []int {
	return append(more, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
}

// fails describes the problems that an operation answers with. Each status is described once for all operations.
func (s *Server) fails(op *huma.Operation, statuses []int) {
	all := s.api.OpenAPI().Components.Responses
	op.Responses = map[string]*huma.Response{}
	for _, status := range statuses {
		name := strconv.Itoa(status)
		if all[name] == nil {
			all[name] = s.failure(status)
		}
		op.Responses[name] = &huma.Response{Ref: "#/components/responses/" + name}
	}
}

func (s *Server) failure(status int) *huma.Response {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")
	r := &huma.Response{
		Description: http.StatusText(status),
		Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
	}
	describe := func(name, doc string) {
		r.Headers = map[string]*huma.Param{name: {Description: doc, Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	switch status {
	case http.StatusUnauthorized:
		describe("WWW-Authenticate", "How to sign in.")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		describe("Retry-After", "Seconds after which to try again.")
	}
	return r
}
