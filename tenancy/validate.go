package tenancy

import (
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// How much a person may type in.
const (
	longestName     = 64  // characters
	longestEmail    = 254 // bytes: RFC 5321, section 4.5.3.1.3
	longestModel    = 200 // characters
	shortestPass    = 8   // characters
	longestPass     = 256 // bytes
	MostModels      = 200 // of a key
	MostMemberships = 100 // roles of a user, and teams

	earliestExpiry = 2000 // a year; what is before is a mistake, and zero would be never
)

// Empty is the problem of a field that must not be empty, or is missing.
const Empty = "is empty"

// Validate reports every fault of a new or changed organization, with the name of the field.
func (o *Org) Validate(fault func(field, problem string)) { o.ValidateName(fault) }

// Validate reports every fault of a new or changed team, with the name of the field.
func (t *Team) Validate(fault func(field, problem string)) { t.ValidateName(fault) }

// Validate reports every fault of a new or changed role, with the name of the field.
func (r *Role) Validate(fault func(field, problem string)) {
	r.ValidateName(fault)
	if r.Permissions.Has(ManagePlatform) {
		fault("permissions", "only the built-in role platform_admin has manage_platform")
	}
}

// Validate reports every fault of a new or changed user, with the name of the field.
func (u *User) Validate(fault func(field, problem string)) {
	u.ValidateName(fault)
	if problem := emailProblem(u.Email); problem != "" {
		fault("email", problem)
	}
	if len(u.Roles) > MostMemberships {
		fault("roles", "are more than "+strconv.Itoa(MostMemberships))
	}
	if len(u.Teams) > MostMemberships {
		fault("teams", "are more than "+strconv.Itoa(MostMemberships))
	}
}

// Validate reports every fault of a new or changed key, with the name of the field.
func (k *APIKey) Validate(fault func(field, problem string)) {
	k.ValidateName(fault)
	if !k.Expires.IsZero() && k.Expires.Year() < earliestExpiry {
		fault("expires", "is before the year "+strconv.Itoa(earliestExpiry))
	}
	if len(k.Models) > MostModels {
		fault("models", "are more than "+strconv.Itoa(MostModels))
		return
	}
	for i, model := range k.Models {
		if problem := TextProblem(model, longestModel); problem != "" {
			fault("models["+strconv.Itoa(i)+"]", problem)
		}
	}
}

// ValidateExpiry reports that a key which is made now would never work.
func (k *APIKey) ValidateExpiry(now time.Time, fault func(field, problem string)) {
	if !k.Expires.IsZero() && k.Expires.Year() >= earliestExpiry && !k.Expires.After(now) {
		fault("expires", "is not in the future")
	}
}

// ValidateName reports what is wrong with the name of an object.
func (m *Meta) ValidateName(fault func(field, problem string)) {
	if problem := TextProblem(m.Name, longestName); problem != "" {
		fault("name", problem)
	}
}

// TextProblem says what is wrong with a line of text; empty: nothing.
func TextProblem(text string, longest int) string {
	switch {
	case text == "":
		return Empty
	case utf8.RuneCountInString(text) > longest:
		return "has more than " + strconv.Itoa(longest) + " characters"
	case strings.TrimSpace(text) != text:
		return "begins or ends with a space"
	case strings.ContainsFunc(text, unicode.IsControl), !utf8.ValidString(text):
		return "has control characters"
	}
	return ""
}

// emailProblem says what is wrong with an address; empty: nothing. Only mail to it would prove that it exists.
func emailProblem(address string) string {
	switch {
	case address == "":
		return Empty
	case len(address) > longestEmail:
		return "has more than " + strconv.Itoa(longestEmail) + " bytes"
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || strings.ContainsFunc(address, unicode.IsControl) {
		return "is not an e-mail address"
	}
	return ""
}

// PasswordProblem says what is wrong with a new password; empty: nothing.
func PasswordProblem(password string) string {
	switch {
	case len(password) > longestPass:
		return "has more than " + strconv.Itoa(longestPass) + " bytes"
	case utf8.RuneCountInString(password) < shortestPass:
		return "has fewer than " + strconv.Itoa(shortestPass) + " characters"
	case !strings.ContainsFunc(password, unicode.IsUpper), !strings.ContainsFunc(password, unicode.IsLower), !strings.ContainsFunc(password, unicode.IsDigit):
		return "needs an upper-case letter, a lower-case letter and a digit"
	}
	return ""
}

// NormalEmail is an address as it is kept: in lower case, without spaces around it.
func NormalEmail(address string) string { return strings.ToLower(strings.TrimSpace(address)) }

// IsEmail tells whether a text has the form of an address.
func IsEmail(text string) bool { return emailProblem(text) == "" }
