package accounting_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

func TestRecordsAreShippedOnce(t *testing.T) {
	t.Parallel()
	store := newMemory()
	var committed []tenancy.ID
	n := start(t, t.TempDir(), store, spool.Options{}, accounting.Shipping{Batch: 3, Committed: func(_ context.Context, rs []accounting.Record) {
		for _, r := range rs {
			committed = append(committed, r.ID)
		}
	}}, accounting.Refuse)
	defer n.crash(t)
	ids := []tenancy.ID{"req_1", "req_2", "req_3", "req_4", "req_5", "req_6", "req_7"}
	begin(t, n.recorder, ids...)
	end(n.recorder, ids...)
	end(n.recorder, "req_refused") // before any provider was asked
	n.drain(t)
	n.drain(t)
	want := call("req_4")
	if diff := cmp.Diff(*want, store.records[3]); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(committed, append(ids, "req_refused")) || store.len() != 8 || store.largest != 3 {
		t.Errorf("committed %v, %d records in batches of at most %d", committed, store.len(), store.largest)
	}
}

// A call that was under way when the process was killed is charged at its estimate, once, however often the next one is.
func TestInterruptedCalls(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), newMemory()
	n := start(t, dir, store, spool.Options{}, accounting.Shipping{}, accounting.Refuse)
	begin(t, n.recorder, "req_ended", "req_open")
	end(n.recorder, "req_ended")
	n.drain(t)
	if got := store.is("req_open"); got != nil {
		t.Fatalf("a call that is under way is %v", got)
	}
	n.crash(t)
	for range 3 {
		n = start(t, dir, store, spool.Options{}, accounting.Shipping{}, accounting.Refuse)
		begin(t, n.recorder, "req_new")
		end(n.recorder, "req_new")
		n.drain(t)
		n.crash(t)
	}
	if got := store.is("req_open"); !slices.Equal(got, []accounting.State{accounting.Interrupted}) {
		t.Fatalf("the call that was interrupted is %v", got)
	}
	r := store.records[slices.IndexFunc(store.records, func(r accounting.Record) bool { return r.ID == "req_open" })]
	if r.Cost != r.Estimate || !r.Estimated || r.Class != adapters.ClassInternal || r.Status != 0 || r.Error == "" || r.Route != "smart" {
		t.Errorf("it is recorded as %+v", r)
	}
	if got := store.is("req_ended"); !slices.Equal(got, []accounting.State{accounting.Ended}) {
		t.Errorf("the call that ended is %v", got)
	}
}

// A stream that goes on does not keep the records that others wrote since it began, and is still known after a kill.
func TestABeginningIsWrittenAgain(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), newMemory()
	small := spool.Options{SegmentBytes: 4 << 10}
	n := start(t, dir, store, small, accounting.Shipping{}, accounting.Refuse)
	begin(t, n.recorder, "req_long", "req_longer")
	for i := range 200 {
		id := tenancy.ID(fmt.Sprintf("req_%d", i))
		begin(t, n.recorder, id)
		end(n.recorder, id)
		n.drain(t)
		if st := n.spool.Stats(); st.Segments > 4 {
			t.Fatalf("%d segments after %d calls", st.Segments, i)
		}
	}
	end(n.recorder, "req_long")
	n.crash(t)
	n = start(t, dir, store, small, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(t)
	n.drain(t)
	if a, b := store.is("req_long"), store.is("req_longer"); !slices.Equal(a, []accounting.State{accounting.Ended}) || !slices.Equal(b, []accounting.State{accounting.Interrupted}) {
		t.Errorf("one ended and is %v, one was interrupted and is %v", a, b)
	}
}

// What the database never takes is put aside, and nothing else is.
func TestRejectedRecordsBlockNothing(t *testing.T) {
	t.Parallel()
	store, dir := newMemory(), t.TempDir()
	bad := []tenancy.ID{"req_3", "req_4", "req_9"}
	store.away = func(_ int, records []accounting.Record) error {
		for _, r := range records {
			if slices.Contains(bad, r.ID) {
				return fmt.Errorf("append: %w", &accounting.Rejected{Cause: errors.New("a number that no column holds")})
			}
		}
		return nil
	}
	n := start(t, dir, store, spool.Options{}, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(t)
	if err := n.spool.Append([]byte("no record")); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		id := tenancy.ID(fmt.Sprintf("req_%d", i))
		begin(t, n.recorder, id)
		end(n.recorder, id)
	}
	n.drain(t)
	for i := range 10 {
		id := tenancy.ID(fmt.Sprintf("req_%d", i))
		want := []accounting.State{accounting.Ended}
		if slices.Contains(bad, id) {
			want = nil
		}
		if got := store.is(id); !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v", id, got, want)
		}
	}
	if st := n.spool.Stats(); st.Dead != 4 {
		t.Errorf("%d records are put aside, want 3 and one that is none", st.Dead)
	}
	letters := ""
	files, _ := filepath.Glob(filepath.Join(dir, "dead", "*"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		letters += string(b)
	}
	if strings.Count(letters, "a number that no column holds") != 3 {
		t.Errorf("the letters do not say why: %s", letters)
	}
}

