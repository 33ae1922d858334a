package tests

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vel-gateway/vel/tests/openapi"
	"github.com/vel-gateway/vel/tests/vel"
)

// rootKey is VEL_ADMIN_KEY in these tests: it may do everything.
const rootKey = "vel-canary-admin-key-0123456789abcdefghijklmnop"

// office is a Vel whose API is tested: every answer is held against the document that it serves, and no secret that has
// passed through a test's hands may show up in its log or in an answer that is an error.
type office struct {
	*vel.Process
	document *openapi.Document
	root     *caller
}

// openOffice starts a Vel with this file for the length of a test; "" is without a file, on SQLite and with the
// simulator as the provider.
func openOffice(t *testing.T, yaml string, env ...string) *office {
	t.Helper()
	how := options(yaml)
	how.Env = append(append(how.Env, "VEL_ADMIN_KEY="+rootKey), env...)
	return enter(t, vel.Start(t, how))
}

// enter reads what a running Vel says of its API.
func enter(t *testing.T, p *vel.Process) *office {
	t.Helper()
	a := ask(t, request(t, "GET", p.URL+"/api/openapi.json", "", ""))
	document, err := openapi.Read(a.body)
	if err != nil {
		t.Fatal(err)
	}
	p.Guard(rootKey)
	o := &office{Process: p, document: document}
	o.root = o.caller(rootKey)
	return o
}

// caller is somebody who uses the API.
type caller struct {
	office *office
	token  string // "" is nobody
	from   string // their address, one of 127.0.0.0/8; "" is another one for each request
}

func (o *office) caller(token string) *caller {
	if token != "" {
		o.Guard(token)
	}
	return &caller{office: o, token: token}
}

// addresses counts those that were given out.
var addresses atomic.Uint32

// address is one that nobody has called from: five tries to sign in are allowed to each.
func address() string {
	n := addresses.Add(1)
	return fmt.Sprintf("127.%d.%d.%d", 1+n>>16, n>>8&255, n&255)
}

// do makes one request. A body that is no string is written as JSON.
func (c *caller) do(t *testing.T, method, path string, body any, edits ...func(*http.Request)) answer {
	t.Helper()
	a, err := c.send(t.Context(), method, path, body, edits...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", method, path, err, a.body)
	}
	return a
}

// send makes one request; what is wrong with the answer by the document is an error.
func (c *caller) send(ctx context.Context, method, path string, body any, edits ...func(*http.Request)) (answer, error) {
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return answer{}, err
	}
	for _, edit := range edits {
		edit(req)
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(cmp.Or(c.from, address()))}}
	res, err := (&http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, header: res.Header, body: text}
	return a, c.office.check(req, a)
}

func (c *caller) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	text, ok := body.(string)
	if body != nil && !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		text = string(encoded)
		c.office.guardPasswords(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.office.URL+path, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if text != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// members is a JSON object.
type members = map[string]any

// guardPasswords remembers the passwords and keys of a request.
func (o *office) guardPasswords(body any) {
	m, _ := body.(members)
	for _, name := range []string{"password", "old", "new", "api_key"} {
		if secret, _ := m[name].(string); len(secret) >= 8 { // a shorter one could be a word of an answer
			o.Guard(secret)
		}
	}
}

// check holds an answer against the document. What the document does not know must be a problem all the same.
func (o *office) check(req *http.Request, a answer) error {
	if a.header.Get("X-Request-Id") == "" {
		return fmt.Errorf("no x-request-id")
	}
	if a.status >= http.StatusBadRequest {
		for _, secret := range o.Guarded() {
			if bytes.Contains(a.body, []byte(secret)) || strings.Contains(fmt.Sprint(a.header), secret) {
				return fmt.Errorf("status %d tells a secret", a.status)
			}
		}
	}
	operation := o.document.Find(req.Method, req.URL.EscapedPath())
	if operation == nil {
		if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
			return fmt.Errorf("status %d of what the document does not know", a.status)
		}
		return o.document.Operation("get-team").Check(http.StatusNotFound, a.header, a.body) // all problems have one shape
	}
	return operation.Check(a.status, a.header, a.body)
}

// want checks the status.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d\n%s", a.status, status, a.body)
	}
	return a
}

// problem is an error answer: RFC 9457.
type problem struct {
	Type, Title, Detail string
	Status              int
	RequestID           string `json:"request_id"`
	Errors              []struct{ Location, Message string }
}

// problem checks that the answer is the problem of this status and kind.
func (a answer) problem(t *testing.T, status int, kind string) problem {
	t.Helper()
	a.want(t, status)
	p := read[problem](t, a)
	if p.Type != "urn:vel:problem:"+kind || p.Status != status || p.RequestID != a.header.Get("X-Request-Id") || p.Title == "" || p.Detail == "" {
		t.Fatalf("not the problem %s: %s", kind, a.body)
	}
	return p
}

// places are where the faults of a problem are.
func (p problem) places() []string {
	var all []string
	for _, e := range p.Errors {
		all = append(all, e.Location)
	}
	return all
}

// read decodes an answer.
func read[T any](t *testing.T, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v\n%s", err, a.body)
	}
	return v
}

// page is one page of a list.
type page struct {
	Data []members
	Next *string
}

// create makes an object and returns it. What it tells once is guarded from then on.
func (c *caller) create(t *testing.T, path string, body members) members {
	t.Helper()
	made := read[members](t, c.do(t, "POST", path, body).want(t, http.StatusCreated))
	if secret, ok := made["secret"].(string); ok {
		c.office.Guard(secret)
	}
	return made
}

// goodPassword is one that is accepted.
const goodPassword = "Canary-Password-1"

// within names the organization that a request is about.
func within(org string) string { return "?organization=" + url.QueryEscape(org) }

// login signs a person in; org may be empty.
func (o *office) login(t *testing.T, email, password, org string) *caller {
	t.Helper()
	body := members{"email": email, "password": password}
	if org != "" {
		body["organization"] = org
	}
	token, _ := o.caller("").do(t, "POST", "/api/auth/login", body).want(t, http.StatusOK).member(t, "token").(string)
	return o.caller(token)
}

// organization makes one.
func (o *office) organization(t *testing.T, name string) (id string) {
	t.Helper()
	return o.root.create(t, "/api/organizations", members{"name": name})["id"].(string)
}
