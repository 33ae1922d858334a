// Package accounting says what calls cost, and writes it down.
//
// It owns prices: the list that comes with the program, what is known better than it (the overlay), what the operator
// pays, and how the price of a model becomes the cost of a call. It owns the record of each call: what it holds, how it
// becomes bytes, how those get into the node's spool (Recorder) and from there into the database exactly once (Shipper).
// It does not own what was used, which adapters read, whom a call belongs to, or how the database keeps records. Money that
// is held before a call, budgets and reports will stand here too.
//
//	usage ──▶ period of the price at that time ──▶ tier by the size of the prompt ──▶ Σ units × rate ──▶ rounded once
//
//	Begin, End ──▶ Recorder ──▶ spool ──▶ Shipper ──▶ Store
//
// All numbers are whole: see package money. What has no price has no cost, and never the cost 0.
package accounting
