package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// TestSDKs points the official clients at Vel by nothing but their base URL. What each checks stands in sdk/; here
// their programs are installed, run, and their results read line by line.
func TestSDKs(t *testing.T) {
	t.Parallel()
	clients := map[string]func(*testing.T) *exec.Cmd{
		"openai from npm, 4":  func(t *testing.T) *exec.Cmd { return node(t, "4") },
		"openai from npm, 6":  func(t *testing.T) *exec.Cmd { return node(t, "6") },
		"openai from npm, 7":  func(t *testing.T) *exec.Cmd { return node(t, "7") },
		"AI SDK":              func(t *testing.T) *exec.Cmd { return inFolder(t, "ai") },
		"LangChain from npm":  func(t *testing.T) *exec.Cmd { return inFolder(t, "langchain") },
		"openai from PyPI":    func(t *testing.T) *exec.Cmd { return python(t, "requirements.txt", "checks.py") },
		"LangChain from PyPI": func(t *testing.T) *exec.Cmd { return python(t, "langchain.txt", "langchain_checks.py") },
		"openai-go":           golang,
	}
	for name, install := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim := simulate(t)                                                                                             // its counters are the client's own
			own := strings.Replace(sim.config(""), "allow_private: true", "allow_private: true, organizations: [acme]", 1) // for stored objects
			p := vel.Start(t, options(own))
			cmd := install(t)
			cmd.Env = append(os.Environ(), "VEL_URL="+p.URL, "VEL_KEY="+fullKey, "VEL_NARROW_KEY="+narrowKey, "SIM_URL="+sim.URL())
			run(t, cmd)
		})
	}
}

// run runs a client's program and makes each of its checks a subtest.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v", cmd, err)
	}
	checks, done := 0, -1
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var result struct {
			Check, Why string
			OK         bool
			Done       *int
		}
		switch err := json.Unmarshal(lines.Bytes(), &result); {
		case err != nil:
			t.Errorf("not a result: %s", lines.Text())
		case result.Done != nil:
			done = *result.Done
		default:
			checks++
			t.Run(result.Check, func(t *testing.T) {
				if !result.OK {
					t.Error(result.Why)
				}
			})
		}
	}
	if checks != done || checks == 0 {
		t.Errorf("%d of %d checks ran\n%s", checks, done, stderr.Bytes())
	}
}

// node runs the checks that all versions of openai's JavaScript client share.
func node(t *testing.T, version string) *exec.Cmd {
	t.Helper()
	npm(t, version)
	return exec.CommandContext(t.Context(), "node", filepath.Join("sdk", "node", "checks.mjs"), version)
}

// inFolder runs the checks that lie beside another JavaScript client.
func inFolder(t *testing.T, folder string) *exec.Cmd {
	t.Helper()
	npm(t, folder)
	return exec.CommandContext(t.Context(), "node", filepath.Join("sdk", "node", folder, "checks.mjs"))
}

// npm installs what a folder's lock file names, unless it is there.
func npm(t *testing.T, folder string) {
	t.Helper()
	dir := filepath.Join("sdk", "node", folder)
	if !newer(filepath.Join(dir, "node_modules", ".package-lock.json"), filepath.Join(dir, "package-lock.json")) {
		must(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	}
}

// python runs checks in an environment with what a file names.
func python(t *testing.T, requirements, checks string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), filepath.Join(venv(t, requirements), "bin", "python"), filepath.Join("sdk", "python", checks))
}

// venv installs what a file names in an environment of its own, unless it is there.
func venv(t *testing.T, requirements string) string {
	t.Helper()
	venv, err := filepath.Abs(filepath.Join(".cache", "python-"+strings.TrimSuffix(requirements, ".txt")))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join("sdk", "python")
	if stamp := filepath.Join(venv, "installed"); !newer(stamp, filepath.Join(dir, requirements)) {
		must(t, ".", "python3", "-m", "venv", "--clear", venv)
		must(t, dir, filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--no-deps", "--disable-pip-version-check", "-r", requirements)
		if err := os.WriteFile(stamp, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return venv
}

// golang builds the program with the Go client.
func golang(t *testing.T) *exec.Cmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checks")
	must(t, filepath.Join("sdk", "go"), "go", "build", "-o", path, ".")
	return exec.CommandContext(t.Context(), path)
}

// newer says whether file exists and is not older than source.
func newer(file, source string) bool {
	a, err := os.Stat(file)
	if err != nil {
		return false
	}
	b, err := os.Stat(source)
	return err == nil && !a.ModTime().Before(b.ModTime())
}

// must runs a command in dir.
func must(t *testing.T, dir string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
