package gateway

import (
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/routing"
)

// try is one attempt of a call at a target, with the answer that it brought.
type try struct {
	outcome  routing.Outcome
	tryBegun time.Time
	tryAt    int              // in the record's attempts
	trying   bool             // it is under way and was not observed yet
	answered bool             // it brought an answer
	charged  bool             // what it cost is in the record, or is left to be counted
	entry    accounting.Entry // what is held of the provider's limits
	request  adapters.Request
	codec    adapters.Codec
	stream   adapters.Stream // nil: the answer is relayed as a whole
	foreign  []byte          // the provider's id of its answer

	pieces [][]byte // what the client may have now
	tail   []byte   // the last bytes of an answer that flows; nil unless its codec reads them
	whole  []byte   // a gathered body; pieces may alias it
	ended  bool     // pieces hold the end of the answer
	torn   bool     // the connection broke after the end: it can not be used again
	length int      // of the answer, or -1
	usage  adapters.Usage

	texts      *adapters.Texts // of a stream
	answer     []byte          // the beginning of an answer that is no stream, if it is to be kept
	answerSize int             // of all that was seen of it
}

// emptied is the same memory without what it held.
func (t *try) emptied() try {
	t.request.Reset()
	t.texts.Forget(keepBelow)
	t.entry.Reset()
	clear(t.pieces[:cap(t.pieces)])
	whole := t.whole[:0]
	if cap(whole) > keepBelow {
		whole = nil
	}
	return try{request: t.request, pieces: t.pieces[:0], whole: whole, foreign: t.foreign[:0], texts: t.texts, entry: t.entry}
}
