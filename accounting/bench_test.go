package accounting_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/tenancy"
)

// nothing is a store that takes everything and keeps the cursor.
type nothing struct{ cursor spool.Cursor }

func (n *nothing) Append(_ context.Context, _ string, _, to spool.Cursor, _ []accounting.Record) error {
	n.cursor = to
	return nil
}

func (n *nothing) Cursor(context.Context, string) (spool.Cursor, error) { return n.cursor, nil }

// What shipping costs beside the database: reading, matching beginnings and ends, decoding. One operation is one call.
func BenchmarkShip(b *testing.B) {
	n := start(b, b.TempDir(), &nothing{}, spool.Options{}, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(b)
	r, calls := call("req_1"), 0
	b.ReportAllocs()
	for b.Loop() {
		if calls++; calls%5000 != 0 {
			continue
		}
		b.StopTimer()
		for i := range 5000 {
			r.ID = tenancy.ID(fmt.Sprintf("req_0197a0c2d3e4f5a6b7c8d9e0%08d", calls+i))
			if err := n.recorder.Begin(r); err != nil {
				b.Fatal(err)
			}
			n.recorder.End(r)
		}
		b.StartTimer()
		if err := n.shipper.Drain(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
