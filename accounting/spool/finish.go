package spool

// Finish ends the newest segment, so that it can be removed like the others. The next record begins another.
func (s *Spool) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retire()
	if !s.closed {
		s.mark()
	}
}
