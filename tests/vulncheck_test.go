package tests

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// vulncheck runs the check on a module, or on Vel itself if it is empty, and gives its exit code and all that it says.
func vulncheck(t *testing.T, module string, env ...string) (code int, said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "./vulncheck.sh")
	if module != "" {
		cmd.Args = append(cmd.Args, module)
	}
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), string(out)
	} else if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// Where the database can not be read, the check says that it has checked nothing, and fails if it has to.
func TestVulncheckSaysWhenItCanNot(t *testing.T) {
	t.Parallel()
	nowhere := "GOVULNDB=file://" + t.TempDir()
	for env, want := range map[string]int{"VULNCHECK=": 0, "VULNCHECK=required": 1} {
		if code, said := vulncheck(t, "", nowhere, env); code != want || !strings.Contains(said, "NOT CHECKED") || strings.Contains(said, "No vulnerabilities") {
			t.Errorf("%s ends with %d, want %d:\n%s", env, code, want, said)
		}
	}
}

// TestVulncheckFinds gives the check a database with one vulnerability, in a function that a program calls or does not.
func TestVulncheckFinds(t *testing.T) {
	t.Parallel()
	db := t.TempDir()
	for name, v := range map[string]any{
		"index/db.json":      map[string]any{"modified": "2027-01-15T00:00:00Z"},
		"index/modules.json": []any{map[string]any{"path": "stdlib", "vulns": []any{map[string]any{"id": "GO-2027-0001", "modified": "2027-01-15T00:00:00Z"}}}},
		"ID/GO-2027-0001.json": map[string]any{
			"schema_version": "1.3.1", "id": "GO-2027-0001", "modified": "2027-01-15T00:00:00Z", "published": "2027-01-15T00:00:00Z",
			"summary": "Invented for a test", "details": "Invented for a test", "database_specific": map[string]any{"url": "https://vuln.example/GO-2027-0001"},
			"affected": []any{map[string]any{
				"package":            map[string]any{"name": "stdlib", "ecosystem": "Go"},
				"ranges":             []any{map[string]any{"type": "SEMVER", "events": []any{map[string]any{"introduced": "0"}}}},
				"ecosystem_specific": map[string]any{"imports": []any{map[string]any{"path": "net/url", "symbols": []string{"PathEscape"}}}},
			}},
		},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(db, name), string(text))
	}
	for call, want := range map[string]int{"PathEscape": 3, "QueryEscape": 0} {
		module := t.TempDir()
		writeFile(t, filepath.Join(module, "go.mod"), "module example.com/program\n\ngo 1.26.0\n")
		writeFile(t, filepath.Join(module, "main.go"), "package main\n\nimport \"net/url\"\n\nfunc main() { println(url."+call+"(\"x\")) }\n")
		if code, said := vulncheck(t, module, "GOVULNDB=file://"+db, "GOFLAGS=-mod=mod"); code != want || !strings.Contains(said, "2027-01-15") || strings.Contains(said, "Vulnerability #1") != (want != 0) {
			t.Errorf("%s ends with %d, want %d:\n%s", call, code, want, said)
		}
	}
}

// writeFile writes a file, and the folders that it lies in.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}
