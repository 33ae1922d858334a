// Package ratelimit decides whether something may happen now: requests and tokens a minute, an hour or a day, calls in
// flight, and money in a window of the calendar. It decides about everything that a call asks for in one step, and takes
// all of it or nothing.
//
// It owns the counters, in this process (Memory) or in Redis, the clock that they follow, what is held for each call, and
// what happens while Redis is away (Guard). It does not own which limits there are, what a call is taken to cost, what it
// cost in the end, or the truth about money, which is the ledger's: a budget that a store knows nothing of is cold, not
// empty, until the ledger has said what was spent.
//
// The states of a hold:
//
//	         Take                  Settle                    Drop, or time
//	unknown ──────▶ held ───────────────────────▶ settled ───────────────▶ unknown
//	   │             │ ▲ ╲ not renewed                ▲
//	   │             ╰─╯  ╲                           │ Settle: books the difference
//	   │            Renew, ╲▶ expired ──▶ swept ──────╯
//	   │           Take for more     Sweep: books the estimate
//	   │
//	   │ the answer to Take was lost    Settle: books everything
//	   ╰────────────▶ void ──────────────────────────▶ settled
//
// Every change is idempotent by the id of the hold. Only settled, swept and void holds refuse a Take. A slot is free when
// its hold expires; money stays held until somebody sweeps it, because the call may have cost it. What is settled without
// having been held, because the store had forgotten it or was away, is booked as a whole.
//
// Time is counted in milliseconds and everything else in whole numbers below 2^53, which Lua's numbers hold exactly: so
// Memory and Redis come to the same decisions, and a test holds them to it.
package ratelimit
