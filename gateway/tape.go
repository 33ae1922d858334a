package gateway

// tape holds what a client gets, as long as it is not too much. It belongs to the call.
type tape struct {
	limit  int
	status int
	kind   string // Content-Type
	bytes  []byte
	torn   bool // it was too much
}

// start notes what the head of the answer says. A nil tape holds nothing.
func (t *tape) start(c *Call) {
	if t != nil {
		t.status, t.kind = c.exchange.Status(), string(c.typeOf())
	}
}

// put adds what the client gets next.
func (t *tape) put(piece []byte) {
	if t == nil || t.torn {
		return
	}
	if len(t.bytes)+len(piece) > t.limit {
		t.bytes, t.torn = nil, true
		return
	}
	t.bytes = append(t.bytes, piece...)
}
