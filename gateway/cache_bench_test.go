package gateway

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tasks"
)

// BenchmarkHit compares what a hit of the cache costs with a plain refusal of the same size, which does all that must be done
// for any call: key, JSON, route, record. The bar is 30 µs of CPU for a hit beyond that. A body of 32 KiB has to be read and hashed.
func BenchmarkHit(b *testing.B) {
	long := strings.Replace(chatBody, "hi", strings.Repeat("all work and no play ", 32<<10/21), 1)
	for name, body := range map[string]string{
		"hit":             chatBody,
		"refusal":         strings.Replace(chatBody, `"m"`, `"x"`, 1),
		"hit, 32 KiB":     long,
		"refusal, 32 KiB": strings.Replace(long, `"m"`, `"x"`, 1),
	} {
		b.Run(name, func(b *testing.B) {
			h := quiet(b, toRaw(rawBackend(b, jsonAnswer(200, completion))), priced, caching)
			each := func(p []byte) error { _, err := io.Discard.Write(p); return err }
			r := &tasks.Request{As: h.as(1), Endpoint: adapters.ChatCompletions, Body: []byte(body)}
			_, failed := h.pipe.Execute(b.Context(), r, each) // the one that is kept
			b.ReportAllocs()
			began := cpu(b)
			for b.Loop() {
				if _, err := h.pipe.Execute(b.Context(), r, each); (err == nil) != (failed == nil) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-began).Nanoseconds())/float64(b.N), "cpu-ns/op")
			if n := h.metric("vel_cache_lookups_total", "result", "hit"); failed == nil && n < float64(b.N) {
				b.Errorf("%v of %d calls were hits", n, b.N)
			}
		})
	}
}

// cpu is how much CPU this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
