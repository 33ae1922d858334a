// Package tasks does work later, at least once, and tells others about it.
//
// It owns what a task, an agent, a batch, a webhook and a delivery are, the states that they go through, and who runs them. It
// does not own how a provider is reached (Executor: the data plane's own pipeline, with its limits, budgets and records), nor
// where things are kept (the Store of each kind: package storage).
//
//	                 ┌──────── a retry: due later ───────┐
//	                 ▼                                   │
//	create ──▶ pending ──── its time has come ────▶ running ──▶ succeeded
//	                 │                                   │ ──▶ failed
//	                 └──▶ cancelled ◀── asked to end ────┘
//	                 └──▶ failed: its deadline is over
//
// The truth is in the rows. A Job only wakes a worker: it may come late, twice, or on a node that is slow to notice that another
// one has taken over. So whoever acts names the revision that it has seen, and changes nothing when the row has another one.
package tasks
