package tenancy

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// AuditEvent is one thing that somebody did, or was refused, for people who have to be able to ask later. It is written
// in the transaction that did it and never changed. It holds no secret: of those it says only that they changed.
//
// Every organization has a log of its own, and so has the platform: what belongs to no organization stands there, such
// as a sign-in with an address that nobody has.
type AuditEvent struct {
	ID      ID
	Org     ID // in whose log it stands; never empty
	Time    time.Time
	By      Actor // who, as they were called at that time; what they may is not kept
	Action  string
	Outcome string // OutcomeDone, OutcomeRefused or OutcomeFailed
	Reason  string // why not, or how; may be empty
	Count   int64  // how often; more than 1: so many alike, of which no more is known
	Object  AuditObject
	Before  string // a JSON object of what was changed, as it was; empty: there is nothing to say
	After   string // likewise, as it is
	Sealed  AuditSealed
}

// AuditObject is what an event is about.
type AuditObject struct {
	Kind string // such as key or user
	ID   ID
	Name string // as it was called then
}

// AuditSealed is where an event stands in its organization's chain. Package chain makes it.
type AuditSealed struct {
	Seal  int64  // the number of the seal; 0: not yet
	Place int64  // within the seal, from 0
	Leaf  string // the hash of the event, in hex
}

// How a thing ended that an event tells of.
const (
	OutcomeDone    = "done"
	OutcomeRefused = "refused" // they may not
	OutcomeFailed  = "failed"  // they are not who they say, or not in this way
)

// The actions that no kind of object has of its own. Those of objects are the kind's plural and a verb: keys.create.
const (
	ActionLogin           = "auth.login"
	ActionLoginFailed     = "auth.login_failed"
	ActionRefresh         = "auth.refresh"
	ActionLogout          = "auth.logout"
	ActionEndSession      = "sessions.end"
	ActionSetPassword     = "users.set_password"
	ActionRotateKey       = "keys.rotate"
	ActionCreateTask      = "tasks.create"
	ActionCancelTask      = "tasks.cancel"
	ActionCreateBatch     = "batches.create"
	ActionStartBatch      = "batches.start"
	ActionCancelBatch     = "batches.cancel"
	ActionRetryBatch      = "batches.retry"
	ActionRotateWebhook   = "webhooks.rotate"
	ActionDisableWebhook  = "webhooks.disable"
	ActionRedeliver       = "deliveries.retry"
	ActionRotateSecrets   = "secrets.rotate"
	ActionReadContent     = "calls.read_content"
	ActionRefused         = "access.refused"
	ActionAdminKey        = "access.admin_key"
	ActionRecordCalls     = "calls.record"
	ActionPricesMissing   = "prices.missing"
	ActionBudgetWarning   = "budgets.warning"
	ActionBudgetExhausted = "budgets.exhausted"
	ActionResetBudget     = "budgets.reset"
	ActionResetLimits     = "limits.reset"
	ActionRepairLedger    = "ledger.repair"
	ActionPurgeCache      = "cache.purge"
	ActionResetTarget     = "targets.reset"
	ActionTargetOpened    = "targets.opened"
	ActionTargetClosed    = "targets.closed"
	longestAuditText      = 200 // characters of what comes from outside
	auditTimeResolution   = time.Microsecond
)

// NewAuditEvent makes an event of now. What comes from outside is cut and cleaned, so that every store keeps it as it is.
func NewAuditEvent(by Actor, org ID, action string, object AuditObject, now time.Time) AuditEvent {
	by.May = 0
	for _, text := range []*string{&by.Name, &by.Email, &by.Address, &by.Agent, (*string)(&by.Request), &object.Kind, (*string)(&object.ID), &object.Name} {
		*text = AuditText(*text)
	}
	return AuditEvent{
		ID: NewID("event"), Org: org, Time: now.UTC().Truncate(auditTimeResolution), By: by, Action: action, Outcome: OutcomeDone, Count: 1, Object: object,
	}
}

// AuditText is a text fit to be kept for ever: valid, without control characters, and not too long.
func AuditText(text string) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == utf8.RuneError {
			return -1
		}
		return c
	}, text)
	if utf8.RuneCountInString(text) > longestAuditText {
		text = string([]rune(text)[:longestAuditText])
	}
	return text
}

// AuditQuery asks for events of one organization, the newest first.
type AuditQuery struct {
	Org      ID
	From, To time.Time // from this moment on, and before that one; zero: without a bound
	// What is asked for; empty: everything.
	Actor   string // the id of a user, a key or a session, or an e-mail address
	Action  string // whole, or its beginning up to and with the dot: keys.
	Object  ID
	Outcome string

	Before AuditCursor // those that come after it in the list; zero: from the newest on
	Limit  int         // at least 1
}

// AuditCursor is a place in a list of events.
type AuditCursor struct {
	Time time.Time
	ID   ID
}
