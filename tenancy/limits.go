package tenancy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vel-gateway/vel/money"
)

// The limits and budgets of the file. What they become is in package accounting.

const (
	// MostUnits is the largest number that a limit may be: counters count what is larger no more exactly.
	MostUnits = 1<<53 - 1
	// MostMoney is the largest amount of a budget, about nine million dollars: likewise.
	MostMoney money.Nano = MostUnits
)

func (l *LimitsConfig) validate(path string, fault func(path, problem, hint string)) {
	if l == nil {
		return
	}
	for _, limit := range []struct {
		name string
		max  *int64
	}{
		{"rpm", l.RPM},
		{"tpm", l.TPM},
		{"rph", l.RPH},
		{"tph", l.TPH},
		{"rpd", l.RPD},
		{"tpd", l.TPD},
		{"in_flight", l.InFlight},
		{"burst", l.Burst},
	} {
		switch {
		case limit.max == nil:
		case *limit.max < 1:
			fault(path+"."+limit.name, "must be at least 1", "remove it for no limit, or disable the key")
		case *limit.max > MostUnits:
			fault(path+"."+limit.name, "is too large to be counted", "remove it for no limit")
		}
	}
	if l.Burst != nil && l.RPM == nil {
		fault(path+".burst", "is the burst of no limit", "add rpm, or remove it")
	}
	validateFailure(l.OnStoreFailure, path, fault)
}

func validateFailure(word, path string, fault func(path, problem, hint string)) {
	if word != "" {
		oneOf(word, path+".on_store_failure", fault, "local", "closed", "open")
	}
}

func validateBudgets(budgets map[string]BudgetConfig, path string, fault func(path, problem, hint string)) {
	for _, name := range slices.Sorted(maps.Keys(budgets)) {
		validateName(name, path+"."+name, fault)
		b := budgets[name]
		b.validate(path+"."+name, fault)
	}
}

func (b *BudgetConfig) validate(path string, fault func(path, problem, hint string)) {
	if b == nil {
		return
	}
	if b.USD == "" {
		fault(path, "has no amount", "add usd, in dollars")
	} else if max, err := money.Parse(b.USD); err != nil {
		fault(path+".usd", fmt.Sprintf("%q is not an amount in dollars", b.USD), "write a decimal such as 500 or 19.99")
	} else if max > MostMoney {
		fault(path+".usd", "is too large to be counted", "write at most "+MostMoney.String())
	}
	if b.Per == "" {
		fault(path, "has no window", "add per: hour, day, week, month or total")
	} else {
		oneOf(b.Per, path+".per", fault, "hour", "day", "week", "month", "total")
	}
	if !IsTimezone(b.Timezone) {
		fault(path+".timezone", fmt.Sprintf("%q is not a time zone", b.Timezone), "write a name of the IANA database such as Europe/Berlin")
	}
	if b.WarnAt != nil && (*b.WarnAt <= 0 || *b.WarnAt > 1) {
		fault(path+".warn_at", "must be more than 0 and at most 1", "write 0.8 for 80 %")
	}
	validateFailure(b.OnStoreFailure, path, fault)
}

// IsTimezone tells whether a text is a name of the IANA database; empty is UTC.
func IsTimezone(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "Local"
}

func oneOf(value, path string, fault func(path, problem, hint string), allowed ...string) {
	if !slices.Contains(allowed, value) {
		fault(path, fmt.Sprintf("%q is not one of the choices", value), "use "+strings.Join(allowed, ", "))
	}
}
