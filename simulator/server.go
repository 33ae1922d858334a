package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says what a server pretends to be. The zero value is a healthy provider with all built-in models on
// a free port of the loopback.
type Config struct {
	Listen   string      // address; empty means 127.0.0.1:0
	Provider Provider    // who it is
	Faults   string      // fault words for every call, separated by spaces, as in a marker without its brackets
	Seed     uint64      // of the draws of latencies and errors
	TLS      *tls.Config // nil: plain HTTP
	MaxBody  int64       // largest request body in bytes; 0 means 128 MiB
}

const (
	maxBody        = 128 << 20
	headerTimeout  = 30 * time.Second
	idleTimeout    = 2 * time.Minute // longer than a gateway keeps idle connections to a big provider
	defaultListen  = "127.0.0.1:0"
	defaultCompany = "simulator"
)

// Server is a running simulator.
type Server struct {
	provider Provider
	maxBody  int64
	secure   bool
	addr     net.Addr
	http     *http.Server
	tally    *tally
	recorder recorder
	tries    tries

	running  context.Context // ends with errStopped when open answers are cut
	cut      context.CancelCauseFunc
	served   chan struct{}  // closed when the accept loop has ended
	handlers sync.WaitGroup // also those of connections that net/http gave away

	mu     sync.Mutex // guards what follows
	ending bool       // no handler begins any more
	random *rand.Rand
	faults faults
	given  []string // the words that made faults
}

// Start listens and serves until Stop. It fails when the address can not be had or a fault word is wrong.
func Start(cfg Config) (*Server, error) {
	s := &Server{provider: cfg.Provider, maxBody: cfg.MaxBody, secure: cfg.TLS != nil, tally: newTally(), served: make(chan struct{})}
	if s.provider.Name == "" {
		s.provider.Name = defaultCompany
	}
	if len(s.provider.Profiles) == 0 {
		s.provider.Profiles = Profiles()
	}
	if s.maxBody <= 0 {
		s.maxBody = maxBody
	}
	s.random = rand.New(rand.NewPCG(cfg.Seed, 0x73696d)) // the second half only has to be fixed
	if err := s.SetFaults(cfg.Faults); err != nil {
		return nil, err
	}
	if cfg.Listen == "" {
		cfg.Listen = defaultListen
	}
	tcp, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	s.addr = tcp.Addr()
	s.running, s.cut = context.WithCancelCause(context.Background())
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		BaseContext:       func(net.Listener) context.Context { return s.running },
		ConnContext:       withConn,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
	}
	go func() {
		defer close(s.served)
		// It ends only by Shutdown or Close, whose callers know.
		_ = s.http.Serve(&listener{Listener: tcp, tls: cfg.TLS, tally: s.tally})
	}()
	return s, nil
}

// Stop takes no new calls, waits for open answers until ctx ends, cuts those that are left, and returns when
// every goroutine is gone. The error says that answers were cut.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	s.cut(errStopped)
	s.mu.Lock()
	s.ending = true // so that none is added while they are waited for
	s.mu.Unlock()
	_ = s.http.Close() // what Shutdown left; it has nothing else to report
	<-s.served
	s.handlers.Wait()
	if err != nil {
		return fmt.Errorf("stop the simulator: open answers were cut: %w", err)
	}
	return nil
}

// Addr is the address that the server listens on, host:port.
func (s *Server) Addr() string { return s.addr.String() }

