package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// remote is the API of a server, or of the database of a stopped one.
type remote struct {
	base   string
	key    string
	client *http.Client
}

// answerLimit bounds what is read of an answer.
const answerLimit = 16 << 20

// problem is an error answer: RFC 9457.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// open makes one request, and gives its answer if it is a good one, to be closed. match is the revision that an object
// must have; empty: any.
func (r *remote) open(ctx context.Context, method, path string, query url.Values, match string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	return r.send(ctx, method, path, query, match, "application/json", body)
}

// sendLines sends lines of JSON, and reads the answer into out.
func (r *remote) sendLines(ctx context.Context, path string, query url.Values, lines []byte, out any) error {
	res, err := r.send(ctx, http.MethodPost, path, query, "", "application/x-ndjson", bytes.NewReader(lines))
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := r.text(res)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

// send is open with a body of any kind.
func (r *remote) send(ctx context.Context, method, path string, query url.Values, match, media string, body io.Reader) (*http.Response, error) {
	address := r.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("VEL_URL is no address of a server: %s", r.base)
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	req.Header.Set("Content-Type", media)
	req.Header.Set("User-Agent", "vel/"+thisBuild().Version)
	if match != "" {
		req.Header.Set("If-Match", match)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no server answers at %s; start one with vel serve, name another one in VEL_URL, or use --local: %w", r.base, cause(err))
	}
	if res.StatusCode > 299 {
		defer func() { _ = res.Body.Close() }()
		text, err := r.text(res)
		if err != nil {
			return nil, err
		}
		return nil, r.failed(res.StatusCode, text)
	}
	return res, nil
}

func (r *remote) text(res *http.Response) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", r.base, err)
	}
	return text, nil
}

// call makes one request and reads its answer into out, which may be nil. match is the revision that an object must
// have; empty: any.
func (r *remote) call(ctx context.Context, method, path string, query url.Values, match string, in, out any) error {
	res, err := r.open(ctx, method, path, query, match, in)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := r.text(res)
	if err != nil || out == nil || len(text) == 0 {
		return err
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s answers what this version does not understand: %w", r.base, err)
	}
	return nil
}

// cause is an error of the client's without the address, which stands before it.
func cause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// failed makes an error of an error answer, with every fault on a line of its own.
func (r *remote) failed(status int, text []byte) error {
	var p problem
	if err := json.Unmarshal(text, &p); err != nil || p.Title == "" {
		return fmt.Errorf("%s answers %d %s; is it a Vel server?", r.base, status, http.StatusText(status))
	}
	var b strings.Builder
	b.WriteString(strings.ToLower(p.Title))
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for _, e := range p.Errors {
		b.WriteString("\n  " + e.Location + ": " + e.Message)
	}
	if status == http.StatusUnauthorized && r.key == "" {
		b.WriteString("\n  VEL_ADMIN_KEY is not set")
	}
	return errors.New(b.String())
}

// every reads all pages of a list.
func (r *remote) every(ctx context.Context, path string, query url.Values) (all []map[string]any, err error) {
	return r.atMost(ctx, path, query, 0)
}

// atMost reads pages of a list until it has so many; 0: all.
func (r *remote) atMost(ctx context.Context, path string, query url.Values, most int) (all []map[string]any, err error) {
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", "100")
	for {
		var page struct {
			Data []map[string]any `json:"data"`
			Next *string          `json:"next"`
		}
		if err := r.call(ctx, http.MethodGet, path, query, "", nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Data...)
		if most > 0 && len(all) >= most {
			return all[:most], nil
		}
		if page.Next == nil {
			return all, nil
		}
		query.Set("after", *page.Next)
	}
}

// requestLimit is how long a command waits for one answer.
const requestLimit = 30 * time.Second

// inProcess lets a client call a handler without a connection.
type inProcess struct{ handler http.Handler }

// RoundTrip answers a request from the handler, which writes as fast as its answer is read. It runs until it has
// answered, or nobody reads any more: whoever gets an answer closes its body.
func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	reader, writer := io.Pipe()
	w := &piped{header: http.Header{}, began: make(chan int, 1), body: writer}
	req.RemoteAddr, req.RequestURI = "127.0.0.1:0", req.URL.RequestURI()
	go func() {
		defer func() {
			var err error
			if cause := recover(); cause != nil {
				err = fmt.Errorf("the answer broke off: %v", cause)
			}
			w.WriteHeader(http.StatusOK)
			_ = writer.CloseWithError(err)
		}()
		p.handler.ServeHTTP(w, req)
	}()
	return &http.Response{
		StatusCode: <-w.began, Header: w.header, Body: reader, ContentLength: -1, Request: req, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// piped is an answer that is read while it is written. The handler's goroutine has it.
type piped struct {
	header http.Header
	status int
	began  chan int // gets the status once
	body   *io.PipeWriter
}

func (p *piped) Header() http.Header { return p.header }

func (p *piped) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
		p.began <- status
	}
}

func (p *piped) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}
