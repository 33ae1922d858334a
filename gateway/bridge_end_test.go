package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vel-gateway/vel/adapters"
)

// A client that leaves a stream ends the handler's context within a second, also below TLS, and its writes fail.
func TestBridgeClientLeaves(t *testing.T) {
	t.Parallel()
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	roots := writePair(t, certFile, keyFile, 1)
	for name, encrypted := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			left, ended := make(chan struct{}), make(chan time.Duration, 1)
			h := quiet(t, mounting(func(w http.ResponseWriter, r *http.Request) {
				if (r.TLS != nil) != encrypted {
					t.Errorf("TLS %v", r.TLS)
				}
				_, _ = io.WriteString(w, "data: 1\n\n")
				_ = http.NewResponseController(w).Flush()
				<-left
				from := time.Now()
				<-r.Context().Done()
				ended <- time.Since(from)
				var err error
				for range 3 {
					if _, err = w.Write(make([]byte, 2*keptMost)); err == nil {
						t.Error("a write that nobody takes went well")
					}
				}
				if err2 := http.NewResponseController(w).Flush(); err2 == nil {
					t.Error("a flush that nobody takes went well")
				}
			}), func(h *house) {
				if encrypted {
					h.config.Server.TLS = TLSConfig{Cert: certFile, Key: keyFile}
				}
			})
			c, err := net.Dial("tcp", h.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			if encrypted {
				c = tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
			}
			if _, err := io.WriteString(c, request("GET", "/api/events", "")); err != nil {
				t.Fatal(err)
			}
			for in := []byte(nil); !bytes.Contains(in, []byte("data: 1\n\n")); { // it comes while the handler goes on
				piece := make([]byte, 512)
				n, err := c.Read(piece)
				if in = append(in, piece[:n]...); err != nil {
					t.Fatalf("%q, error %v", in, err)
				}
			}
			close(left)
			_ = c.Close()
			if d := within(t, "the context to end", ended); d > time.Second {
				t.Errorf("the context ended after %s", d)
			}
			eventually(t, "the connection is gone", func() bool { return h.Connections() == 0 })
		})
	}
}

// A client that leaves before the handler has written anything ends it too, and gets no half of an answer.
func TestBridgeClientLeavesEarly(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan struct{})
	h := quiet(t, mounting(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		_, _ = io.WriteString(w, "a")
		_, _ = w.Write(make([]byte, 2*keptMost))
		close(ended)
	}))
	c := h.dial()
	c.write(request("GET", "/api", ""))
	within(t, "the handler", begun)
	_ = c.CloseWrite() // it counts as leaving, and can still read
	within(t, "the handler to end", ended)
	if all, err := io.ReadAll(c.in); len(all) != 0 || err != nil {
		t.Errorf("%q, error %v", all, err)
	}
}

// A handler is never ahead of its client: nothing piles up in between.
func TestBridgeBackPressure(t *testing.T) {
	t.Parallel()
	const pieces = 20
	var written atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	b := newBridge(&conn{}, cancel, false)
	go b.run(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			n, _ := w.Write(make([]byte, 2*keptMost))
			written.Add(int64(n))
		}
	}), (&http.Request{}).WithContext(ctx), nil)
	out, ended := &counted{took: make(chan struct{})}, make(chan error, 1)
	go func() {
		_, err := b.WriteTo(out)
		ended <- err
	}()
	for n := range int64(pieces) {
		if ahead := written.Load() - n*2*keptMost; ahead > 0 {
			t.Errorf("the handler is %d bytes ahead", ahead)
		}
		<-out.took
	}
	go func() {
		for range out.took { // the one that is under way
		}
	}()
	b.end(adapters.ClassGone)
	if err := within(t, "the end", ended); err != errLeft {
		t.Errorf("error %v", err)
	}
	_ = b.CloseWithError(nil)
	close(out.took)
}

// A drain ends the context of a stream, and the stream gets a proper end.
func TestBridgeDrain(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	h := quiet(t, mounting(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
		_, _ = io.WriteString(w, "goodbye")
	}), func(h *house) { h.config.Server.Drain = 10 * time.Millisecond })
	c := h.dial()
	c.write(request("GET", "/api", ""))
	r := c.head("GET")
	within(t, "the handler", begun)
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	if all, err := io.ReadAll(r.Body); string(all) != "goodbye" || err != nil {
		t.Errorf("body %q, error %v", all, err)
	}
}
