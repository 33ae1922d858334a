package tenancy

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	_ "time/tzdata" // budgets name time zones, also on machines that have none installed

	"github.com/vel-gateway/vel/secrets"
)

// Config is the room's part of the file: who may call.
type Config struct {
	Organizations map[string]OrgConfig `yaml:"organizations" jsonschema:"description=Who may call; each organization with its keys."`
}

// OrgConfig is one organization.
type OrgConfig struct {
	KeepContent bool `yaml:"keep_content" jsonschema:"description=Prompts and answers of its calls are kept; sealed."`

	Budget  *BudgetConfig           `yaml:"budget" jsonschema:"description=What all its keys may spend together."`
	Budgets map[string]BudgetConfig `yaml:"budgets" jsonschema:"description=More budgets by name; all of them hold."`
	Limits  *LimitsConfig           `yaml:"limits" jsonschema:"description=What all its keys may do together."`
	Keys    map[string]KeyConfig    `yaml:"keys" jsonschema:"description=Virtual keys by name."`
}

// KeyConfig is one virtual key. Key is nil if it was not written, and points to an empty secret if its
// reference leads nowhere: then the key does not exist.
type KeyConfig struct {
	Key      *secrets.Secret         `yaml:"key" jsonschema:"description=What the client sends: env:NAME or file:PATH; at least 24 characters."`
	Models   []string                `yaml:"models" jsonschema:"description=Public model names that it may use; all if it is not written."`
	Limits   *LimitsConfig           `yaml:"limits" jsonschema:"description=What this key may do."`
	Budget   *BudgetConfig           `yaml:"budget" jsonschema:"description=What this key may spend."`
	Budgets  map[string]BudgetConfig `yaml:"budgets" jsonschema:"description=More budgets by name; all of them hold."`
	Expires  time.Time               `yaml:"expires" jsonschema:"description=When it stops working as 2027-01-31T00:00:00Z; never if it is not written."`
	Disabled bool                    `yaml:"disabled" jsonschema:"description=The key is kept but opens nothing."`
}

// LimitsConfig bounds how fast a key or an organization may call. What is nil is not limited.
type LimitsConfig struct {
	RPM            *int64 `yaml:"rpm" jsonschema:"description=Requests a minute.,minimum=1"`
	TPM            *int64 `yaml:"tpm" jsonschema:"description=Tokens a minute.,minimum=1"`
	RPH            *int64 `yaml:"rph" jsonschema:"description=Requests an hour.,minimum=1"`
	TPH            *int64 `yaml:"tph" jsonschema:"description=Tokens an hour.,minimum=1"`
	RPD            *int64 `yaml:"rpd" jsonschema:"description=Requests a day.,minimum=1"`
	TPD            *int64 `yaml:"tpd" jsonschema:"description=Tokens a day.,minimum=1"`
	InFlight       *int64 `yaml:"in_flight" jsonschema:"description=Calls at the same time.,minimum=1"`
	Burst          *int64 `yaml:"burst" jsonschema:"description=Requests that may come at once; a tenth of rpm if it is not written.,minimum=1"`
	OnStoreFailure string `yaml:"on_store_failure" jsonschema:"description=What holds while the counters can not be reached.,enum=local,enum=closed,enum=open"`
}

// BudgetConfig bounds what a key or an organization may spend in a calendar window.
type BudgetConfig struct {
	USD            string   `yaml:"usd" jsonschema:"oneof_type=string;number,description=Dollars as a decimal."`
	Per            string   `yaml:"per" jsonschema:"description=The calendar window; total: for ever.,enum=hour,enum=day,enum=week,enum=month,enum=total"`
	Timezone       string   `yaml:"timezone" jsonschema:"description=Where the window begins at midnight as Europe/Berlin; UTC if it is not written."`
	WarnAt         *float64 `yaml:"warn_at" jsonschema:"description=The share that is announced; 0.8 if it is not written.,minimum=0,maximum=1"`
	Hard           *bool    `yaml:"hard" jsonschema:"description=Calls beyond it are refused; so it is if it is not written."`
	OnStoreFailure string   `yaml:"on_store_failure" jsonschema:"description=What holds while the counters can not be reached; local if it is not written.,enum=local,enum=closed,enum=open"`
}

