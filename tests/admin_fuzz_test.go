package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fuzzLimit bounds one run of schemathesis; it takes a quarter of that on a machine that does nothing else.
const fuzzLimit = 4 * time.Minute

// TestFuzzedByItsDocument lets schemathesis make requests of what the document says, good ones and bad ones, alone and
// one after the other on what it has made: no answer may be a 500 or another one than the document promises, no bad
// request may be taken, and nothing may be left of what was deleted.
func TestFuzzedByItsDocument(t *testing.T) {
	t.Parallel()
	st := filepath.Join(venv(t, "schemathesis.txt"), "bin", "st")
	for name, run := range map[string]struct {
		root bool
		less []string // what may end the session that the run has: it tries the ids that it sees; and what takes lines, which it can not write
	}{
		"a platform administrator, on Postgres":   {true, []string{"add-batch-items"}},
		"an organization's, signed in, on SQLite": {false, []string{"logout", "refresh", "end-session", "change-user", "delete-user", "set-user-roles", "change-password", "add-batch-items"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var env []string
			if run.root {
				env = onPostgres(t)
			}
			o := openOffice(t, "", env...)
			n := o.tenant(t, "acme")
			by := n.admin
			if run.root {
				by = o.root
			}
			dir := t.TempDir()
			depth := "[parameters]\n\"query.organization\" = \"" + n.org + "\"\n" // what it makes up would never be one
			if err := os.WriteFile(filepath.Join(dir, "schemathesis.toml"), []byte(depth), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{
				"run", o.URL + "/api/openapi.json", "--header", "Authorization: Bearer " + by.token,
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
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			all := fmt.Sprintf("Tested: %d", len(o.document.Operations())-len(run.less))
			if err != nil || !strings.Contains(string(out), all) {
				t.Errorf("%v\n%s", err, out)
			}
			made := strings.Count(strings.Join(o.Log.Lines(), "\n"), `"status":201`)
			if made < 10 { // how many varies with the document
				t.Errorf("it has made only %d objects", made)
			}
			by.do(t, "GET", "/api/organizations", nil).want(t, 200) // it was known to the end
		})
	}
}
