package admin

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write admin/openapi.json anew")

// The committed document is the one that the code makes: who reads a change of the API reads it there.
func TestDocumentIsCommitted(t *testing.T) {
	t.Parallel()
	got := newWorld(t).Document()
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("openapi.json is not what the code makes; run go test ./admin -update\n%s", cmp.Diff(string(want), string(got)))
	}
}
