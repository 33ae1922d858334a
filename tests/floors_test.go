package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const house = "github.com/vel-gateway/vel"

// floors names every room and the floor it stands on. A room may import rooms on lower floors only. The top is
// cmd/vel. The simulator stands outside: it imports nothing of ours, and only cmd/vel and the tests may import it.
var floors = map[string]int{
	"cmd":     6,
	"config":  5,
	"gateway": 4, "admin": 4, "storage": 4,
	"routing": 3, "accounting": 3, "tasks": 3,
	"tenancy": 2, "adapters": 2, "ratelimit": 2,
	"money": 1, "secrets": 1,
}

// listed is what `go list -json` says of one package that matters here.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

// imports joins what the package and its two kinds of test files import.
func (p listed) imports() []string {
	return slices.Concat(p.Imports, p.TestImports, p.XTestImports)
}

func TestImportsGoDownTheFloors(t *testing.T) {
	t.Parallel()
	for _, goos := range []string{"linux", "darwin"} {
		packages, err := list("..", goos)
		if err != nil {
			t.Fatal(err)
		}
		if len(packages) < len(floors)/2 {
			t.Fatalf("go list found %d packages for %s: the check would prove nothing", len(packages), goos)
		}
		for _, p := range packages {
			for _, wrong := range misplaced(p) {
				t.Errorf("%s: %s", goos, wrong)
			}
		}
	}
}

func TestTestsImportOnlyTheSimulator(t *testing.T) {
	t.Parallel()
	packages, err := list(".", "linux")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		for _, path := range p.imports() {
			room, ours := roomOf(path)
			if ours && room != "tests" && room != "simulator" {
				t.Errorf("%s imports %s; the tests look at Vel from outside", p.ImportPath, path)
			}
		}
	}
}

func TestFloorsCheckSeesWrongImports(t *testing.T) {
	t.Parallel()
	at := func(room string) string { return house + "/" + room }
	cases := []struct {
		name    string
		p       listed
		because string // a part of the complaint; empty when the import is right
	}{
		{"down", listed{ImportPath: at("gateway"), Imports: []string{at("routing")}}, ""},
		{"down two floors from a test", listed{ImportPath: at("gateway/upstream"), TestImports: []string{at("secrets")}}, ""},
		{"within a room", listed{ImportPath: at("gateway"), Imports: []string{at("gateway/upstream")}}, ""},
		{"standard library", listed{ImportPath: at("secrets"), Imports: []string{"log/slog"}}, ""},
		{"top to simulator", listed{ImportPath: at("cmd/vel"), Imports: []string{at("simulator")}}, ""},
		{"up", listed{ImportPath: at("routing"), Imports: []string{at("gateway")}}, "up"},
		{"sideways", listed{ImportPath: at("gateway"), Imports: []string{at("storage/sqlite")}}, "sideways"},
		{"sideways in a test", listed{ImportPath: at("tenancy"), TestImports: []string{at("adapters")}}, "sideways"},
		{"up in an outside test", listed{ImportPath: at("money"), XTestImports: []string{at("accounting")}}, "up"},
		{"simulator in a room", listed{ImportPath: at("gateway"), XTestImports: []string{at("simulator")}}, "simulator"},
		{"simulator imports a room", listed{ImportPath: at("simulator"), Imports: []string{at("adapters")}}, "nothing of ours"},
		{"a room nobody planned", listed{ImportPath: at("util")}, "no floor"},
		{"import of a room nobody planned", listed{ImportPath: at("gateway"), Imports: []string{at("util")}}, "no floor"},
		{"tests", listed{ImportPath: at("gateway"), TestImports: []string{at("tests/vel")}}, "tests"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := misplaced(c.p)
			switch {
			case c.because == "" && len(got) > 0:
				t.Errorf("a right import was refused: %q", got)
			case c.because != "" && (len(got) != 1 || !strings.Contains(got[0], c.because)):
				t.Errorf("complaints %q, want one that says %q", got, c.because)
			}
		})
	}
}

// misplaced says what is wrong with the place of p and with each of its imports.
func misplaced(p listed) []string {
	room, ours := roomOf(p.ImportPath)
	if !ours {
		return nil
	}
	here, planned := floors[room]
	if !planned && room != "simulator" {
		return []string{fmt.Sprintf("%s: room %q has no floor in the house", p.ImportPath, room)}
	}
	var wrong []string
	for _, path := range p.imports() {
		if reason := misimport(room, here, path); reason != "" {
			wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", p.ImportPath, path, reason))
		}
	}
	return wrong
}

// misimport says why room, on floor here, may not import path; "" if it may.
func misimport(room string, here int, path string) string {
	target, ours := roomOf(path)
	if !ours || target == room {
		return ""
	}
	there, planned := floors[target]
	switch {
	case room == "simulator":
		return "the simulator imports nothing of ours"
	case target == "simulator" && room == "cmd":
		return ""
	case target == "simulator":
		return "only cmd/vel and tests may import the simulator"
	case target == "tests":
		return "nobody imports tests"
	case !planned:
		return fmt.Sprintf("room %q has no floor in the house", target)
	case there > here:
		return "imports never go up"
	case there == here:
		return "imports never go sideways"
	}
	return ""
}

// roomOf is the first element of an import path of ours: its room.
func roomOf(path string) (room string, ours bool) {
	rest, ours := strings.CutPrefix(path, house+"/")
	room, _, _ = strings.Cut(rest, "/")
	return room, ours
}

// list asks the go command for all packages of the module in dir, as they are built for goos.
func list(dir, goos string) ([]listed, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w: %s", dir, err, stderr.Bytes())
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read go list's answer: %w", err)
		}
		all = append(all, p)
	}
}
