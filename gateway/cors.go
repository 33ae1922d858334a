package gateway

import (
	"slices"

	"github.com/valyala/fasthttp"
)

// cors lets pages of the configured origins call from a browser.
type cors struct {
	origins []string
	all     bool
}

func newCORS(cfg CORSConfig) cors {
	return cors{origins: cfg.Origins, all: slices.Contains(cfg.Origins, "*")}
}

// exposed are the answer's fields that a page may read.
const exposed = "x-request-id, x-upstream-request-id, x-vel-provider, x-vel-model, x-vel-attempts, x-vel-cost, x-vel-cache, x-vel-decision, idempotency-replayed, retry-after, retry-after-ms, x-should-retry, " +
	"openai-processing-ms, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, " +
	"x-ratelimit-reset-requests, x-ratelimit-reset-tokens"

// allow marks the answer as readable for the page, if its origin is allowed.
func (c *cors) allow(ctx *fasthttp.RequestCtx) bool {
	if len(c.origins) == 0 {
		return false
	}
	h := &ctx.Response.Header
	h.Set("Vary", "Origin") // also where the answer is no: a cache must not serve it to another origin
	origin := string(ctx.Request.Header.Peek("Origin"))
	if origin == "" || !c.all && !slices.Contains(c.origins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", exposed)
	return true
}

// preflight answers a browser's question before a call; false: it was none, or the origin is not allowed.
func (c *cors) preflight(ctx *fasthttp.RequestCtx) bool {
	asked := ctx.Request.Header.Peek("Access-Control-Request-Method")
	if len(asked) == 0 || !c.allow(ctx) {
		return false
	}
	h := &ctx.Response.Header
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
	if fields := ctx.Request.Header.Peek("Access-Control-Request-Headers"); len(fields) > 0 {
		h.SetBytesV("Access-Control-Allow-Headers", fields) // the SDKs send a dozen; none reaches a provider
	}
	h.Set("Access-Control-Max-Age", "600")
	h.Set("X-Request-Id", newID())
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return true
}
