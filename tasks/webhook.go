package tasks

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Webhook is where an organization wants to be told what happens.
type Webhook struct {
	tenancy.Meta
	URL      string
	Events   []string  // patterns: task.succeeded, batch.*, *
	Secret   string    // sealed
	Old      string    // the one before, sealed; empty: there is none
	OldUntil time.Time // until when deliveries are signed with that one too
	Disabled bool
	Why      string    // why Vel has disabled it; empty: somebody did, or it is not
	Failing  time.Time // since when nothing has reached it; zero: the last delivery did
}

// families are the kinds of events, by the words before the dot.
func families() []string {
	return []string{"task", "batch", "workflow", "budget", "alert", "provider", "webhook"}
}

// Bounds of webhooks.
const (
	longestURL   = 2048
	mostPatterns = 32
	// DisableAfter is how long nothing may reach a webhook before it is disabled.
	DisableAfter = 5 * 24 * time.Hour
)

// ValidURL says what is wrong with the address of a webhook; empty: nothing. Plain HTTP is for who allows it.
func ValidURL(text string, plain bool) string {
	u, err := url.Parse(text)
	switch {
	case len(text) > longestURL:
		return "has more than " + strconv.Itoa(longestURL) + " characters"
	case err != nil || u.Host == "" || u.Hostname() == "":
		return "is no URL such as https://example.com/hooks"
	case u.User != nil:
		return "has a user or a password, which would stand in logs; check the signature instead"
	case u.Fragment != "":
		return "has a fragment, which is never sent"
	case u.Scheme == "https", u.Scheme == "http" && plain:
		return ""
	case u.Scheme == "http":
		return "is not encrypted: write https, or let the operator set webhooks.allow_http"
	}
	return "is neither https nor http"
}

// ValidPatterns says what is wrong with the events of a webhook; empty: nothing.
func ValidPatterns(patterns []string) string {
	if len(patterns) == 0 || len(patterns) > mostPatterns {
		return "must have 1 to " + strconv.Itoa(mostPatterns) + " of them"
	}
	for _, p := range patterns {
		family, what, _ := strings.Cut(p, ".")
		if p != "*" && (!slices.Contains(families(), family) || what == "" || strings.Contains(what, "*") && what != "*") {
			return "each is *, a family with .* or one event: task.succeeded; families are " + strings.Join(families(), ", ")
		}
	}
	return ""
}

// Wants tells whether patterns have an event.
func Wants(patterns []string, event string) bool {
	family, _, _ := strings.Cut(event, ".")
	return slices.Contains(patterns, "*") || slices.Contains(patterns, event) || slices.Contains(patterns, family+".*")
}

// NewWebhookSecret makes a secret: 256 random bits.
func NewWebhookSecret() secrets.Secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return secrets.New("whsec_" + base64.StdEncoding.EncodeToString(b[:]))
}

// webhookPlace is what a secret is sealed for.
func webhookPlace(org, id tenancy.ID) []string { return []string{"webhooks", string(id), string(org)} }

// SealSecret seals a secret of a webhook.
func (w *Webhook) SealSecret(v Vault, s secrets.Secret) string {
	return v.Seal([]byte(s.Reveal()), webhookPlace(w.Org, w.ID)...)
}

// secretsNow are those that a delivery is signed with, the current one first.
func (w *Webhook) secretsNow(v Vault, now time.Time) (list []secrets.Secret, err error) {
	sealed := []string{w.Secret}
	if w.Old != "" && now.Before(w.OldUntil) {
		sealed = append(sealed, w.Old)
	}
	for _, s := range sealed {
		text, err := v.Open(s, webhookPlace(w.Org, w.ID)...)
		if err != nil {
			return nil, err
		}
		list = append(list, secrets.New(string(text)))
	}
	return list, nil
}

// sign makes the signatures of a message as Standard Webhooks has them (https://www.standardwebhooks.com): of its id, the second
// and the body, by each secret.
func sign(list []secrets.Secret, id string, at time.Time, body []byte) string {
	signatures := make([]string, 0, len(list))
	for _, s := range list {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), "whsec_"))
		if err != nil {
			continue // it is one of ours
		}
		h := hmac.New(sha256.New, key)
		h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		h.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return strings.Join(signatures, " ")
}
