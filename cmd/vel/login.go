package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vel-gateway/vel/admin/issuer"
)

// loginCmd signs a person on by their browser.
type loginCmd struct {
	Server string `env:"VEL_URL" default:"http://127.0.0.1:8080" placeholder:"URL" help:"The server."`
}

// Help shows how it is used.
func (loginCmd) Help() string {
	return `Signs you on by the issuer that the server has (admin.oidc) and prints a token that lives for 24 hours. The browser must
run on this machine.

Example:
  export VEL_ADMIN_KEY=$(vel login)`
}

// signOnLimit is how long the person may take.
const signOnLimit = 10 * time.Minute

// Run waits for the browser and prints the token.
func (c *loginCmd) Run(ctx context.Context, o *output) error {
	ctx, cancel := context.WithTimeout(ctx, signOnLimit)
	defer cancel()
	r := &remote{base: strings.TrimRight(c.Server, "/"), client: &http.Client{Timeout: requestLimit}}
	door, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the browser: %w", err)
	}
	verifier := issuer.NewFlow().Verifier
	query := url.Values{"port": {strconv.Itoa(door.Addr().(*net.TCPAddr).Port)}, "challenge": {issuer.Challenge(verifier)}}
	_, _ = fmt.Fprintf(o.Err, "Open this in a browser on this machine:\n%s/api/auth/oidc/login?%s\n", r.base, query.Encode())
	code, err := visited(ctx, door)
	if err != nil {
		return err
	}
	var token struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires"`
	}
	body := map[string]string{"code": code, "verifier": verifier}
	if err := r.call(ctx, http.MethodPost, "/api/auth/oidc/token", nil, "", body, &token); err != nil {
		return err
	}
	return o.print(token, token.Token+"\n")
}

// visited waits until a browser brings a code.
func visited(ctx context.Context, door net.Listener) (code string, err error) {
	codes := make(chan string, 1)
	server := &http.Server{ReadHeaderTimeout: requestLimit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		brought := r.URL.Query().Get("code")
		if r.URL.Path != "/" || brought == "" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "You have signed on. This page can be closed.\n") // the browser may be gone
		select {
		case codes <- brought:
		default: // the first one counts
		}
	})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(door) })
	defer serving.Wait()
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second) // for the browser to read the answer
		defer cancel()
		_ = server.Shutdown(end)
		_ = server.Close()
	}()
	select {
	case code = <-codes:
		return code, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return "", fmt.Errorf("nobody has signed on for %s: %w", signOnLimit, os.ErrDeadlineExceeded)
		}
		return "", ctx.Err()
	}
}
