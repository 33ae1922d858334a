package accounting_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

var update = flag.Bool("update-record", false, "write the record that later programs must still read")

// realistic is a record as most are: one stream of a key of a team, answered by the second target.
func realistic() *accounting.Record {
	id := func(prefix string) tenancy.ID { return tenancy.ID(prefix + "_0197a0c2d3e4f5a6b7c8d9e0f1a2b3c4") }
	usage := adapters.Usage{adapters.Input: 812, adapters.CacheRead: 2048, adapters.Output: 391, adapters.Reasoning: 128}
	return &accounting.Record{
		State: accounting.Ended, ID: id("req"), Begun: time.Date(2026, 11, 26, 4, 30, 0, 123456000, time.UTC),
		Who:   tenancy.Identity{Org: id("org"), Team: id("team"), User: id("user"), Key: id("key")},
		Route: "smart", Provider: "openai", Model: "gpt-5.2-2026-09-01", Endpoint: adapters.ChatCompletions, Stream: true,
		Status: 200, Waiting: 51 * time.Millisecond, FirstToken: 412 * time.Millisecond, Total: 6234 * time.Millisecond,
		Attempts: []accounting.Attempt{
			{Provider: "groq", Model: "llama-4", Total: 35 * time.Millisecond, Class: adapters.ClassOverloaded, Status: 503},
			{
				Provider: "openai", Model: "gpt-5.2-2026-09-01", Began: 51 * time.Millisecond, FirstByte: 361 * time.Millisecond, Total: 6183 * time.Millisecond,
				Status: 200, Executed: true, Usage: usage, Cost: 7_331_000, Price: "genai-prices 0.1.8",
			},
		},
		Usage: usage, Cost: 7_331_000, Estimate: 41_000_000, Agent: "OpenAI/Python 1.99.1",
		Tags: []accounting.Tag{{Key: "feature", Value: "search"}, {Key: "env", Value: "prod"}}, Decision: bytes.Repeat([]byte{7}, 40), Holds: bytes.Repeat([]byte{9}, 60),
	}
}

// fill sets everything at and below v to something, as a database keeps it.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMicro(rapid.Int64Range(1, 1<<52).Draw(t, "time")).UTC()))
		return
	case time.Duration:
		v.SetInt(rapid.Int64Range(1, 1<<40).Draw(t, "microseconds") * 1000)
		return
	case []byte:
		v.SetBytes(rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "bytes"))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), rapid.IntRange(1, 5).Draw(t, "entries"), 5))
		for i := range v.Len() {
			fill(t, v.Index(i))
		}
	case reflect.String:
		v.SetString(rapid.StringMatching(`[a-zäöü🙂]{1,60}`).Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(rapid.Uint64Range(1, 255).Draw(t, "small"))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.Int64().Draw(t, "number"))
	default:
		t.Fatalf("a field of a kind that the test does not know: %s", v.Type())
	}
}

func TestEveryFieldSurvives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var in, out accounting.Record
		fill(t, reflect.ValueOf(&in).Elem())
		if err := out.Decode(in.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(in, out); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAnEmptyFieldStaysEmpty(t *testing.T) {
	t.Parallel()
	in := accounting.Record{State: accounting.Begun, ID: "req_1", Dropped: []string{"", "n"}, Tags: []accounting.Tag{{}}, Attempts: []accounting.Attempt{{}}}
	out := *realistic()
	if err := out.Decode(in.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
}

// A record may be read by a program that is older or newer than the one that wrote it.
func TestUnknownFieldsAreSkipped(t *testing.T) {
	t.Parallel()
	want := realistic()
	var b []byte
	b = protowire.AppendBytes(protowire.AppendTag(b, 900, protowire.BytesType), []byte("a part"))
	b = protowire.AppendFixed32(protowire.AppendTag(b, 901, protowire.Fixed32Type), 1)
	b = protowire.AppendFixed64(protowire.AppendTag(b, 902, protowire.Fixed64Type), 1)
	b = want.Append(b)
	b = protowire.AppendVarint(protowire.AppendTag(b, 903, protowire.VarintType), 1)
	unit := protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 5) // of a usage
	b = protowire.AppendBytes(protowire.AppendTag(b, 20, protowire.BytesType), unit)
	var got accounting.Record
	if err := got.Decode(b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Error(diff)
	}
}

// What is in the spool of a node outlives the program: these bytes must mean the same for ever.
func TestARecordThatAnEarlierProgramWrote(t *testing.T) {
	t.Parallel()
	path := filepath.Join("testdata", "record.bin")
	if *update {
		if err := os.WriteFile(path, realistic().Append(nil), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got accounting.Record
	if err := got.Decode(b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(realistic(), &got); diff != "" {
		t.Error(diff)
	}
}

// A client can not write a record that a database would never take, and no record grows without bound.
func TestWhatARecordHasRoomFor(t *testing.T) {
	t.Parallel()
	in := accounting.Record{
		State: accounting.Ended, ID: "req_1", Agent: "a\x00b\xff", Error: strings.Repeat("ü", 5000),
		Attempts: make([]accounting.Attempt, 1000), Tags: make([]accounting.Tag, 1000), Dropped: make([]string, 1000), Prompt: make([]byte, 5<<20),
	}
	b := in.Append(nil)
	if len(b) > 20<<10 {
		t.Errorf("%d bytes", len(b))
	}
	var out accounting.Record
	if err := out.Decode(b); err != nil {
		t.Fatal(err)
	}
	if out.Agent != "a?b?" || out.Error != strings.Repeat("ü", 2048) {
		t.Errorf("agent %q, error of %d bytes", out.Agent, len(out.Error))
	}
	if len(out.Attempts) != 256 || len(out.Tags) != 256 || len(out.Dropped) != 256 || out.Prompt != nil {
		t.Errorf("%d attempts, %d tags, %d dropped, a prompt of %d bytes", len(out.Attempts), len(out.Tags), len(out.Dropped), len(out.Prompt))
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	whole := realistic().Append(nil)
	attempt := []byte{16<<3&0x7f | 2 | 0x80, 1, 0}
	for name, b := range map[string][]byte{
		"nothing": {}, "no id": {8, 2}, "no state": (&accounting.Record{ID: "req_1"}).Append(nil), "cut": whole[:len(whole)-1], "garbage": []byte("garbage"),
		"too many attempts": append(bytes.Clone(whole), bytes.Repeat(attempt, 300)...),
	} {
		if err := new(accounting.Record).Decode(b); err == nil {
			t.Errorf("%s: is decoded", name)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) { // alone: allocations are counted for the whole process
	r, b := realistic(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { b = r.Append(b[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(realistic().Append(nil))
	f.Add((&accounting.Record{State: accounting.Begun, ID: "req_1"}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again accounting.Record
		if r.Decode(b) != nil {
			return
		}
		encoded := r.Append(nil)
		if err := again.Decode(encoded); err != nil {
			t.Fatalf("what was decoded is encoded as something else: %v", err)
		}
		if !bytes.Equal(encoded, again.Append(nil)) {
			t.Fatal("encoding is not stable")
		}
	})
}

func BenchmarkRecordAppend(b *testing.B) {
	r, buf := realistic(), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = r.Append(buf[:0])
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}

func BenchmarkRecordDecode(b *testing.B) {
	encoded := realistic().Append(nil)
	var r accounting.Record
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Decode(encoded); err != nil {
			b.Fatal(err)
		}
	}
}
