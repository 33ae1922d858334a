package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWatch changes a file in every way that editors and Kubernetes do, and waits for the content to be seen.
func TestWatch(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, path, text string){
		"written in place": write,
		"renamed over": func(t *testing.T, path, text string) {
			write(t, path+".new", text)
			must(t, os.Rename(path+".new", path))
		},
		"removed and made again": func(t *testing.T, path, text string) {
			must(t, os.Remove(path))
			write(t, path, text)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "vel.yaml")
			write(t, path, "one")
			seen := watch(t, path)
			change(t, path, "two")
			expect(t, seen, "two")
			change(t, path, "three")
			expect(t, seen, "three")
		})
	}
}

// TestWatchKubernetes swaps the link ..data, as the kubelet does for a ConfigMap.
func TestWatchKubernetes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	publish := func(version, text string) {
		must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		write(t, filepath.Join(dir, version, "vel.yaml"), text)
		must(t, os.Symlink(version, filepath.Join(dir, "..tmp")))
		must(t, os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	publish("..1", "one")
	path := filepath.Join(dir, "vel.yaml")
	must(t, os.Symlink(filepath.Join("..data", "vel.yaml"), path))
	seen := watch(t, path)
	publish("..2", "two")
	expect(t, seen, "two")
	must(t, os.RemoveAll(filepath.Join(dir, "..1")))
	publish("..3", "three")
	expect(t, seen, "three")
}

// TestWatchThroughLink changes the file that a link in another directory leads to.
func TestWatchThroughLink(t *testing.T) {
	t.Parallel()
	file, link := filepath.Join(t.TempDir(), "real.yaml"), filepath.Join(t.TempDir(), "vel.yaml")
	write(t, file, "one")
	must(t, os.Symlink(file, link))
	seen := watch(t, link)
	write(t, file, "two")
	expect(t, seen, "two")
}

// TestWatchSameContent: touching a file or writing what is there changes nothing.
func TestWatchSameContent(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vel.yaml")
	write(t, path, "one")
	seen := watch(t, path)
	write(t, path, "one")
	must(t, os.Chtimes(path, time.Time{}, time.Now()))
	write(t, filepath.Join(filepath.Dir(path), "other"), "x")
	write(t, path, "two")
	expect(t, seen, "two") // and not "one" before it
}

func TestWatchStops(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vel.yaml")
	write(t, path, "one")
	stop, err := Watch(path, func() { t.Error("called though nothing changed") })
	if err != nil {
		t.Fatal(err)
	}
	stop()
	stop()
	if _, err := Watch(filepath.Join(path, "not", "there"), nil); err == nil {
		t.Error("a directory that is not there is watched")
	}
}

// watch sends what is in the file whenever it is said to have changed.
func watch(t *testing.T, path string) <-chan string {
	t.Helper()
	seen, done := make(chan string), make(chan struct{})
	stop, err := Watch(path, func() {
		text, _ := os.ReadFile(path) // gone again: the next change is waited for
		select {
		case seen <- string(text):
		case <-done:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(done)
		stop()
	})
	return seen
}

// expect waits for the content. A write in place can be seen half done, as the empty file.
func expect(t *testing.T, seen <-chan string, want string) {
	t.Helper()
	for {
		select {
		case got := <-seen:
			if got == want {
				return
			}
			if got != "" {
				t.Fatalf("saw %q, want %q", got, want)
			}
		case <-t.Context().Done():
			t.Fatalf("%q was not seen", want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
