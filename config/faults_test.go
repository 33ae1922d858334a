package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFaults holds the exact list of faults for every kind of mistake: with line, path, problem and hint, all of
// them at once and none that only follows from another.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range faultCases {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := parse("vel.yaml", []byte(strings.TrimPrefix(tt.file, "\n")), newEnvironment(tt.env))
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("got error %v, want faults", err)
			}
			var got []string
			for _, f := range faults {
				got = append(got, f.String())
			}
			if diff := cmp.Diff(strings.Split(strings.TrimSpace(tt.want), "\n"), got); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

type faultCase struct {
	name, file, want string
	env              []string
}

var faultCases = []faultCase{
	{name: "unknown keys", file: `
listne: 127.0.0.1:1
server: {drian: 1s, max_body: 1MiB}
Log: {level: info}
zzz: 1
`, want: `
vel.yaml:1: listne: is not a known key; did you mean "listen"?
vel.yaml:2: server.drian: is not a known key; did you mean "drain"?
vel.yaml:3: Log: is not a known key; did you mean "log"?
vel.yaml:4: zzz: is not a known key; known are admin, cache, database, database_direct, defaults, listen, log, models, organizations, otel, providers, redis, retention, server, snapshot_max_age, spool, tasks, webhooks
`},
	{name: "wrong types", file: `
listen: [a]
server: {drain: 30, max_body: 12x, trusted_proxies: 10.0.0.0/8}
spool: {strict: yes, sync: -1s, max_bytes: 0%}
log: {level: true}
otel: {sample: .inf}
retention: [a]
defaults: {attempts: 2.5, backoff: [1s, ~]}
organizations: {acme: {limits: {rpm: "6000"}}}
`, want: `
vel.yaml:1: listen: must be text, not a list; write one value
vel.yaml:2: server.drain: "30" is not a duration; write a number with a unit, such as 100ms, 30s, 15m, 24h or 30d
vel.yaml:2: server.max_body: "12x" is not a size; write a whole number with a unit, such as 64MiB
vel.yaml:2: server.trusted_proxies: must be a list, not text; write it as [a, b], or with a dash for every entry
vel.yaml:3: spool.max_bytes: "0%" is not a size or a share; write it as 10GiB or 20%
vel.yaml:3: spool.strict: must be true or false, not "yes"; write true or false
vel.yaml:3: spool.sync: "-1s" is not a duration; write a number with a unit, such as 100ms, 30s, 15m, 24h or 30d
vel.yaml:4: log.level: must be text, not true or false; put it in quotes
vel.yaml:5: otel.sample: must be a number, not ".inf"; write it as 0.5
vel.yaml:6: retention: must be a block of keys, not a list; write it as {key: value}, or indented below
vel.yaml:7: defaults.attempts: must be a whole number, not "2.5"; write digits only, without quotes
vel.yaml:7: defaults.backoff[1]: is empty; remove the entry or give it a value
vel.yaml:8: organizations.acme.limits.rpm: must be a whole number, not "6000"; write digits only, without quotes
`},
	{name: "keys twice", file: `
listen: 127.0.0.1:1
log: {level: info, level: debug}
listen: 127.0.0.1:2
listen: 127.0.0.1:3
`, want: `
vel.yaml:2: log.level: is written twice, first on line 2; remove one of the two
vel.yaml:3: listen: is written twice, first on line 1; remove one of the two
vel.yaml:4: listen: is written twice, first on line 1; remove one of the two
`},
	{name: "keys that are no names", file: `
server: {<<: {drain: 1s}}
? [a, b]
: 1
providers: {"": {kind: openai}}
`, want: `
vel.yaml:1: server: uses a merge key; write the values out; what all share belongs under defaults
vel.yaml:2: has a key that is no name; write the key as plain text
vel.yaml:4: providers: has an empty name; give it a name
`},
	{name: "aliases", file: `
server: &s {cors: {origins: &o [*o]}}
log: *s
`, want: `
vel.yaml:1: log.cors: is not a known key; known are format, level
vel.yaml:1: server.cors.origins[0]: must be text, not a list; write one value
`},
	{name: "not a mapping", file: "- a\n- b\n", want: `
vel.yaml:1: must be a block of keys, not a list; write it as {key: value}, or indented below
`},
	{name: "not YAML", file: "a: b: c\n", want: `
vel.yaml: mapping values are not allowed in this context; check colons, quotes and indentation there
`},
	{name: "two documents", file: "listen: :1\n---\nlisten: :2\n", want: `
vel.yaml: there is more than one document; remove what follows the line ---
`},
	{name: "bad values everywhere", file: `
listen: example.com:99999
server:
  max_body: 0
  max_upload: 0
  tls: {cert: a.pem}
  cors: {origins: [https://a.example/path]}
admin: {listen: nowhere, oidc: {client_id: a}}
log: {level: loud, format: xml}
spool: {on_full: wait}
otel: {endpoint: collector, sample: 2}
retention: {calls: 1h}
`, want: `
vel.yaml:1: listen: "99999" is not a port; write a number from 0 to 65535; 0 takes a free port
vel.yaml:1: listen: "example.com" is not an IP address of this machine; write 127.0.0.1, 0.0.0.0, [::] or localhost
vel.yaml:3: server.max_body: must be more than 0; write a size such as 64MiB
vel.yaml:4: server.max_upload: must be more than 0; write a size such as 256MiB
vel.yaml:5: server.tls: names only one of cert and key; name both files, or neither for plain HTTP
vel.yaml:6: server.cors.origins[0]: "https://a.example/path" is not an origin; write scheme and host without a path, such as https://app.example.com, or *
vel.yaml:7: admin.listen: "nowhere" is not an address with a port; write it as 127.0.0.1:8080, [::1]:8080 or :8080
vel.yaml:7: admin.oidc: has no issuer; add issuer, or remove the other settings
vel.yaml:8: log.format: "xml" is not one of the choices; use json, text
vel.yaml:8: log.level: "loud" is not one of the choices; use debug, info, warn, error
vel.yaml:9: spool.on_full: "wait" is not one of the choices; use refuse, drop
vel.yaml:10: otel.endpoint: "collector" is not an http:// or https:// URL; write it as http://collector:4318
vel.yaml:10: otel.sample: must be from 0 to 1; write 0.01 for 1 %
vel.yaml:11: retention.calls: is less than a day; records are removed by the day; write 1d or more
`},
	{name: "names that lead nowhere", file: `
providers:
  local: {kind: openai, base_url: http://127.0.0.1:1/v1, api_key: none, allow_private: true, organizations: [acem]}
models:
  gpt-4.1: {targets: [{provider: local}, {provider: locla}]}
  auto: {rules: [{when: stream, use: gtp-4.1}], targets: [{provider: local}]}
organizations:
  acme: {keys: {ci: {key: none-none-none-none-none, models: [gpt-4.1, gtp-4.1]}}}
`, want: `
vel.yaml:2: providers.local.organizations[0]: there is no organization "acem"; did you mean "acme"?
vel.yaml:4: models.gpt-4.1.targets[1].provider: there is no provider "locla"; there are: local
vel.yaml:5: models.auto.rules[0].use: there is no model "gtp-4.1"; there are: auto, gpt-4.1
vel.yaml:7: organizations.acme.keys.ci.models[1]: there is no model "gtp-4.1"; did you mean "gpt-4.1"?
`},
	{name: "organizations", file: `
organizations:
  "a/b": {}
  acme:
    budget: {usd: -1, per: moon, timezone: Mars, warn_at: 2}
    limits: {rpm: 0, on_store_failure: maybe}
    keys:
      short: {key: abc}
      none: {}
      one: {key: one-secret-for-two-keys-is-one-too-few}
      two: {key: one-secret-for-two-keys-is-one-too-few}
      space: {key: "a key with spaces in it is no header"}
      late: {key: file:/nonexistent/key, expires: tomorrow}
`, want: `
vel.yaml:2: organizations.a/b: "a/b" can not be a name; use at most 64 letters, digits, dots, dashes and underscores, and begin with a letter or digit
vel.yaml:4: organizations.acme.budget.per: "moon" is not one of the choices; use hour, day, week, month, total
vel.yaml:4: organizations.acme.budget.timezone: "Mars" is not a time zone; write a name of the IANA database such as Europe/Berlin
vel.yaml:4: organizations.acme.budget.usd: "-1" is not an amount in dollars; write a decimal such as 500 or 19.99
vel.yaml:4: organizations.acme.budget.warn_at: must be more than 0 and at most 1; write 0.8 for 80 %
vel.yaml:5: organizations.acme.limits.on_store_failure: "maybe" is not one of the choices; use local, closed, open
vel.yaml:5: organizations.acme.limits.rpm: must be at least 1; remove it for no limit, or disable the key
vel.yaml:7: organizations.acme.keys.short.key: has only 3 characters; use at least 24 random ones: openssl rand -base64 32
vel.yaml:8: organizations.acme.keys.none: has no key; add key: env:NAME or key: file:PATH
vel.yaml:10: organizations.acme.keys.two.key: is the same secret as organizations.acme.keys.one.key; give every key a secret of its own
vel.yaml:11: organizations.acme.keys.space.key: has characters that no header can carry; use letters, digits and punctuation without spaces
vel.yaml:12: organizations.acme.keys.late.expires: "tomorrow" is not a time; write it as 2027-01-31T00:00:00Z
vel.yaml:12: organizations.acme.keys.late.key: the file can not be read: no such file or directory; check the path and its permissions
`},
	{name: "environment", file: "log: {level: info}\n", env: []string{
		"VEL__REDIS=http://user:password@host", "VEL__LOG__LEVEL=loud", "VEL__LGO__LEVEL=info", "VEL__SERVER=on",
		"VEL__OTEL={sample: x}", "PORT=http", "DATABASE_URL=mysql://user:password@host/db", "VEL_SERVICE_PORT=1",
		"VEL_ADMIN_KEY=canary-of-23-characters", "VEL_SECRET_KEY=canary-of-31-characters-0123456",
		"VEL_SECRET_KEY_OLD=a-secret-that-is-long-enough-for-all,canary-of-30-characters-012345",
	}, want: `
DATABASE_URL: database: is neither sqlite:PATH nor a postgres:// URL; write sqlite:PATH or postgres://user:password@host/name
PORT: listen: "http" is not a port; write a number from 0 to 65535; 0 takes a free port
VEL_ADMIN_KEY: has only 23 characters; use at least 24 random ones: openssl rand -base64 32
VEL_SECRET_KEY: has only 31 characters; use at least 32 random ones: openssl rand -base64 32
VEL_SECRET_KEY_OLD: has only 30 characters; use at least 32 random ones: openssl rand -base64 32
VEL__LGO__LEVEL: lgo: is not a known key; did you mean "log"?
VEL__LOG__LEVEL: log.level: "loud" is not one of the choices; use debug, info, warn, error
VEL__OTEL: otel.sample: must be a number, not "x"; write it as 0.5
VEL__REDIS: redis: is not a redis:// or rediss:// URL; write redis://host:6379, several nodes of a cluster separated by commas
VEL__SERVER: server: must be a block of keys, not text; write it as {key: value}, or indented below
`},
	{name: "decoding and checking together", file: `
providers: {x: {kind: opnai, api_kye: none}}
models: {m: {targets: [{provider: y, wieght: 1}], attempts: many}}
`, want: `
vel.yaml:1: providers.x.api_key: is missing; write a reference as env:NAME or file:PATH, or none for a server that wants no key
vel.yaml:1: providers.x.api_kye: is not a known key; did you mean "api_key"?
vel.yaml:1: providers.x.kind: "opnai" is not known; write one of: openai, groq, perplexity
vel.yaml:2: models.m.attempts: must be a whole number, not "many"; write digits only, without quotes
vel.yaml:2: models.m.targets[0].provider: there is no provider "y"; there are: x
vel.yaml:2: models.m.targets[0].wieght: is not a known key; did you mean "weight"?
`},
}

// TestFaultsKeepSecrets puts a secret wherever one can stand, with a fault beside it, and looks for it in what
// is said.
func TestFaultsKeepSecrets(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3a"
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := `
database: "mysql://u:canary-7f3a@h/d"
database_direct: "sqlite:canary-7f3a"
redis: "http://u:canary-7f3a@h"
admin: {oidc: {client_secret: [canary-7f3a]}}
providers:
  a: {kind: openai, api_key: "canary-7f3a\n", base_url: "http://u:canary-7f3a@h", proxy: "http://u:canary-7f3a@h"}
  b: {kind: openai, api_key: {canary: canary-7f3a}}
  c: {kind: openai, api_key: "file:` + empty + `"}
organizations: {acme: {keys: {ci: {key: canary-7f3a}, cd: {key: env:CANARY}}}}
`
	_, err := parse("vel.yaml", []byte(file), newEnvironment([]string{"CANARY=canary-7f3a", "VEL__OTEL__ENDPOINT=x"}))
	if err == nil {
		t.Fatal("no faults")
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("a secret is shown:\n%v", err)
	}
}
