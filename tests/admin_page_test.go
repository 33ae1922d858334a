package tests

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserLimit is how long a browser may take to start and to show a page on a busy machine.
const browserLimit = time.Minute

// TestPageOfTheDocument opens /api/docs in a real browser: it shows every operation, and it needs nothing from anywhere
// else.
func TestPageOfTheDocument(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	b := browse(t)
	err := chromedp.Do(b.ctx, chromedp.Navigate(o.URL+"/api/docs"), chromedp.WaitVisible("main section"))
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(b.seen(), "\n"))
	}
	text, err := chromedp.Run(b.ctx, chromedp.TextContent("main"))
	if err != nil {
		t.Fatal(err)
	}
	for _, operation := range o.document.Operations() {
		if !strings.Contains(text, operation.Path) {
			t.Errorf("the page does not show %s", operation.Path)
		}
	}
	requests := 0
	for _, line := range b.seen() {
		what, url, _ := strings.Cut(line, " ")
		if what != "request" {
			t.Error(line)
			continue
		}
		if requests++; !strings.HasPrefix(url, o.URL+"/api/") && !strings.HasPrefix(url, "data:") {
			t.Errorf("it asks for %s", url)
		}
	}
	if requests < 4 { // the page, its style, its script, the document
		t.Errorf("only %d requests were seen", requests)
	}
	// The browser holds the page to its policy, and the test would see it.
	elsewhere := chromedp.Evaluate[bool](`fetch("http://127.0.0.1:1/").then(() => true, () => false)`, chromedp.EvalAwaitPromise)
	if reached, err := chromedp.Run(b.ctx, elsewhere); err != nil || reached || !slices.ContainsFunc(b.seen(), refused) {
		t.Errorf("reached: %t, %v\n%s", reached, err, strings.Join(b.seen(), "\n"))
	}
}

// refused tells of a line that the policy forbade something.
func refused(line string) bool {
	return strings.HasPrefix(line, "log ") && strings.Contains(line, "Content Security Policy")
}

// browser is a headless browser, and what it complained about or asked for.
type browser struct {
	ctx   context.Context
	mu    sync.Mutex
	lines []string // guarded by mu
}

// browse starts one for the length of a test.
func browse(t *testing.T) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox) // it does not run as root otherwise
	ctx, cancel := context.WithTimeout(t.Context(), browserLimit)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	err := chromedp.Listen(ctx, b.hear)
	if err == nil {
		_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hear notes what the browser tells.
func (b *browser) hear(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.note("request", e.Request.URL)
	case *runtime.EventConsoleAPICalled:
		b.note("console", fmt.Sprintf("%s: %v", e.Type, e.Args))
	case *runtime.EventExceptionThrown:
		b.note("exception", fmt.Sprintf("%+v", e.ExceptionDetails))
	case *log.EventEntryAdded:
		b.note("log", fmt.Sprintf("%+v", e.Entry))
	}
}

func (b *browser) note(what, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, what+" "+text)
}

func (b *browser) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.lines)
}

// TestPagePolicy: the page may load its own files and nothing else, and nothing may frame it.
func TestPagePolicy(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	for path, kind := range map[string]string{"/api/docs": "text/html", "/api/docs/docs.js": "text/javascript", "/api/docs/docs.css": "text/css"} {
		a := ask(t, request(t, "GET", o.URL+path, "", "")).want(t, http.StatusOK)
		policy := strings.Split(a.header.Get("Content-Security-Policy"), "; ")
		for _, rule := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !slices.Contains(policy, rule) {
				t.Errorf("%s: the policy has no %s: %q", path, rule, policy)
			}
		}
		if strings.Contains(strings.Join(policy, " "), "unsafe") {
			t.Errorf("%s: %q", path, policy)
		}
		if !strings.HasPrefix(a.header.Get("Content-Type"), kind) || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}

// TestDocumentIsTight: what the document promises of answers leaves no room for members that it does not know, so that
// the checks of all these tests mean something.
func TestDocumentIsTight(t *testing.T) {
	t.Parallel()
	for _, operation := range openOffice(t, "").document.Operations() {
		if open := operation.Open(); open != nil {
			t.Errorf("%v", open)
		}
		if operation.Permission == "" || operation.Permission == "forbidden" {
			t.Errorf("%s needs %q", operation.ID, operation.Permission)
		}
	}
}
