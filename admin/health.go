package admin

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// databasePatience is how long the database may take to answer: health itself answers within half a second.
const databasePatience = 300 * time.Millisecond

// Health says whether this node works.
type Health struct {
	Status  string       `json:"status" enum:"ok,degraded" doc:"ok, or what is wrong stands in checks."`
	Version string       `json:"version" doc:"Of the program."`
	Uptime  int64        `json:"uptime_seconds" doc:"Since the program started."`
	Checks  HealthChecks `json:"checks" doc:"What was looked at."`
}

// HealthChecks are the parts that a node needs.
type HealthChecks struct {
	Database  DatabaseHealth  `json:"database"`
	Providers ProvidersHealth `json:"providers"`
	Limits    LimitsHealth    `json:"limits"`
}

// LimitsHealth says whether the store of the limits answers.
type LimitsHealth struct {
	OK     bool   `json:"ok"`
	Store  string `json:"store" enum:"process,redis" doc:"Where limits and budgets are counted."`
	Reason string `json:"reason,omitempty" doc:"What is wrong. Calls go on, as on_store_failure of each limit says."`
}

// DatabaseHealth says whether the database answers.
type DatabaseHealth struct {
	OK      bool    `json:"ok"`
	Latency float64 `json:"latency_ms" doc:"How long it took."`
	Reason  string  `json:"reason,omitempty" doc:"What is wrong."`
}

// ProvidersHealth says how many providers can be used now.
type ProvidersHealth struct {
	OK        bool   `json:"ok"`
	Available int    `json:"available" doc:"How many have a target whose breaker is not open."`
	Total     int    `json:"total" doc:"How many are configured."`
	Reason    string `json:"reason,omitempty" doc:"What is wrong."`
}

type healthInput struct{ Asked }

type healthOutput struct {
	Status int
	Body   Health
}

func (s *Server) serveHealth() {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Health](), true, "")
	add(s, huma.Operation{
		OperationID: "get-health", Method: http.MethodGet, Path: "/api/health", Tags: []string{"Health"},
		Summary: "Health", Description: "Public, and answered within half a second: 200 if the database answers and at least one provider can be used, else 503 with the reason. Where the store of the limits is away it is 200, and degraded.",
	}, s.health)
	s.api.OpenAPI().Paths["/api/health"].Get.Responses["503"] = &huma.Response{
		Description: "Something is missing", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}
}

func (s *Server) health(ctx context.Context, in *healthInput) (*healthOutput, error) {
	h := Health{Status: "ok", Version: s.Version, Uptime: int64(in.ask.now.Sub(s.began).Seconds())}
	h.Checks.Database = s.databaseHealth(ctx)
	available, total := s.Providers()
	h.Checks.Providers = ProvidersHealth{OK: available > 0, Available: available, Total: total}
	switch {
	case total == 0:
		h.Checks.Providers.Reason = "no provider is configured"
	case available == 0:
		h.Checks.Providers.Reason = "no provider can be used now"
	}
	h.Checks.Limits = s.limitsHealth()
	status := http.StatusOK
	if !h.Checks.Limits.OK {
		h.Status = "degraded"
	}
	if !h.Checks.Database.OK || !h.Checks.Providers.OK {
		h.Status, status = "degraded", http.StatusServiceUnavailable
	}
	return &healthOutput{status, h}, nil
}

func (s *Server) limitsHealth() LimitsHealth {
	h := LimitsHealth{OK: true, Store: "process"}
	if s.CounterStore == nil {
		return h
	}
	if shared, up := s.CounterStore(); shared {
		h.Store, h.OK = "redis", up
	}
	if !h.OK {
		h.Reason = "redis does not answer, so this node decides by itself"
	}
	return h
}

func (s *Server) databaseHealth(ctx context.Context) DatabaseHealth {
	ctx, cancel := context.WithTimeout(ctx, databasePatience)
	defer cancel()
	began := s.Now()
	err := s.Ping(ctx)
	h := DatabaseHealth{OK: err == nil, Latency: float64(s.Now().Sub(began).Microseconds()) / 1000}
	if err != nil { // the cause may name hosts
		h.Reason = "the database does not answer"
	}
	return h
}