// shortestKey is the length in characters below which a key from the file could be guessed.
const shortestKey = 24

var (
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	visibleForm = regexp.MustCompile(`^[\x21-\x7e]+$`)
)

// Defaults is what holds without a file: nobody is declared.
func Defaults() Config { return Config{} }

// OrgID is the id of the organization that stands under this name in the file, equal on every node.
func OrgID(org string) ID { return ID("org:" + org) }

// KeyID is the id of the key that stands under these names in the file, equal on every node.
func KeyID(org, key string) ID { return ID("key:" + org + "/" + key) }

// Orgs are the organizations that the file declares, in the order of their ids.
func (c *Config) Orgs() []Org {
	var orgs []Org
	for name, o := range c.Organizations {
		orgs = append(orgs, Org{Meta: Meta{ID: OrgID(name), Org: OrgID(name), Name: name, ManagedBy: ByFile}, KeepContent: o.KeepContent})
	}
	slices.SortFunc(orgs, func(a, b Org) int { return cmp.Compare(a.ID, b.ID) })
	return orgs
}

// Keys are the keys that the file declares and that have a secret, in the order of their ids.
func (c *Config) Keys() []APIKey {
	var keys []APIKey
	for org, o := range c.Organizations {
		for key, k := range o.Keys {
			if k.Key == nil || k.Key.IsZero() {
				continue
			}
			keys = append(keys, APIKey{
				Meta: Meta{ID: KeyID(org, key), Org: OrgID(org), Name: key, ManagedBy: ByFile}, Hash: HashKey([]byte(k.Key.Reveal())),
				Models: k.Models, Expires: k.Expires, Disabled: k.Disabled, KeepContent: o.KeepContent,
			})
		}
	}
	slices.SortFunc(keys, func(a, b APIKey) int { return cmp.Compare(a.ID, b.ID) })
	return keys
}

// Validate reports every fault through fault, with its dotted path in the file and what to do about it.
// Whether the models of a key exist is checked where the models are known: in package config.
func (c *Config) Validate(fault func(path, problem, hint string)) {
	first := map[Hash]string{} // the path of the key that has this secret
	for _, org := range slices.Sorted(maps.Keys(c.Organizations)) {
		o, path := c.Organizations[org], "organizations."+org
		validateName(org, path, fault)
		o.Limits.validate(path+".limits", fault)
		o.Budget.validate(path+".budget", fault)
		validateBudgets(o.Budgets, path+".budgets", fault)
		for _, key := range slices.Sorted(maps.Keys(o.Keys)) {
			k := o.Keys[key]
			k.validate(key, path+".keys."+key, first, fault)
		}
	}
}

func (k *KeyConfig) validate(key, path string, first map[Hash]string, fault func(path, problem, hint string)) {
	validateName(key, path, fault)
	k.Limits.validate(path+".limits", fault)
	k.Budget.validate(path+".budget", fault)
	validateBudgets(k.Budgets, path+".budgets", fault)
	if k.Key == nil {
		fault(path, "has no key", "add key: env:NAME or key: file:PATH")
		return
	}
	if k.Key.IsZero() {
		return
	}
	text := k.Key.Reveal()
	if len(text) < shortestKey {
		fault(path+".key", fmt.Sprintf("has only %d characters", len(text)),
			fmt.Sprintf("use at least %d random ones: openssl rand -base64 32", shortestKey))
	}
	if !visibleForm.MatchString(text) {
		fault(path+".key", "has characters that no header can carry", "use letters, digits and punctuation without spaces")
	}
	hash := HashKey([]byte(text))
	if other, taken := first[hash]; taken {
		fault(path+".key", "is the same secret as "+other+".key", "give every key a secret of its own")
		return
	}
	first[hash] = path
}

func validateName(n, path string, fault func(path, problem, hint string)) {
	if !nameForm.MatchString(n) {
		fault(path, fmt.Sprintf("%q can not be a name", n), "use at most 64 letters, digits, dots, dashes and underscores, and begin with a letter or digit")
	}
}
