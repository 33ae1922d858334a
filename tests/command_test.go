package tests

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vel-gateway/vel/tests/vel"
)

// TestCommands runs the scripts in testdata. Beside testscript's own commands they have
//
//	code N vel …      runs Vel and checks its exit code, which exec does not tell apart
//	serve NAME=value… starts Vel in the script's folder, with VEL_URL for those that follow
//	stop              ends it as a signal does
//	let NAME regexp   remembers what the last output has
func TestCommands(t *testing.T) {
	t.Parallel()
	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Values[served{}] = &served{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code, "serve": serve, "stop": stop, "let": let},
	})
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args…")
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("run %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s ended with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// served is the Vel of a script.
type served struct{ *vel.Process }

func serve(ts *testscript.TestScript, _ bool, env []string) {
	p, err := vel.Launch(ts.MkAbs("."), vel.Options{Env: env})
	ts.Check(err)
	ts.Value(served{}).(*served).Process = p
	ts.Setenv("VEL_URL", p.URL)
	ts.Defer(func() { _ = p.Stop() }) // if the script does not come to its own stop, which checks the end
}

func stop(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Value(served{}).(*served).Stop())
}

func let(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindString(ts.ReadFile("stdout"))
	if found == "" {
		ts.Fatalf("the output has no %s", args[1])
	}
	ts.Setenv(args[0], found)
}

var (
	keyLine  = regexp.MustCompile(`^\s*(?:.*\s)?(sk-vel-[A-Za-z0-9_-]{43})\s*$`)
	curlLine = regexp.MustCompile(`curl .*http`)
)

// TestFirstStart is what `make run` does on a fresh machine: no file, no variable, an empty folder. What is printed
// must work as it stands.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	p := vel.Start(t, vel.Options{})
	if _, err := p.Out.Wait(deadline(t), "the address", func(line string) bool { return strings.Contains(line, p.URL) }); err != nil {
		t.Error(err)
	}
	line, err := p.Out.Wait(deadline(t), "a first key on a line of its own", keyLine.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	key := keyLine.FindStringSubmatch(line)[1]
	for _, m := range []string{"sim-fast", "sim-strong", "sim-search"} {
		if _, err := p.Out.Wait(deadline(t), "the model "+m, func(line string) bool { return strings.Contains(line, m) }); err != nil {
			t.Error(err)
		}
		if a := ask(t, request(t, "POST", p.URL+"/v1/chat/completions", key, chat(m, "[[latency=1ms]] hi", ""))); a.content(t) == "" {
			t.Errorf("%s said nothing", m)
		}
	}
	if _, err := p.Out.Wait(deadline(t), "a curl line", curlLine.MatchString); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(deadline(t), "bash", "-c", curlCommand(p.Out.Lines()))
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "chat.completion") {
		t.Errorf("the printed curl line failed: %v\n%s", err, out)
	}
}

// TestProviderFromEnvironment: a provider and its well-known models exist as soon as its key is set.
func TestProviderFromEnvironment(t *testing.T) {
	t.Parallel()
	const openaiKey = "sk-canary-openai-0123456789abcdefghijklmnop"
	p := vel.Start(t, vel.Options{Env: []string{"OPENAI_API_KEY=" + openaiKey}, Canaries: []string{openaiKey}})
	line, err := p.Out.Wait(deadline(t), "a first key", keyLine.MatchString)
	if err != nil {
		t.Fatal(err)
	}
	list := ask(t, request(t, "GET", p.URL+"/v1/models", keyLine.FindStringSubmatch(line)[1], ""))
	if s := string(list.body); !strings.Contains(s, `"gpt-`) || strings.Contains(s, `"sim-`) {
		t.Errorf("not OpenAI's models alone: %s", s)
	}
}

// TestSimulate runs the pretend providers as a program of their own.
func TestSimulate(t *testing.T) {
	t.Parallel()
	binary, err := vel.Binary(vel.Plain)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "simulate", "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url := ""
	lines := bufio.NewScanner(out)
	for url == "" && lines.Scan() {
		url = regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(lines.Text())
	}
	if url == "" {
		t.Fatal("vel simulate printed no address")
	}
	if got := ask(t, request(t, "POST", url+"/v1/chat/completions", "any-key", chat("sim-echo", "hi", ""))).content(t); got != "hi" {
		t.Errorf("got %q", got)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // to the end, before Wait closes the pipe
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("vel simulate ended with %v", err)
	}
}

// curlCommand is the printed command, with the lines that continue it.
func curlCommand(lines []string) string {
	var command strings.Builder
	for _, line := range lines {
		if command.Len() == 0 && !curlLine.MatchString(line) {
			continue
		}
		line = strings.TrimSpace(line)
		rest, goesOn := strings.CutSuffix(line, `\`)
		command.WriteString(rest + " ")
		if !goesOn {
			break
		}
	}
	return command.String()
}

// TestFirstStartAgain: a second start in the same folder is as easy as the first.
func TestFirstStartAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		p, err := vel.Launch(dir, vel.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Out.Wait(deadline(t), "a key", keyLine.MatchString)
		if err := errors.Join(err, p.Stop()); err != nil {
			t.Fatal(err)
		}
	}
}