// When the process ends while a batch is tried in halves, only what is not stored yet comes again.
func TestABatchOfWhichAPartIsStored(t *testing.T) {
	t.Parallel()
	store := newMemory()
	ctx, stop := context.WithCancel(t.Context())
	store.away = func(_ int, records []accounting.Record) error {
		switch {
		case len(records) == 4:
			return &accounting.Rejected{Cause: errors.New("as a whole")}
		case records[0].ID == "req_3" && ctx.Err() == nil:
			stop()
			return errAway
		}
		return nil
	}
	n := start(t, t.TempDir(), store, spool.Options{}, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(t)
	ids := []tenancy.ID{"req_1", "req_2", "req_3", "req_4"}
	end(n.recorder, ids...)
	if err := n.shipper.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	n.drain(t)
	for _, id := range ids {
		if got := store.is(id); !slices.Equal(got, []accounting.State{accounting.Ended}) {
			t.Errorf("%s is %v", id, got)
		}
	}
}

// While the database is away calls are recorded, and when it is back everything comes, without hands.
func TestTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		back := make(chan struct{})
		store.away = func(int, []accounting.Record) error {
			select {
			case <-back:
				return nil
			default:
				return errAway
			}
		}
		n := start(t, dir, store, spool.Options{}, accounting.Shipping{}, accounting.Refuse)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { n.shipper.Run(ctx) })
		now := call("req_1")
		now.Begun, now.Total = time.Now(), time.Second
		n.recorder.End(now)
		time.Sleep(10 * time.Minute)
		if tries := store.tried(); tries < 100 || tries > 400 {
			t.Errorf("%d tries in ten minutes, want one each 2.5 to 5 s", tries)
		}
		if got := metric(t, n.shipper, "vel_spool_oldest_seconds"); got < 590 {
			t.Errorf("the oldest record is %v s old", got)
		}
		close(back)
		time.Sleep(6 * time.Second)
		if store.len() != 1 || metric(t, n.shipper, "vel_spool_oldest_seconds") != 0 {
			t.Errorf("%d records are stored after it came back", store.len())
		}
		end(n.recorder, "req_2") // at the end of the process
		stop()
		running.Wait()
		if store.len() != 2 {
			t.Errorf("%d records are stored after the end", store.len())
		}
		n.crash(t)
	})
}

// The answer to a commit may be lost. Then the cursor tells that there was one.
func TestACommitWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	store := newMemory()
	store.unsure = func(try int) error {
		if try == 1 {
			return errAway
		}
		return nil
	}
	n := start(t, t.TempDir(), store, spool.Options{}, accounting.Shipping{Batch: 2}, accounting.Refuse)
	defer n.crash(t)
	end(n.recorder, "req_1", "req_2", "req_3", "req_4", "req_5")
	n.drain(t)
	if store.len() != 5 {
		t.Errorf("%d records are stored, want 5", store.len())
	}
}

// A cursor that stands elsewhere, as after the restore of a backup, is followed.
func TestTheCursorIsFollowed(t *testing.T) {
	t.Parallel()
	store := newMemory()
	n := start(t, t.TempDir(), store, spool.Options{}, accounting.Shipping{Batch: 2}, accounting.Refuse)
	defer n.crash(t)
	end(n.recorder, "req_1", "req_2")
	begin(t, n.recorder, "req_3")
	n.drain(t)
	store.cursor, store.records = map[string]spool.Cursor{}, nil
	end(n.recorder, "req_3", "req_4")
	n.drain(t)
	for _, id := range []tenancy.ID{"req_1", "req_2", "req_3", "req_4"} {
		if got := store.is(id); !slices.Equal(got, []accounting.State{accounting.Ended}) {
			t.Errorf("%s is %v", id, got)
		}
	}
}

