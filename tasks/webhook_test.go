package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patterns []string
		event    string
		want     bool
	}{
		{[]string{"*"}, "task.failed", true},
		{[]string{"task.*"}, "task.failed", true},
		{[]string{"task.failed"}, "task.failed", true},
		{[]string{"task.failed"}, "task.succeeded", false},
		{[]string{"batch.*"}, "task.failed", false},
		{nil, "task.failed", false},
	} {
		if got := Wants(c.patterns, c.event); got != c.want {
			t.Errorf("%v want %s: %v", c.patterns, c.event, got)
		}
	}
}

// local lets a sender reach the receivers of a test, and nothing else that is private.
func local() WebhookConfig {
	return WebhookConfig{AllowPrivate: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Timeout: 2 * time.Second}
}

func aNotice() *Notice {
	return &Notice{ID: "evt_1", Org: "org_1", Type: "task.failed", Object: "task_1", At: time.Now(), Data: json.RawMessage(`{"id":"task_1"}`)}
}

// What is sent passes the verification of the reference library, by the new secret, and for a while by the old one.
func TestSignatures(t *testing.T) {
	t.Parallel()
	first, second := NewWebhookSecret(), NewWebhookSecret()
	var verified sync.Map
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for name, s := range map[string]secrets.Secret{"first": first, "second": second, "other": NewWebhookSecret()} {
			wh, err := webhooks.NewWebhook(s.Reveal())
			if err != nil {
				t.Error(err)
			}
			verified.Store(name, wh.Verify(body, r.Header) == nil)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	s := NewSender(local(), "test", nil)
	defer s.Close()
	hook := &Webhook{Meta: tenancy.Meta{ID: "w", Org: "o"}, URL: receiver.URL, Secret: second.Reveal(), Old: first.Reveal(), OldUntil: time.Now().Add(time.Hour)}
	for _, overlap := range []bool{true, false} {
		if !overlap {
			hook.OldUntil = time.Now()
		}
		list, err := hook.secretsNow(open{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if sent := s.Send(t.Context(), hook.URL, list, aNotice()); !sent.well() || sent.Error != "" || !strings.Contains(sent.Request, "task.failed") {
			t.Errorf("%+v", sent)
		}
		for name, want := range map[string]bool{"first": overlap, "second": true, "other": false} {
			if got, _ := verified.Load(name); got != want {
				t.Errorf("overlap %v: by %s it is verified: %v", overlap, name, got)
			}
		}
	}
}

// No address of ours is dialed, in whatever form it comes.
func TestMayDial(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1",
		"::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "2001::1", "fec0::1",
	} {
		if mayDial(netip.MustParseAddr(text), nil) {
			t.Errorf("%s may be dialed", text)
		}
	}
	for _, text := range []string{"93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"} {
		if !mayDial(netip.MustParseAddr(text), nil) {
			t.Errorf("%s may not be dialed", text)
		}
	}
	if !mayDial(netip.MustParseAddr("10.1.2.3"), []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}) {
		t.Error("what is allowed may not be dialed")
	}
}

// answering is a resolver that answers another address each time: the trick that rebinds a name after it was looked at.
func answering(t *testing.T, answers ...[4]byte) (*net.Resolver, *atomic.Int32) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var asked atomic.Int32
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			q := packet[:n]
			a := answers[min(int(asked.Load()), len(answers)-1)]
			end := 12
			for q[end] != 0 {
				end += int(q[end]) + 1
			}
			isA := q[end+2] == 1
			reply := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[12:end+5]...)
			if isA {
				asked.Add(1)
				reply[7] = 1
				reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, a[0], a[1], a[2], a[3])
			}
			_, _ = conn.WriteTo(reply, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}, &asked
}

// A name that leads to a private address at the second look is not followed there: what is checked is the address that is dialed.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	resolver, asked := answering(t, [4]byte{203, 0, 113, 7}, [4]byte{127, 0, 0, 1})
	s := NewSender(WebhookConfig{Timeout: 2 * time.Second}, "test", resolver)
	defer s.Close()
	for range 3 {
		sent := s.Send(t.Context(), "http://hooks.example:"+port+"/", nil, aNotice())
		if sent.Status != 0 || !strings.Contains(sent.Error, "public internet") {
			t.Errorf("%+v", sent)
		}
	}
	if reached.Load() || asked.Load() < 2 {
		t.Errorf("reached %v after %d looks", reached.Load(), asked.Load())
	}
}

