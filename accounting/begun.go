package accounting

import (
	"bytes"
	"fmt"
	"log/slog"
	"time"

	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// begunCall is a call of which the beginning was read, and no end.
type begunCall struct {
	record  []byte
	segment uint64       // in which it stands last, as far as was read
	again   bool         // it was written again, which was not read yet
	missed  bool         // it is not open any more, but its end was not read
	due     spool.Cursor // before it the end must stand
	orphan  bool         // there is no end
	ended   bool         // it was written in its place, which was not read yet
}

// begunCalls has as many calls as are under way, and those of a process that is gone.
type begunCalls map[tenancy.ID]*begunCall

func (b begunCalls) add(id, record []byte, segment uint64) {
	if call, ok := b[tenancy.ID(id)]; ok {
		call.segment, call.again = segment, false
		return
	}
	b[tenancy.ID(id)] = &begunCall{record: bytes.Clone(record), segment: segment}
}

func (b begunCalls) remove(id []byte) { delete(b, tenancy.ID(id)) }

// settle ends the calls that earlier processes began, once all of them are read; true: something was written.
func (s *Shipper) settle() (wrote bool) {
	if s.settled {
		return false
	}
	s.settled = true
	for _, call := range s.begun {
		call.orphan = true
	}
	return s.endOrphans() > 0
}

// endOrphans writes the ends of calls that have none. What can not be written is tried again.
func (s *Shipper) endOrphans() (written int) {
	for id, call := range s.begun {
		if !call.orphan || call.ended {
			continue
		}
		var r Record
		if err := r.Decode(call.record); err != nil {
			s.bury(call.record, err)
			delete(s.begun, id)
			continue
		}
		if call.ended = s.recorder.write(interrupted(&r)); !call.ended {
			break
		}
		written++
	}
	if written > 0 {
		s.log.Warn("calls that were interrupted are charged at their estimate", slog.Int("calls", written))
	}
	return written
}

// interrupted makes the record of a call's beginning that of its end. What the provider did is not known, so the call is
// charged at its estimate; what the client saw is not known either, so there is no status.
func interrupted(r *Record) *Record {
	r.State, r.Status, r.Class = Interrupted, 0, adapters.ClassInternal
	r.Error = "how the call ended was not recorded"
	r.Cost, r.Estimated = r.Estimate, true
	for i := range r.Bookings {
		r.Bookings[i].Spent = r.Estimate
	}
	return r
}

// tidy removes the segments that nobody needs, and sees to it that there will be more of them. What is removed was not
// needed one tidying ago: by now what made it so is on the disk.
func (s *Shipper) tidy() error {
	s.tidied = time.Now()
	if err := s.spool.Remove(s.passed); err != nil {
		return fmt.Errorf("remove what is stored: %w", err)
	}
	s.recorder.retry()
	stuck := s.idle() && !s.recorder.retryAnyway()
	s.endOrphans()
	s.watch()
	passed := s.stored
	for id, call := range s.begun {
		if call.segment < s.stored.Segment && !call.again && !call.ended {
			s.writeAgain(id, call)
		}
		if call.segment <= passed.Segment && (!stuck || !call.missed) {
			passed = spool.Cursor{Segment: call.segment}
		}
	}
	s.passed = passed
	return nil
}

// idle tells whether all that was read is stored. Then what fills the spool are beginnings, and the segments behind them; and
// if the ends of those calls wait for room in it, it must come from elsewhere: first from beyond the quota, and where the
// disk has nothing left from the beginnings. Their ends are safe as long as the process lives, and written a moment later.
func (s *Shipper) idle() bool { return len(s.batch.records) == 0 }

// writeAgain moves a beginning to the end of the spool.
func (s *Shipper) writeAgain(id tenancy.ID, call *begunCall) {
	again, err := s.recorder.rewrite([]byte(id), call.record)
	switch {
	case err != nil:
		s.log.Warn("the beginning of a call keeps its segment", slog.String("id", string(id)), slog.Any("reason", err))
	case again:
		call.again = true
	default:
		s.miss(call)
	}
}

// miss decides over some tidyings that the end of a call, which has ended, is not there: it was lost, or it stood where the
// disk is damaged. Without that the beginning would keep its segment, and all after it, for as long as the process lives.
func (s *Shipper) miss(call *begunCall) {
	switch {
	case !call.missed:
		call.missed = true
	case call.due == spool.Cursor{}: // by now the end is written, however slow that was
		call.due = s.spool.Stats().End
	case !before(s.batch.to, call.due) && s.recorder.waiting.len() == 0:
		call.orphan = true
	}
}