// An end that stood where the disk is damaged keeps nothing back: the call is charged at its estimate.
func TestAnEndThatWasLost(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), newMemory()
	n := start(t, dir, store, spool.Options{SegmentBytes: 4 << 10}, accounting.Shipping{}, accounting.Refuse)
	defer n.crash(t)
	begin(t, n.recorder, "req_lost")
	end(n.recorder, "req_lost")
	damage(t, dir, 40)
	for i := range 40 {
		end(n.recorder, tenancy.ID(fmt.Sprintf("req_%d", i)))
		n.drain(t)
	}
	if got := store.is("req_lost"); !slices.Equal(got, []accounting.State{accounting.Interrupted}) {
		t.Errorf("the call is %v", got)
	}
	if st := n.spool.Stats(); st.Segments > 4 || st.Damages != 1 {
		t.Errorf("%d segments, %d damages", st.Segments, st.Damages)
	}
}

// damage flips a byte so far before the end of the only segment.
func damage(t *testing.T, dir string, before int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.records"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], size-before); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b[:], size-before); err != nil {
		t.Fatal(err)
	}
}

// metric reads one that has no labels.
func metric(t *testing.T, s *accounting.Shipper, name string) float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.Collector())
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// Whatever happens in whatever order: an end that was acknowledged is stored exactly once, a call that was under way when
// its process was killed exactly once as interrupted, and nothing else is.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		m := &model{dir: dir, store: newMemory(), want: map[tenancy.ID]accounting.State{}}
		m.start(t)
		defer func() { m.node.crash(t) }()
		t.Repeat(map[string]func(*rapid.T){
			"begin": m.begin, "end": m.end, "refuse": m.refuse, "ship": m.ship, "crash": m.crash,
			"the database fails": m.fail, "the answer of the database is lost": m.doubt,
		})
		m.store.away, m.store.unsure = nil, nil
		m.crash(t)
		m.ship(t)
		for id, state := range m.want {
			if got := m.store.is(id); !slices.Equal(got, []accounting.State{state}) {
				t.Fatalf("%s is %v, want once %v", id, got, state)
			}
		}
		if m.store.len() != len(m.want) {
			t.Fatalf("%d records are stored, want %d", m.store.len(), len(m.want))
		}
	})
}

// model is what should be in the store.
type model struct {
	dir   string
	store *memory
	node  *node
	open  []tenancy.ID
	calls int
	want  map[tenancy.ID]accounting.State
}

func (m *model) start(t *rapid.T) {
	m.node = start(t, m.dir, m.store, spool.Options{SegmentBytes: 2 << 10}, accounting.Shipping{Batch: 3}, accounting.Refuse)
}

func (m *model) next() tenancy.ID {
	m.calls++
	return tenancy.ID(fmt.Sprintf("req_%d", m.calls))
}

func (m *model) begin(t *rapid.T) {
	id := m.next()
	if err := m.node.recorder.Begin(call(id)); err != nil {
		t.Fatal(err)
	}
	m.open = append(m.open, id)
}

func (m *model) end(t *rapid.T) {
	if len(m.open) == 0 {
		t.Skip("no call is under way")
	}
	i := rapid.IntRange(0, len(m.open)-1).Draw(t, "call")
	m.node.recorder.End(call(m.open[i]))
	m.want[m.open[i]] = accounting.Ended
	m.open = slices.Delete(m.open, i, i+1)
}

func (m *model) refuse(*rapid.T) {
	id := m.next()
	m.node.recorder.End(call(id))
	m.want[id] = accounting.Ended
}

// ship ends when everything is shipped, or at once when the database fails.
func (m *model) ship(t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if away := m.store.away; away != nil {
		m.store.away = func(try int, records []accounting.Record) error {
			cancel()
			return away(try, records)
		}
	}
	if unsure := m.store.unsure; unsure != nil {
		m.store.unsure = func(try int) error {
			cancel()
			return unsure(try)
		}
	}
	if err := m.node.shipper.Drain(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m.store.away, m.store.unsure = nil, nil
}

func (m *model) fail(*rapid.T) {
	m.store.away = func(int, []accounting.Record) error { return errAway }
}
func (m *model) doubt(*rapid.T) { m.store.unsure = func(int) error { return errAway } }

func (m *model) crash(t *rapid.T) {
	m.node.crash(t)
	for _, id := range m.open {
		m.want[id] = accounting.Interrupted
	}
	m.open = nil
	m.start(t)
}
