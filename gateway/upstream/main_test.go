package upstream

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain proves that everything that was started has been stopped. fasthttp's cleaner of idle connections is its
// own: it ends by itself when its host has no connection left, at the latest when its sleep is over.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
