package config

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long a file must be left alone before it is read: an editor writes in several steps.
const settle = 100 * time.Millisecond

// Watch calls changed whenever the content of the file at path has become another. It watches the directory,
// not the file, so that it survives an editor's rename and the swapped links of a Kubernetes volume. changed
// runs on the watcher's own goroutine, one call at a time; it must not call stop. stop ends the goroutine and
// waits for it; what changes after stop was called is not reported.
func Watch(path string, changed func()) (stop func(), err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("watch configuration: %w", err)
	}
	events, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch configuration: %w", err)
	}
	if err := events.Add(filepath.Dir(path)); err != nil {
		_ = events.Close() // the failure to report is the first one
		return nil, fmt.Errorf("watch configuration: %w", err)
	}
	w := watcher{path: path, events: events, changed: changed}
	w.follow()
	w.seen, _ = w.digest()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run()
	}()
	return sync.OnceFunc(func() {
		_ = events.Close() // nothing depends on it but run, which it ends
		<-done
	}), nil
}

// watcher is owned by its goroutine.
type watcher struct {
	path    string // absolute
	target  string // where the links of path lead; empty while they lead nowhere
	seen    [sha256.Size]byte
	events  *fsnotify.Watcher
	changed func()
}

func (w *watcher) run() {
	quiet := time.NewTimer(settle)
	quiet.Stop()
	for {
		select {
		case e, open := <-w.events.Events:
			if !open {
				return
			}
			if name := filepath.Clean(e.Name); name == w.path || name == w.target || w.moved() {
				quiet.Reset(settle)
			}
		case _, open := <-w.events.Errors: // such as an overflow: something was missed, so look
			if !open {
				return
			}
			quiet.Reset(settle)
		case <-quiet.C:
			w.follow()
			if digest, ok := w.digest(); ok && digest != w.seen {
				w.seen = digest
				w.changed()
			}
		}
	}
}

// moved tells whether the links lead elsewhere than before.
func (w *watcher) moved() bool {
	target, err := filepath.EvalSymlinks(w.path)
	return err == nil && target != w.target
}

// follow watches the directory of the file itself too, where the path is a link into another one. A directory
// that is gone is left by itself; one that can not be watched is noticed when its link changes.
func (w *watcher) follow() {
	target, err := filepath.EvalSymlinks(w.path)
	if err != nil {
		w.target = ""
		return
	}
	if target != w.path && target != w.target {
		_ = w.events.Add(filepath.Dir(target))
	}
	w.target = target
}

// digest is of the content, and whether there is any to read: between an editor's two renames there is none.
func (w *watcher) digest() (sum [sha256.Size]byte, ok bool) {
	text, err := readBounded(w.path, maxFile)
	if err != nil {
		return sum, false
	}
	return sha256.Sum256(text), true
}
