package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	controlRow  = regexp.MustCompile(`(?m)^\| ([^|]+) \| ((?:CC|A)[0-9]+\.[0-9]+) \| ([^|]+) \| ([^|]+) \|$`)
	controlTest = regexp.MustCompile("`([a-z0-9/]+):(Test[A-Za-z0-9]+)`")
	testFunc    = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(t \*testing\.T\)`)
)

// Every control of docs/security.md names tests, and all of them exist.
func TestControlsHaveTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := controlRow.FindAllStringSubmatch(string(page), -1)
	lines := strings.Count(string(page), "\n| ") - strings.Count(string(page), "\n|---") // without the heads
	if len(rows) < 15 || len(rows) != lines {
		t.Fatalf("%d controls can be read of %d", len(rows), lines)
	}
	known := map[string]map[string]bool{}
	for _, row := range rows {
		named := controlTest.FindAllStringSubmatch(row[4], -1)
		if len(named) == 0 || strings.Join(strings.Fields(controlTest.ReplaceAllString(row[4], "")), "") != "" {
			t.Errorf("%s (%s) does not name its tests as `folder:Name`: %s", row[1], row[2], row[4])
		}
		for _, test := range named {
			folder, name := test[1], test[2]
			if known[folder] == nil {
				known[folder] = testsOf(t, folder)
			}
			if !known[folder][name] {
				t.Errorf("%s (%s): %s has no %s", row[1], row[2], folder, name)
			}
		}
	}
}

// testsOf are the tests in a folder.
func testsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", folder, err)
	}
	found := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
			found[m[1]] = true
		}
	}
	return found
}
