package tenancy

// Kept is what is known of a request that came with an idempotency key.
type Kept struct {
	Request string // a fingerprint: the same key with another request is a mistake of the client's
	Status  int    // of the answer; 0: there is none yet
	Answer  string
}
