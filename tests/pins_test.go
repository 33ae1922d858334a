package tests

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// pinned are the versions that Vel relies on to the letter, each with what happens otherwise.
var pinned = map[string]struct{ version, why string }{
	"github.com/valyala/fasthttp": {
		"v1.74.0",
		"v1.73 hands a half-read stream to the next caller, and 1.76 and later do not resolve",
	},
	"github.com/prometheus/common": {"v0.72.0", "v0.73.1 needs a module that does not resolve"},
}

func TestPinsHold(t *testing.T) {
	t.Parallel()
	for path, pin := range pinned {
		cmd := exec.Command("go", "list", "-m", "-json", path)
		cmd.Dir = ".."
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go list -m %s: %v", path, err)
		}
		var module struct {
			Version string
			Replace *struct{ Path, Version string }
		}
		if err := json.Unmarshal(out, &module); err != nil {
			t.Fatal(err)
		}
		if module.Version != pin.version || module.Replace != nil {
			t.Errorf("%s is %s (replaced by %v), pinned is %s: %s", path, module.Version, module.Replace, pin.version, pin.why)
		}
	}
}

// TestBuildKeepsTheMonitorAwake: what `make build` makes has the runtime default on which the cost of an event hangs
// (docs/decisions/2026-11-22-data-plane-costs.md). The linker drops a variable that it does not know without a word.
func TestBuildKeepsTheMonitorAwake(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "vel")
	cmd := exec.Command("make", "build", "OUT="+out)
	cmd.Dir = ".."
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, text)
	}
	binary, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(binary, []byte("schedtrace=2147483647")) {
		t.Error("the runtime's default is not in the binary")
	}
}
