package upstream

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain proves that everything that was started has been stopped. fasthttp's own cleaners, of idle connections
// and of idle workers, sleep on for some seconds and end by themselves; nobody can wait for them.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
