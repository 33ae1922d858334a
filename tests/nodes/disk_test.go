//go:build !linux

package nodes

import "testing"

// smallDisk is a plain folder: elsewhere no disk is mounted.
func smallDisk(t *testing.T, _ string) (dir string, mounted bool) {
	t.Helper()
	return t.TempDir(), false
}
