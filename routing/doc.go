// Package routing chooses where a call goes, and where next when that fails.
//
// It owns public model names, providers and targets as the file and the database declare them (Table, rebuilt at every
// reload), the order in which one call asks them (Plan), and what is known of each target's health (State,
// which outlives reloads). It does not send anything, does not translate (package adapters) and does not
// know what a call costs (package accounting). It never reads a clock where it decides: time comes in as now.
//
// The walk of one call. Another target is asked at once, the same one only after its backoff or what it asked
// for with Retry-After, and only if the first request can not have been executed there (or the route allows it):
//
//	Plan:  a   b   c          d has an open breaker, e has no credential: Plan.Why says so
//	       │
//	       a ──fails──▶ b ──fails──▶ c ──fails──▶ a again, if it may be repeated, after backoff[0]
//	       │            │            │            │
//	       └────────────┴────────────┴────────────┴─▶ stop: success, the answer's head is written, a fault that
//	                                                  no target can mend, attempts spent, deadline reached
//
// The breaker of one target. Failures count when they are known, not when the call began: a call that hangs for
// longer than the window is a failure of now.
//
//	         failures ≥ 5 in the window, and ≥ half of ≥ 10 calls
//	closed ───────────────────────────────────────────────────────▶ open ◀──────────┐
//	   ▲                                                             │ cooldown      │ the probe failed
//	   │                       the probe succeeded                   ▼               │
//	   └───────────────────────────────────────────────────────── half-open ─────────┘
//	                                                       one call at a time gets through
//
// What the client caused counts nowhere. A rate limit does not open the breaker: the time that the provider asked
// for stands beside it, and the later of both holds. If every target of a route is out, the one that is back
// soonest is asked once all the same: a route that cools is no hard failure.
package routing
