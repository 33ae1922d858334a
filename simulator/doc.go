// Package simulator pretends to be providers that speak the OpenAI wire: every endpoint as JSON, bytes and
// server-sent events, stored objects, models, errors and headers, with honest latencies, token counts and
// prices, and with faults on demand. It speaks the dialects of OpenAI, Groq and Perplexity, as strictly as
// those do.
//
// It owns the far end of every test and of a first run without a provider key: what a provider sends, when,
// and what it noticed of its callers. It owns nothing of the gateway and imports nothing of it, so that it
// can never agree with the gateway's mistakes. It is a test tool: it is not hardened for open networks.
//
// # One call
//
//	read the body ─▶ keep it (recorder.go) ─▶ key (401) ─▶ request (400, 404) ─▶ faults ─▶ status=…
//	                                                                               │
//	      count how it ended (stats.go) ◀─ answer or stream ◀─ wait ◀─ compose ◀───┘
//
// The body is read to its end before anything else, because net/http watches for a client that leaves only
// from then on. A client that closes only its writing side counts as gone, as it does for nginx.
//
// Every endpoint is a function in the table of api.go that reads a request into a job: its model, its fault
// words, and how its reply is made. call.go does the rest for all of them; stream.go and whole.go send a
// reply. What a provider does differently is data in dialect.go and its two neighbours.
//
// # Dialects
//
//	openai           /v1/… and /…            every endpoint; unknown members are taken
//	groq             /openai/v1/…            400 for unknown members, logprobs, logit_bias, n≠1, names; usage in x_groq
//	perplexity       /v1/agent, /v1/responses  the Agent API: 400 for unknown members at any depth; search_results
//	                                         items; usage.cost; chat completions are 403, "Sonar is now the Agent API"
//	perplexity-chat  /chat/completions       Sonar as it was: citations and usage in every chunk, one chunk without
//	                                         choices, for some models no [DONE]; a wrong key gets an HTML page
//
// # Stored objects
//
// Files, uploads, batches, fine-tuning jobs, vector stores, responses and stored chat completions belong to the
// bearer key that made them; to any other key they are not there. The newest 4,096 objects and 128 MiB are kept.
// Nothing works in the background: a batch or a fine-tuning job goes on when it is read.
//
// # Faults
//
// The text that a model is given (the last user message, an input, a prompt; for objects the metadata or the
// name of the file) may carry markers: [[latency=200ms chunks=50 die=10]]. Two opening brackets followed
// at once by a small letter begin a marker; anything else in brackets is text. Words are separated by spaces,
// every word must be known (400 otherwise, naming the strangers), none may stand twice in one message. The
// table in fault.go is the one place that says what each word does; GET /simulator/faults prints it. The same
// words can be set for a whole server with PUT /simulator/faults; a marker's words win over those.
//
// # Control paths
//
//	GET    /simulator/stats            what happened so far; ?left=3&wait=2s answers as soon as left ≥ 3
//	DELETE /simulator/stats            count from zero (what is open stays counted as open)
//	GET    /simulator/faults           the server's faults and the table of words
//	PUT    /simulator/faults           {"status": 503, "retry_after": 2}: from now on, for every call
//	DELETE /simulator/faults           healthy again
//	GET    /simulator/requests         the last requests, newest first, without bodies
//	GET    /simulator/requests/{id}    one of them whole, by x-request-id, by the marker's id=…, or "last"
//	GET    /simulator/profiles         the models with their latencies and prices
package simulator
