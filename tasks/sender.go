package tasks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// WebhookConfig is the part of the file about webhooks.
type WebhookConfig struct {
	AllowPrivate []netip.Prefix `yaml:"allow_private" jsonschema:"description=Private networks that webhooks may lie in; without it none may."`
	AllowHTTP    bool           `yaml:"allow_http" jsonschema:"description=Webhooks may be plain HTTP."`
	Timeout      time.Duration  `yaml:"timeout" jsonschema:"description=How long a receiver may take to answer."`
}

// WebhookDefaults is what holds without a file.
func WebhookDefaults() WebhookConfig { return WebhookConfig{Timeout: 15 * time.Second} }

// Validate reports every fault through fault.
func (c *WebhookConfig) Validate(fault func(path, problem, hint string)) {
	if c.Timeout < time.Second || c.Timeout > time.Minute {
		fault("webhooks.timeout", "is not between 1s and 1m", "write 15s")
	}
}

// How much of an answer is read, and how much of a request and an answer is kept.
const (
	answerRead = 16 << 10
	bodyKept   = 4 << 10
)

// Sender sends notices to receivers that nobody vouches for: never into a network that is not theirs, to the address that is
// finally dialed and not to the one that was looked up before; without redirects, without a proxy, and only for so long.
type Sender struct {
	client  *http.Client
	version string
}

// errForbidden says that a receiver lies where none may.
var errForbidden = errors.New("the address is not one of the public internet; the operator can allow networks in webhooks.allow_private")

// NewSender makes one. resolver looks names up; nil: the system does.
func NewSender(c WebhookConfig, version string, resolver *net.Resolver) *Sender {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Resolver: resolver, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !mayDial(at.Addr(), c.AllowPrivate) {
			return errForbidden
		}
		return nil
	}}
	return &Sender{version: version, client: &http.Client{
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: c.Timeout, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second, DisableCompression: true, ForceAttemptHTTP2: true,
		},
	}}
}

// Close closes connections that nobody uses.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// special are networks that are public by their numbers and are not the public internet: shared address space, benchmarks,
// documentation, the old relays of IPv6, translations and tunnels that end at an IPv4 address.
func special() []netip.Prefix {
	var list []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10",
	} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

// mayDial tells whether a receiver may lie at an address.
func mayDial(at netip.Addr, allowed []netip.Prefix) bool {
	at = at.Unmap().WithZone("")
	for _, p := range allowed {
		if p.Contains(at) {
			return true
		}
	}
	if !at.IsGlobalUnicast() || at.IsPrivate() || at.IsLoopback() {
		return false
	}
	for _, p := range special() {
		if p.Contains(at) {
			return false
		}
	}
	return true
}

// Send sends a notice, signed with each secret. Whatever comes of it stands in what it gives.
func (s *Sender) Send(ctx context.Context, to string, list []secrets.Secret, n *Notice) (sent Sending) {
	body := n.Body()
	began := time.Now()
	sent = Sending{At: began.UTC().Truncate(time.Microsecond), Request: kept(body)}
	defer func() { sent.Took = time.Since(began) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		sent.Error = "the URL can not be read"
		return sent
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "vel/"+s.version)
	req.Header.Set("Webhook-Id", string(n.ID))
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(began.Unix(), 10))
	req.Header.Set("Webhook-Signature", sign(list, string(n.ID), began, body))
	res, err := s.client.Do(req)
	if err != nil {
		sent.Error = reason(err)
		return sent
	}
	defer func() { _ = res.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, answerRead)) // what came before it broke off is all there is
	sent.Status, sent.Answer = res.StatusCode, kept(answer)
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		sent.Error = "it answers with a redirect, and those are not followed"
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		sent.After = time.Duration(seconds) * time.Second
	}
	return sent
}

// reason is why there was no answer, for the owner of the webhook: what the network said, and no more of us.
func reason(err error) string {
	var lookup *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, errForbidden):
		return errForbidden.Error()
	case errors.As(err, &lookup):
		return "the name of the host is not known"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "there was no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, context.Canceled):
		return "Vel was stopping"
	}
	return fmt.Sprintf("the connection failed: %.200s", tenancy.HideSecrets(lastOf(err).Error()))
}

// lastOf is the innermost error: those around it name addresses of ours.
func lastOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// kept is what is kept of a body.
func kept(body []byte) string {
	text := tenancy.HideSecrets(strings.ToValidUTF8(string(body), "\uFFFD"))
	text = strings.ReplaceAll(text, "\x00", "\uFFFD")
	if len(text) <= bodyKept {
		return text
	}
	text = text[:bodyKept]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "…"
}
