package nodes

import (
	"syscall"
	"testing"
)

// smallDisk is a disk of that size, or a plain folder where nobody lets us mount one.
func smallDisk(t *testing.T, size string) (dir string, mounted bool) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("vel", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Logf("no disk can be mounted: %v", err)
		return dir, false
	}
	t.Cleanup(func() {
		// A process that another test starts has all our files for a moment.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, true
}
