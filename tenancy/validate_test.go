package tenancy

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// faults are the fields that a Validate complains of.
func faults(validate func(func(field, problem string))) (fields []string) {
	validate(func(field, problem string) { fields = append(fields, field) })
	return fields
}

func TestValidateObjects(t *testing.T) {
	t.Parallel()
	named := func(name string) Meta { return Meta{Name: name} }
	many := func(n int) (ids []ID) {
		for i := range n {
			ids = append(ids, ID(strconv.Itoa(i)))
		}
		return ids
	}
	for name, c := range map[string]struct {
		validate func(func(field, problem string))
		want     []string
	}{
		"org":           {(&Org{Meta: named("acme")}).Validate, nil},
		"no name":       {(&Team{Meta: named("")}).Validate, []string{"name"}},
		"spaces":        {(&Team{Meta: named(" a")}).Validate, []string{"name"}},
		"line break":    {(&Team{Meta: named("a\nb")}).Validate, []string{"name"}},
		"64 characters": {(&Team{Meta: named(strings.Repeat("ä", 64))}).Validate, nil},
		"65 characters": {(&Org{Meta: named(strings.Repeat("ä", 65))}).Validate, []string{"name"}},
		"not UTF-8":     {(&Org{Meta: named("\xff")}).Validate, []string{"name"}},
		"platform role": {(&Role{named("r"), Allow(ManagePlatform)}).Validate, []string{"permissions"}},
		"role":          {(&Role{named("r"), AllPermissions &^ Allow(ManagePlatform)}).Validate, nil},
		"user":          {(&User{Meta: named("u"), Email: "ann@example.com", Roles: many(100), Teams: many(100)}).Validate, nil},
		"crowded user":  {(&User{Meta: named("u"), Email: "ann@example.com", Roles: many(101), Teams: many(101)}).Validate, []string{"roles", "teams"}},
		"empty user":    {(&User{}).Validate, []string{"name", "email"}},
		"key":           {(&APIKey{Meta: named("k"), Models: []string{"a", "b/c"}}).Validate, nil},
		"key's models":  {(&APIKey{Meta: named("k"), Models: []string{"a", "", "b ", strings.Repeat("x", 201)}}).Validate, []string{"models[1]", "models[2]", "models[3]"}},
		"many models":   {(&APIKey{Meta: named("k"), Models: slices.Repeat([]string{"a"}, 201)}).Validate, []string{"models"}},
		"old expiry":    {(&APIKey{Meta: named("k"), Expires: time.Unix(0, 0)}).Validate, []string{"expires"}},
	} {
		if got := faults(c.validate); !slices.Equal(got, c.want) {
			t.Errorf("%s: faults in %q, want %q", name, got, c.want)
		}
	}
}

func TestValidateExpiry(t *testing.T) {
	t.Parallel()
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for expires, want := range map[time.Time]int{{}: 0, now.Add(time.Second): 0, now: 1, now.Add(-time.Hour): 1} {
		k := APIKey{Expires: expires}
		if got := faults(func(fault func(string, string)) { k.ValidateExpiry(now, fault) }); len(got) != want {
			t.Errorf("%s: %q", expires, got)
		}
	}
}

func TestEmailProblem(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"ann@example.com": true, "a.b+c@sub.example.co": true, "jürgen@exämple.de": true, "ann@localhost": true,
		"": false, "ann": false, "ann@": false, "@example.com": false, "a b@example.com": false, "Ann <ann@example.com>": false, "ann@example.com\n": false,
		"ann@example.com, bob@example.com": false, "a\x00b@example.com": false, strings.Repeat("x", 245) + "@xample.com": false,
	} {
		if problem := emailProblem(address); (problem == "") != good {
			t.Errorf("%q: %q", address, problem)
		}
	}
	if got := NormalEmail("  Ann@Example.COM "); got != "ann@example.com" {
		t.Errorf("kept as %q", got)
	}
}

func TestPasswordProblem(t *testing.T) {
	t.Parallel()
	for password, good := range map[string]bool{
		"Abcdefg1": true, "Ünïcödé1": true, "Correct Horse 1": true, strings.Repeat("aB3", 85): true,
		"": false, "Abcdef1": false, "abcdefg1": false, "ABCDEFG1": false, "Abcdefgh": false, strings.Repeat("aB3x", 65): false, strings.Repeat("ä", 128) + "B3": false,
	} {
		if problem := PasswordProblem(password); (problem == "") != good {
			t.Errorf("%q: %q", password, problem)
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	session, key := NewSessionToken().Reveal(), NewKeySecret().Reveal()
	if !strings.HasPrefix(session, "vs-") || len(session) != 3+43 || !IsSessionToken(session) || session == NewSessionToken().Reveal() {
		t.Errorf("session %s", session)
	}
	if !strings.HasPrefix(key, "sk-vel-") || len(key) != 7+43 || IsSessionToken(key) || key == NewKeySecret().Reveal() {
		t.Errorf("key %s", key)
	}
}