// A receiver that redirects, stalls, talks without end, or is not there is told of, and nothing of ours stands in it.
func TestBadReceivers(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	defer inside.Close()
	gone := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, inside.URL, http.StatusTemporaryRedirect)
		case "/stall":
			select {
			case <-gone:
			case <-r.Context().Done():
			}
		case "/talk":
			for range 100 {
				_, _ = w.Write([]byte(strings.Repeat("sk-vel-secret ", 1000)))
			}
		case "/busy":
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer receiver.Close()
	defer close(gone)
	c := local()
	c.Timeout = 300 * time.Millisecond
	s := NewSender(c, "test", nil)
	defer s.Close()
	send := func(path string) Sending { return s.Send(t.Context(), receiver.URL+path, nil, aNotice()) }
	if sent := send("/redirect"); sent.Status != 307 || sent.well() || !strings.Contains(sent.Error, "redirect") || followed.Load() {
		t.Errorf("%+v", sent)
	}
	if sent := send("/stall"); sent.Status != 0 || sent.Error != "there was no answer in time" {
		t.Errorf("%+v", sent)
	}
	if sent := send("/talk"); !sent.well() || len(sent.Answer) > bodyKept+8 {
		t.Errorf("%d bytes of an answer are kept", len(sent.Answer))
	}
	if sent := send("/busy"); sent.After != 2*time.Minute {
		t.Errorf("%+v", sent)
	}
	if sent := s.Send(t.Context(), "http://127.0.0.1:1/", nil, aNotice()); sent.Error != "the connection was refused" {
		t.Errorf("%+v", sent)
	}
}

// post is a Post of one delivery.
type post struct {
	p    Parcel
	why  string
	fail error
}

func (p *post) LoadDelivery(_ context.Context, _, _ tenancy.ID, rev int64) (*Parcel, error) {
	if rev != p.p.Rev || p.p.State != Undelivered {
		return nil, tenancy.ErrNotFound
	}
	p.p.Rev++
	parcel := p.p
	return &parcel, p.fail
}

func (p *post) EndDelivery(_ context.Context, parcel *Parcel, why string) error {
	p.p, p.why = *parcel, why
	p.p.Rev++
	return nil
}

// A delivery is tried for about a day, each time later; then it is dead. One that arrives, or whose receiver is gone, ends at once.
func TestCourier(t *testing.T) {
	t.Parallel()
	var status atomic.Int32
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer receiver.Close()
	sender := NewSender(local(), "test", nil)
	defer sender.Close()
	fresh := func() *post {
		return &post{p: Parcel{
			Delivery: Delivery{ID: "d", Org: "o", State: Undelivered, Rev: 1}, Notice: *aNotice(),
			Webhook: Webhook{Meta: tenancy.Meta{ID: "w", Org: "o"}, URL: receiver.URL, Secret: NewWebhookSecret().Reveal()},
		}}
	}
	run := func(p *post) {
		t.Helper()
		c := NewCourier(p, sender, open{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err := c.Run(t.Context(), p.p.Job()); err != nil && p.fail == nil {
			t.Fatal(err)
		}
	}
	status.Store(500)
	p := fresh()
	var all time.Duration
	for n := 1; p.p.State == Undelivered; n++ {
		began := time.Now()
		run(p)
		if p.p.Tries != n || p.why != "" || p.p.Webhook.Failing.IsZero() {
			t.Fatalf("after %d: %+v", n, p.p)
		}
		if p.p.State == Undelivered {
			all += p.p.Due.Sub(began)
		}
	}
	if p.p.State != Dead || p.p.Tries != MostTries() || all < 20*time.Hour || all > 32*time.Hour {
		t.Errorf("%s after %d tries in %s", p.p.State, p.p.Tries, all)
	}
	status.Store(204)
	p = fresh()
	p.p.Webhook.Failing = time.Now().Add(-time.Hour)
	if run(p); p.p.State != Delivered || !p.p.Webhook.Failing.IsZero() {
		t.Errorf("%+v", p.p)
	}
	run(p) // a job that comes again finds nothing
	status.Store(410)
	p = fresh()
	if run(p); p.p.State != Dead || !strings.Contains(p.why, "410") {
		t.Errorf("%+v, %s", p.p, p.why)
	}
	status.Store(500)
	p = fresh()
	p.p.Webhook.Failing = time.Now().Add(-DisableAfter - time.Hour)
	if run(p); p.p.State != Undelivered || !strings.Contains(p.why, "5 days") {
		t.Errorf("%+v, %s", p.p, p.why)
	}
	p = fresh()
	p.p.Webhook.Disabled = true
	if run(p); p.p.State != Dead || p.p.Attempts[0].Error != "the webhook is disabled" {
		t.Errorf("%+v", p.p)
	}
	p = fresh()
	p.fail = errors.New("away")
	if run(p); p.p.Tries != 0 {
		t.Errorf("%+v", p.p)
	}
}
