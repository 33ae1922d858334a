// Package vel is Vel's binary as a test meets it: built once, started in a directory of its own, watched through its
// log and its metrics, and stopped by a signal. It knows nothing of what happens inside.
package vel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
)

// Build tells the binaries apart.
type Build int

const (
	Plain Build = iota // what users run
	Race               // the same under the race detector; it exits with 66 when it finds one
)

// builds remembers what each kind of build came to, so that a test process builds at most once. The go command's own
// cache does the same between test processes.
var builds = [...]func() (string, error){
	Plain: sync.OnceValues(func() (string, error) { return build("vel") }),
	Race:  sync.OnceValues(func() (string, error) { return build("vel-race", "-race") }),
}

// Binary is the path of Vel's binary, built from this working tree.
func Binary(b Build) (string, error) { return builds[b]() }

// build compiles cmd/vel into the cache folder of the tests. Test processes run side by side, so they take turns.
func build(name string, flags ...string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "..", "..")
	cache := filepath.Join(root, "tests", ".cache")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	turn, err := os.OpenFile(filepath.Join(cache, name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("open the build's lock: %w", err)
	}
	defer turn.Close()
	if err := syscall.Flock(int(turn.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("wait for another build: %w", err)
	}
	path := filepath.Join(cache, name)
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", path, "./cmd/vel")...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build vel: %w\n%s", err, out)
	}
	return path, nil
}
