package tests

import (
	"encoding/json"
	"os/exec"
	"testing"
)

// pinned are the versions that Vel relies on to the letter, each with what happens otherwise.
var pinned = map[string]struct{ version, why string }{
	"github.com/valyala/fasthttp": {
		"v1.74.0",
		"v1.73 hands a half-read stream to the next caller, and 1.76 and later do not resolve",
	},
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
