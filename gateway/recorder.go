package gateway

import "github.com/vel-gateway/vel/accounting"

// Recorder keeps a record of each call. Both methods are called by many goroutines at the same time: those of the calls, and
// the one that counts what providers did not tell. They encode the record and keep nothing of it, since the next one lies in
// the same memory, and they do not wait for a database.
type Recorder interface {
	// Begin is called once for a call that goes to a provider, before the first byte is sent. An error refuses the call.
	Begin(r *accounting.Record) error
	// End is called once for every call that was identified, also for one that was refused.
	End(r *accounting.Record)
}

// Record makes the pipeline hand a record of each call to a recorder. It is called before the first call; without it
// nothing is recorded.
func (p *Pipeline) Record(r Recorder) { p.recorder = r }
