package admin

import (
	"crypto/subtle"

	"github.com/vel-gateway/vel/tenancy"
)

// Operates tells whether a credential is that of somebody who runs the house: the admin key, or a key of the platform
// with the role of its administrators. It asks no database, so that metrics can be read while that is away.
func (s *Server) Operates(credential []byte) bool {
	hash := tenancy.HashKey(credential)
	if s.isAdminKey(hash) {
		return true
	}
	p, err := s.Index().Lookup(hash, s.Now())
	return err == nil && p.Org == tenancy.Platform && p.Role == tenancy.PlatformAdmin
}

func (s *Server) isAdminKey(hash tenancy.Hash) bool {
	return !s.AdminKey.IsZero() && subtle.ConstantTimeCompare(hash[:], s.adminHash[:]) == 1
}
