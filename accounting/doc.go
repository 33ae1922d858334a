// Package accounting says what calls cost.
//
// It owns prices: the list that comes with the program, what is known better than it (the overlay), what the operator
// pays, and how the price of a model becomes the cost of a call. It does not own what was used, which adapters read, nor
// whom a call belongs to. Money that is held before a call, the record of each, budgets and reports will stand here too.
//
//	usage ──▶ period of the price at that time ──▶ tier by the size of the prompt ──▶ Σ units × rate ──▶ rounded once
//
// All numbers are whole: see package money. What has no price has no cost, and never the cost 0.
package accounting
