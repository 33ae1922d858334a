package tests

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fuzzLimit bounds one run of schemathesis; it takes a quarter of that on a machine that does nothing else.
const fuzzLimit = 90 * time.Second

// TestFuzzedByItsDocument lets schemathesis make requests of what the document says, good ones and bad ones, alone and
// one after the other on what it has made: no answer may be a 500 or another one than the document promises, no bad
// request may be taken, and nothing may be left of what was deleted.
func TestFuzzedByItsDocument(t *testing.T) {
	t.Parallel()
	st := filepath.Join(venv(t, "schemathesis.txt"), "bin", "st")
	for name, run := range map[string]struct {
		by   func(*testing.T, *office) *caller
		less []string // what would end the session that the run has
	}{
		"a platform administrator":     {func(_ *testing.T, o *office) *caller { return o.root }, nil},
		"an organization's, signed in": {func(t *testing.T, o *office) *caller { return o.tenant(t, "acme").admin }, []string{"logout", "refresh"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openOffice(t, "")
			args := []string{
				"run", o.URL + "/api/openapi.json", "--header", "Authorization: Bearer " + run.by(t, o).token,
				"--phases", "coverage,fuzzing,stateful", "--max-examples", "20", "--seed", "1", "--generation-database", "none",
				// What a body must be beyond its schema, and which ids there are, the document can not say.
				"--exclude-checks", "positive_data_acceptance", "--warnings", "off", "--continue-on-failure", "--no-color",
			}
			for _, id := range run.less {
				args = append(args, "--exclude-operation-id", id)
			}
			ctx, cancel := context.WithTimeout(t.Context(), fuzzLimit)
			defer cancel()
			cmd := exec.CommandContext(ctx, st, args...)
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			all := fmt.Sprintf("Tested: %d", len(o.document.Operations())-len(run.less))
			if err != nil || !strings.Contains(string(out), all) {
				t.Errorf("%v\n%s", err, out)
			}
			made := func(line string) bool { return strings.Contains(line, `"status":201`) }
			if !slices.ContainsFunc(o.Log.Lines(), made) {
				t.Error("it has made nothing")
			}
		})
	}
}
