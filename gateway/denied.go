package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/money"
	"github.com/vel-gateway/vel/ratelimit"
)

// The words for what limits and budgets refuse. They name the limit and the level that owns it, and nobody.

// errUnpriced refuses a call for which a budget would have to pay what nobody knows.
var errUnpriced = invalid(http.StatusBadRequest, "unpriced_call", "model",
	"Nobody knows what this call costs, and a budget would have to pay for it. The operator of the gateway can set a price (providers.*.prices).")

// errAccountLimit is what a target answers whose provider allows no more now, without being asked.
func errAccountLimit(after time.Duration) *adapters.Error {
	return &adapters.Error{
		Class: adapters.ClassRate, Status: http.StatusTooManyRequests, Type: "requests", Code: "rate_limit_exceeded",
		Message: "What the providers of this model allow this gateway is used. Try again shortly.", RetryAfter: max(after, time.Second),
	}
}

// ofDenied says why a limit refuses the call.
func ofDenied(c *Call, d *accounting.Denied) *adapters.Error {
	switch {
	case d.Away:
		e := later("limits_unavailable", "What is used of a limit of "+whose(c, d)+" can not be known now, and nothing is given without that. Try again shortly.")
		e.RetryAfter = max(d.After, time.Second)
		return e
	case d.Unit == accounting.Dollars:
		return &adapters.Error{
			Class: adapters.ClassQuota, Status: http.StatusTooManyRequests, Type: "insufficient_quota", Code: "insufficient_quota", Message: spent(c, d),
		}
	}
	e := &adapters.Error{
		Class: adapters.ClassRate, Status: http.StatusTooManyRequests, Type: "requests", Code: "rate_limit_exceeded", RetryAfter: d.After,
		Message: "Rate limit reached for " + whose(c, d) + ": " + strconv.FormatInt(d.Max, 10) + " " + units(d),
	}
	if d.Unit == accounting.TokenUnits {
		e.Type = "tokens"
	}
	if d.Never {
		e.RetryAfter = 0
		e.Message += ". This call alone may use more than the limit ever gives. Lower max_tokens, or shorten the request."
		return e
	}
	e.Message += ". Try again in " + string(appendReset(nil, max(d.After, time.Millisecond))) + "."
	return e
}

// whose names the level that owns a limit.
func whose(c *Call, d *accounting.Denied) string {
	switch d.Level {
	case accounting.OfKey:
		return "your API key"
	case accounting.OfUser:
		return "your user"
	case accounting.OfTeam:
		return "your team"
	case accounting.OfRoute:
		return "the model '" + c.record.Route + "' in your organization"
	case accounting.OfTag:
		return "the tag '" + d.Tag.Key + "=" + d.Tag.Value + "' in your organization"
	}
	return "your organization"
}

// units says what a limit counts.
func units(d *accounting.Denied) string {
	switch d.Unit {
	case accounting.Places:
		return "calls at the same time"
	case accounting.TokenUnits:
		return "tokens per " + d.Per.String()
	}
	return "requests per " + d.Per.String()
}

// spent says that a budget has no room for a call.
func spent(c *Call, d *accounting.Denied) string {
	var b strings.Builder
	b.WriteString("The budget of " + whose(c, d) + ", " + money.Nano(d.Max).String() + " USD")
	if d.Per != ratelimit.Total {
		b.WriteString(" per " + d.Per.String())
	}
	b.WriteString(", has no room for what this call may cost")
	switch {
	case d.Never:
		b.WriteString(": it is more than the whole budget. Lower max_tokens, or ask whoever manages the budget.")
	case d.Ends.IsZero():
		b.WriteString(". It does not begin anew: ask whoever manages it.")
	default:
		b.WriteString(". It begins anew at " + d.Ends.UTC().Format(time.RFC3339) + ".")
	}
	return b.String()
}

// classOfDenied is how a call ended that was denied.
func classOfDenied(d *accounting.Denied) adapters.Class {
	switch {
	case d.Away:
		return adapters.ClassOverloaded
	case d.Unit == accounting.Dollars:
		return adapters.ClassQuota
	}
	return adapters.ClassRate
}

// never tells whether a call was denied that will never be made as it is.
func never(err error) bool {
	d, ok := errors.AsType[*accounting.Denied](err)
	return ok && d.Never
}
