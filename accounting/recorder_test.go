package accounting_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/tenancy"
)

// When the spool is full calls are refused before they begin, those under way still end, and all of it comes when the
// database is back.
func TestAFullSpool(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]accounting.OnFull{"refuse": accounting.Refuse, "drop": accounting.Drop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newMemory()
			o := spool.Options{SegmentBytes: 4 << 10, MaxBytes: func() int64 { return 64 << 10 }}
			n := start(t, t.TempDir(), store, o, accounting.Shipping{}, full)
			defer n.crash(t)
			var open []tenancy.ID
			var refused error
			for i := 0; i < 200 && refused == nil; i++ {
				id := tenancy.ID(fmt.Sprintf("req_%d", i))
				if refused = n.recorder.Begin(call(id)); refused == nil {
					open = append(open, id)
				}
			}
			var answer *accounting.Full
			if full == accounting.Refuse && (!errors.As(refused, &answer) || !errors.Is(refused, spool.ErrFull)) {
				t.Fatalf("a call is refused with %v", refused)
			}
			if full == accounting.Drop && refused != nil {
				t.Fatalf("a call is refused: %v", refused)
			}
			if metric(t, n.shipper, "vel_spool_up") != 0 || metric(t, n.shipper, "vel_spool_alarm") != 1 {
				t.Error("nothing tells that it is full")
			}
			end(n.recorder, open...)
			if metric(t, n.shipper, "vel_records_waiting") == 0 {
				t.Error("there was room for all ends; the test should have fewer bytes")
			}
			if err := n.shipper.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, id := range open {
				if got := store.is(id); !slices.Equal(got, []accounting.State{accounting.Ended}) {
					t.Fatalf("%s is %v", id, got)
				}
			}
			begin(t, n.recorder, "req_later")
			if metric(t, n.shipper, "vel_spool_up") != 1 || metric(t, n.shipper, "vel_spool_alarm") != 0 || metric(t, n.shipper, "vel_records_waiting") != 0 {
				t.Error("nothing tells that it is over")
			}
		})
	}
}

// Refused calls take the room that was meant for the ends of those under way. Their beginnings then keep the oldest
// segments, and no end may wait for these to go.
func TestEndsThatWaitBehindRefusals(t *testing.T) {
	t.Parallel()
	store := newMemory()
	o := spool.Options{SegmentBytes: 4 << 10, MaxBytes: func() int64 { return 64 << 10 }}
	n := start(t, t.TempDir(), store, o, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(t)
	begin(t, n.recorder, "req_first")
	var refused []tenancy.ID
	for metric(t, n.shipper, "vel_records_waiting") == 0 {
		id := tenancy.ID(fmt.Sprintf("req_%d", len(refused)))
		end(n.recorder, id)
		refused = append(refused, id)
	}
	end(n.recorder, "req_first")
	n.drain(t)
	for _, id := range append(refused, "req_first") {
		if got := store.is(id); !slices.Equal(got, []accounting.State{accounting.Ended}) {
			t.Fatalf("%s is %v", id, got)
		}
	}
	begin(t, n.recorder, "req_later")
	if metric(t, n.shipper, "vel_records_waiting") != 0 || metric(t, n.shipper, "vel_spool_up") != 1 {
		t.Error("the spool does not recover")
	}
}

func TestCallsAreRecordedAtTheSameTime(t *testing.T) {
	t.Parallel()
	store := newMemory()
	n := start(t, t.TempDir(), store, spool.Options{SegmentBytes: 16 << 10}, accounting.Shipping{Batch: 50}, accounting.Refuse)
	defer n.crash(t)
	var running sync.WaitGroup
	for g := range 8 {
		running.Go(func() {
			for i := range 100 {
				id := tenancy.ID(fmt.Sprintf("req_%d_%d", g, i))
				if err := n.recorder.Begin(call(id)); err != nil {
					t.Error(err)
				}
				n.recorder.End(call(id))
			}
		})
	}
	for store.len() < 100 {
		n.drain(t)
	}
	running.Wait()
	n.drain(t)
	seen := map[tenancy.ID]int{}
	for _, r := range store.records {
		seen[r.ID]++
	}
	if len(seen) != 800 || store.len() != 800 {
		t.Errorf("%d records of %d calls, want 800 of each", store.len(), len(seen))
	}
}

// Every metric of the spool stands in docs/deployment.md.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir(), newMemory(), spool.Options{}, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(t)
	text, err := os.ReadFile(filepath.Join("..", "docs", "deployment.md"))
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(n.shipper.Collector())
	families, err := registry.Gather()
	if err != nil || len(families) < 11 {
		t.Fatal(len(families), err)
	}
	for _, f := range families {
		if !strings.Contains(string(text), "\n| `"+f.GetName()+"` |") {
			t.Errorf("%s is not in the table of metrics", f.GetName())
		}
	}
}

func TestRecordingAllocatesNothing(t *testing.T) { // alone: allocations are counted for the whole process
	n := start(t, t.TempDir(), newMemory(), spool.Options{}, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(t)
	r := call("req_1")
	if got := testing.AllocsPerRun(200, func() {
		if err := n.recorder.Begin(r); err != nil {
			t.Fatal(err)
		}
		n.recorder.End(r)
	}); got != 0 && !racing {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkRecordBeginAndEnd(b *testing.B) {
	n := start(b, b.TempDir(), newMemory(), spool.Options{}, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(b)
	r := call("req_1")
	b.ReportAllocs()
	for b.Loop() {
		if err := n.recorder.Begin(r); err != nil {
			b.Fatal(err)
		}
		n.recorder.End(r)
	}
}
