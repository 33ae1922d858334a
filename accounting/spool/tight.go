package spool

// Tight says that less than an eighth of the quota is left. What begins something then should wait, so that what ends
// something still has room.
func (s *Spool) Tight() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tight() {
		return false
	}
	s.askQuota()
	return s.tight()
}

func (s *Spool) tight() bool { return s.quota > 0 && s.used > s.quota-s.quota/8 }
