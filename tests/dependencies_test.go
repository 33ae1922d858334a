package tests

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var dependencyRow = regexp.MustCompile("(?m)^\\| `([a-z0-9.-]+\\.[a-z]+/[^`]+)` \\|")

// Every library that the code imports has a line in docs/dependencies.md, and every line has code.
func TestDependenciesHaveAReason(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, m := range dependencyRow.FindAllStringSubmatch(string(text), -1) {
		used[m[1]] = false
	}
	for _, goos := range []string{"linux", "darwin"} {
		packages, err := list("..", goos)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range libraries(packages) {
			module := moduleOf(path, used)
			if module == "" {
				t.Errorf("%s is imported and has no line in docs/dependencies.md", path)
				continue
			}
			used[module] = true
		}
	}
	for module, is := range used {
		if !is {
			t.Errorf("docs/dependencies.md has %s, which nothing imports", module)
		}
	}
}

// libraries are the imports that are neither ours nor of the standard library.
func libraries(packages []listed) []string {
	var all []string
	for _, p := range packages {
		for _, path := range p.imports() {
			first, _, _ := strings.Cut(path, "/")
			if _, ours := roomOf(path); !ours && strings.Contains(first, ".") {
				all = append(all, path)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// moduleOf is the module that a package is of. Some are named like a folder of others.
func moduleOf(path string, known map[string]bool) (longest string) {
	for module := range known {
		if (path == module || strings.HasPrefix(path, module+"/")) && len(module) > len(longest) {
			longest = module
		}
	}
	return longest
}
