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

// call makes one request and reads its answer into out, which may be nil. match is the revision that an object must
// have; empty: any.
func (r *remote) call(ctx context.Context, method, path string, query url.Values, match string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	address := r.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return fmt.Errorf("VEL_URL is no address of a server: %s", r.base)
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "vel/"+thisBuild().Version)
	if match != "" {
		req.Header.Set("If-Match", match)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("no server answers at %s; start one with vel serve, name another one in VEL_URL, or use --local: %w", r.base, cause(err))
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, answerLimit))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", r.base, err)
	}
	if res.StatusCode > 299 {
		return r.failed(res.StatusCode, text)
	}
	if out == nil || len(text) == 0 {
		return nil
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

// RoundTrip answers a request from the handler.
func (p inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	w := &kept{header: http.Header{}, status: http.StatusOK}
	req.RemoteAddr, req.RequestURI = "127.0.0.1:0", req.URL.RequestURI()
	p.handler.ServeHTTP(w, req)
	return &http.Response{
		StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: req,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// kept is an answer that is kept.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }
