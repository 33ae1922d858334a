package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// documented is one line of a table in docs/configuration.md.
type documented struct {
	path, standard string // standard: the default, empty where the file has none
	later          bool   // it stands under "Not enforced yet"
	block          bool   // it stands for a whole price, budget or limits, whose settings are documented once
}

var documentedRow = regexp.MustCompile("^\\| `([^`]+)` \\|(.*)$")

func readDocumentation(t *testing.T) []documented {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []documented
	section := ""
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.TrimSpace(title)
		}
		m := documentedRow.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || section != "Settings" && section != "Not enforced yet" {
			continue
		}
		row := documented{path: m[1], later: section == "Not enforced yet"}
		cells := strings.Split(m[2], "|")
		if !row.later && strings.Contains(cells[1], "`") {
			row.standard = strings.Trim(strings.TrimSpace(cells[1]), "`")
		}
		row.block = slices.Contains([]string{"a price", "a budget", "limits"}, strings.TrimSpace(cells[0]))
		rows = append(rows, row)
	}
	return rows
}

// below tells whether a path is another one, or lies in it.
func below(path, block string) bool {
	rest, ok := strings.CutPrefix(path, block)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func effectOf(leaf string) effect {
	for _, t := range treatments {
		if below(leaf, t.path) {
			return t.effect
		}
	}
	return later
}

// Every value of the file is documented, on the side where it belongs, and nothing is that does not exist.
func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	rows, used := readDocumentation(t), map[string]bool{}
	for _, leaf := range leaves(reflect.TypeFor[file](), "") {
		found := false
		for _, row := range rows {
			if (row.later || row.block) && below(leaf, row.path) || row.path == leaf {
				used[row.path], found = true, true
				if wantLater := effectOf(leaf) == later; row.later != wantLater {
					t.Errorf("%s: documented as not enforced: %v, but the table of parts says %v", leaf, row.later, wantLater)
				}
			}
		}
		if !found {
			t.Errorf("%s is not in docs/configuration.md", leaf)
		}
	}
	for _, row := range rows {
		if !used[row.path] {
			t.Errorf("docs/configuration.md has %s, which does not exist", row.path)
		}
	}
}

// The defaults that are documented are those that hold: writing all of them down changes nothing.
func TestDocumentedDefaultsHold(t *testing.T) {
	t.Parallel()
	var environ []string
	for _, row := range readDocumentation(t) {
		if row.standard == "" || strings.Contains(row.path, "*") {
			continue
		}
		environ = append(environ, prefix+strings.ToUpper(strings.ReplaceAll(row.path, ".", "__"))+"="+row.standard)
	}
	if len(environ) < 20 {
		t.Fatalf("only %d defaults were found in docs/configuration.md", len(environ))
	}
	written, err := Load("", environ)
	if err != nil {
		t.Fatal(err)
	}
	unwritten, err := Load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		name      string
		got, want any
	}{
		{"gateway", written.Gateway, unwritten.Gateway},
		{"defaults", written.Routing.Defaults, unwritten.Routing.Defaults},
		{"log", written.Log, unwritten.Log},
		{"not enforced", written.NotEnforced, unwritten.NotEnforced},
	} {
		if diff := cmp.Diff(part.want, part.got); diff != "" {
			t.Errorf("%s: the documented defaults are not those that hold (-hold +documented):\n%s", part.name, diff)
		}
	}
	if written.Database != unwritten.Database {
		t.Errorf("database: documented is not the default")
	}
}

// The files and blocks that the documentation shows are configurations that a start would take.
func TestDocumentedFilesAreWhole(t *testing.T) {
	t.Parallel()
	shown := map[string]string{}
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../examples/*.md"} {
		pages, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range pages {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			for i, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
				shown[fmt.Sprintf("%s#%d", filepath.Base(page), i+1)] = block[1]
			}
		}
	}
	files, err := filepath.Glob("../examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		shown[filepath.Base(file)] = string(text)
	}
	if len(shown) < 3 {
		t.Fatalf("only %d configurations were found", len(shown))
	}
	for name, text := range shown {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := parse(name, []byte(text), environment{})
			if err != nil {
				t.Fatal(err)
			}
			if len(c.NotEnforced) > 0 {
				t.Errorf("a start would refuse it: %v", c.NotEnforced)
			}
		})
	}
}

var yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```")
