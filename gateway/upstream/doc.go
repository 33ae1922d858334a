// Package upstream carries one attempt to a provider and back: it finds or opens a connection, writes the
// request, reads the answer piece by piece and gives the connection back, or throws it away.
//
// It owns sockets: dialling, pools, deadlines, the end of a body, and the news that a peer left. It does not
// know what the bytes mean (package adapters) nor whether another attempt follows (packages routing, gateway).
//
//	          Acquire            Open                 Next … io.EOF           Finish
//	Pool ───────────▶ Exchange ──────▶ head is known ───────────────▶ whole ──────────▶ Pool
//	                      │                │                            ▲
//	                      └── Cancel ──────┴──── any error ─────────────┘ connection discarded
//
// One goroutine owns an Exchange from Acquire to Finish. Only Cancel may come from another: it sets a deadline
// in the past, so that the owner wakes and cleans up itself.
package upstream
