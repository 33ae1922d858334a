package accounting_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/tenancy"
)

// A disk that our own spool has filled: what is stored makes room for the ends that wait, although the beginning of a call
// among them stands in the oldest segment.
func TestEndsThatWaitForADisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Logf("only root mounts a disk")
		return
	}
	if err := syscall.Mount("spool", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Logf("no disk can be mounted: %v", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	store := newMemory()
	n := start(t, dir, store, spool.Options{SegmentBytes: 8 << 10}, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(t)
	begin(t, n.recorder, "req_first")
	ids := []tenancy.ID{"req_first"}
	for metric(t, n.shipper, "vel_records_waiting") == 0 {
		id := tenancy.ID(fmt.Sprintf("req_%d", len(ids)))
		end(n.recorder, id)
		ids = append(ids, id)
	}
	end(n.recorder, "req_first")
	for n.shipper.Drain(t.Context()) != nil { // a removed segment gives its room back when the syncer has closed it
		runtime.Gosched()
	}
	for _, id := range ids {
		if got := store.is(id); !slices.Equal(got, []accounting.State{accounting.Ended}) {
			t.Fatalf("%s is %v", id, got)
		}
	}
}