// URL is the base of the server's paths, without /v1 and without a slash at its end.
func (s *Server) URL() string {
	if s.secure {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Models are the names of the models served.
func (s *Server) Models() []string { return modelNames(s.provider.Profiles) }

// Stats returns the counters.
func (s *Server) Stats() Stats {
	stats, _ := s.tally.read(false)
	return stats
}

// Await waits until the counters satisfy a condition and returns them; the error is that of ctx.
func (s *Server) Await(ctx context.Context, ok func(Stats) bool) (Stats, error) {
	return s.tally.await(ctx, ok)
}

// ResetStats counts from zero.
func (s *Server) ResetStats() { s.tally.reset() }

// Request returns a kept request, by its x-request-id, by its marker's id, or "last".
func (s *Server) Request(id string) (Request, bool) { return s.recorder.find(id) }

// SetFaults sets the fault words for every call from now on, separated by spaces; "" makes the server
// healthy. The error names the words that are wrong, and then nothing is changed.
func (s *Server) SetFaults(given string) error {
	list := strings.Fields(given)
	var f faults
	if err := f.apply(list); err != nil {
		return fmt.Errorf("set the simulator's faults: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.given = f, list
	s.tries.reset()
	return nil
}

func (s *Server) defaultFaults() faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

func (s *Server) drawLatency(p *Profile) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.firstToken(s.random)
}

// drawError draws whether a call fails, and with which status: half of them overloaded, a quarter each
// failed and limited.
func (s *Server) drawError(rate float64) opt[int] {
	if rate <= 0 {
		return opt[int]{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.random.Float64() >= rate {
		return opt[int]{}
	}
	return opt[int]{[...]int{503, 503, 500, 429}[s.random.IntN(4)], true}
}

// begin counts a handler in, unless the server has ended.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending {
		s.handlers.Add(1)
	}
	return !s.ending
}

// serve is the handler of every request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.handlers.Done()
	c := connOf(r.Context())
	c.tear.Store(0)
	if strings.HasPrefix(r.URL.Path, "/simulator/") {
		s.control(w, r)
		return
	}
	record := &Request{
		ID: "req_" + randomName(32), At: time.Now().UTC(), Remote: r.RemoteAddr, Method: r.Method, URI: r.RequestURI,
		Head: string(c.takeHead()), Header: r.Header, Chunked: len(r.TransferEncoding) > 0,
	}
	s.setHeaders(w.Header(), record)
	body, e := s.readBody(w, r)
	c.rearm()
	s.recorder.add(record, body)
	if e != nil {
		e.send(w)
		return
	}
	s.api(w, r, record, body)
}

// readBody reads a request's body to its end, which is also what makes net/http watch for the client leaving.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *apiError) {
	if r.ContentLength > s.maxBody {
		return nil, errTooLarge(s.maxBody)
	}
	limited := http.MaxBytesReader(w, r.Body, s.maxBody)
	if r.ContentLength >= 0 {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(limited, body); err != nil {
			return nil, errNotJSON()
		}
		// The end has to be seen for the watching to begin.
		_, _ = limited.Read(make([]byte, 1))
		return body, nil
	}
	body, err := io.ReadAll(limited)
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, errTooLarge(s.maxBody)
	}
	if err != nil {
		return nil, errNotJSON()
	}
	return body, nil
}

// api serves the OpenAI paths, with and without /v1.
func (s *Server) api(w http.ResponseWriter, r *http.Request, record *Request, body []byte) {
	key, ok := bearer(r.Header)
	if !ok {
		errNoKey().send(w)
		return
	}
	if s.provider.Key != "" && key != s.provider.Key {
		errKey(key).send(w)
		return
	}
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v1"), "/")
	want := http.MethodGet
	var serve func()
	if path == "/chat/completions" {
		want, serve = http.MethodPost, func() { s.chat(w, r, record, body) }
	} else if path == "/models" {
		serve = func() { s.listModels(w) }
	} else if id, one := strings.CutPrefix(path, "/models/"); one {
		serve = func() { s.showModel(w, id) }
	} else {
		errURL(r.Method, r.URL.Path).send(w)
		return
	}
	if r.Method != want {
		w.Header().Set("Allow", want)
		errMethod(r.Method, r.URL.Path).send(w)
		return
	}
	serve()
}

// setHeaders sets what OpenAI and the network before it put on every answer, also what a gateway must not
// pass on.
func (s *Server) setHeaders(h http.Header, record *Request) {
	h["X-Request-Id"] = []string{record.ID}
	h["Openai-Organization"] = []string{"org-" + s.provider.Name}
	h["Openai-Processing-Ms"] = []string{strconv.FormatInt(time.Since(record.At).Milliseconds()+1, 10)}
	h["Openai-Version"] = []string{"2020-10-01"}
	h["X-Ratelimit-Limit-Requests"] = []string{"10000"}
	h["X-Ratelimit-Limit-Tokens"] = []string{"2000000"}
	h["X-Ratelimit-Remaining-Requests"] = []string{"9999"}
	h["X-Ratelimit-Remaining-Tokens"] = []string{"1999900"}
	h["X-Ratelimit-Reset-Requests"] = []string{"6ms"}
	h["X-Ratelimit-Reset-Tokens"] = []string{"3ms"}
	h["Access-Control-Expose-Headers"] = []string{"X-Request-ID"}
	h["Alt-Svc"] = []string{`h3=":443"; ma=86400`}
	h["Cf-Cache-Status"] = []string{"DYNAMIC"}
	h["Cf-Ray"] = []string{"8f0" + record.ID[len("req_"):16] + "-SIM"}
	h["Server"] = []string{"cloudflare"}
	h["Set-Cookie"] = []string{"__cf_bm=" + record.ID[len("req_"):] + "; path=/; domain=.api.openai.com; HttpOnly; Secure; SameSite=None"}
	h["Strict-Transport-Security"] = []string{"max-age=31536000; includeSubDomains; preload"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
}
