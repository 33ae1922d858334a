package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// validate checks the blocks that no room owns yet.
func (f *file) validate(fault func(path, problem, hint string)) {
	_, sqlite := f.Database.SQLite()
	_, postgres := f.Database.Postgres()
	if !sqlite && !postgres {
		fault("database", "is empty", "write sqlite:PATH or postgres://…, or remove it")
	}
	_, direct := f.DatabaseDirect.Postgres()
	if _, ok := f.DatabaseDirect.SQLite(); ok || direct && sqlite {
		fault("database_direct", "is for Postgres only", "write the postgres:// URL of the server that database reaches through a pooler, or leave it empty")
	}
	if f.SnapshotMaxAge < time.Second {
		fault("snapshot_max_age", "must be at least 1s", "write 15m")
	}
	f.Spool.validate(fault)
	f.Cache.validate(fault)
	oneOf(f.Log.Level, "log.level", fault, "debug", "info", "warn", "error")
	oneOf(f.Log.Format, "log.format", fault, "json", "text")
	f.OTel.validate(fault)
	f.Admin.OIDC.Validate(fault)
	f.Tasks.Validate(fault)
	f.Webhooks.Validate(fault)
	for _, r := range []struct {
		name string
		days float64
	}{
		{"calls", f.Retention.Calls.Hours()},
		{"rollups", f.Retention.Rollups.Hours()},
		{"audit", f.Retention.Audit.Hours()},
		{"content", f.Retention.Content.Hours()},
		{"tasks", f.Retention.Tasks.Hours()},
	} {
		if r.days < day.Hours() {
			fault("retention."+r.name, "is less than a day", "records are removed by the day; write 1d or more")
		}
	}
}

func (s *Spool) validate(fault func(path, problem, hint string)) {
	if s.Dir == "" {
		fault("spool.dir", "is empty", "name a directory of this node's own")
	}
	if s.Sync <= 0 {
		fault("spool.sync", "must be more than 0", "write 50ms, or strict: true to wait for every record")
	}
	if s.MaxBytes == (Share{}) {
		fault("spool.max_bytes", "must be more than 0", "write it as 10GiB or 20%")
	}
	oneOf(s.OnFull, "spool.on_full", fault, "refuse", "drop")
}

func (c *Cache) validate(fault func(path, problem, hint string)) {
	if c.MaxAnswer <= 0 {
		fault("cache.max_answer", "must be more than 0", "write it as 1MiB")
	}
	if c.MaxBytes < c.MaxAnswer {
		fault("cache.max_bytes", fmt.Sprintf("is less than cache.max_answer (%s), so the largest answer could never be kept", c.MaxAnswer), "write it as 64MiB")
	}
}

func (o *OTel) validate(fault func(path, problem, hint string)) {
	if o.Endpoint != "" && !isURL(o.Endpoint, "http", "https") {
		fault("otel.endpoint", quote(o.Endpoint)+" is not an http:// or https:// URL", "write it as http://collector:4318")
	}
	if u, err := url.Parse(o.Endpoint); err == nil && (u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		fault("otel.endpoint", "has more than a host and a path", "write http://collector:4318; a collector that wants to know who sends stands behind one that does not")
	}
	if o.Sample < 0 || o.Sample > 1 {
		fault("otel.sample", "must be from 0 to 1", "write 0.01 for 1 %")
	}
}

func oneOf(value, path string, fault func(path, problem, hint string), allowed ...string) {
	if !slices.Contains(allowed, value) {
		fault(path, fmt.Sprintf("%s is not one of the choices", quote(value)), "use "+strings.Join(allowed, ", "))
	}
}
