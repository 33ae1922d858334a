package config

import (
	"time"

	"github.com/vel-gateway/vel/admin"
	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// file is the whole file: the rooms' parts side by side, and the blocks that no room owns yet or that several
// share. Its tags are the only list of the keys that exist; decoding, VEL__ variables, the schema and the
// table of parts all walk it.
type file struct {
	gateway.Config `yaml:",inline"`

	Database       Database            `yaml:"database" jsonschema:"description=sqlite:PATH or postgres://…; DATABASE_URL wins."`
	DatabaseDirect Database            `yaml:"database_direct" jsonschema:"description=Postgres without a pooler for LISTEN where database goes through PgBouncer."`
	SnapshotMaxAge time.Duration       `yaml:"snapshot_max_age" jsonschema:"description=How long keys that the database told of are believed while it does not answer."`
	Redis          Redis               `yaml:"redis" jsonschema:"description=redis://… or rediss://…; several hosts are a Redis Cluster; REDIS_URL wins; empty: limits are kept in this process."`
	Cache          Cache               `yaml:"cache" jsonschema:"description=Where the answers of models with a cache are kept."`
	Spool          Spool               `yaml:"spool" jsonschema:"description=Where records wait that are not yet in the database."`
	Admin          Admin               `yaml:"admin" jsonschema:"description=Who manages Vel and where."`
	Log            Log                 `yaml:"log" jsonschema:"description=What is logged and how."`
	OTel           OTel                `yaml:"otel" jsonschema:"description=OpenTelemetry over OTLP/HTTP."`
	Tasks          tasks.Config        `yaml:"tasks" jsonschema:"description=What is done later."`
	Webhooks       tasks.WebhookConfig `yaml:"webhooks" jsonschema:"description=Who may be told what happens."`
	Retention      Retention           `yaml:"retention" jsonschema:"description=How long records are kept."`

	Routing routing.Config `yaml:",inline"`
	Tenancy tenancy.Config `yaml:",inline"`
}

// Cache is where the answers of models with a cache are kept.
type Cache struct {
	MaxBytes  gateway.Size `yaml:"max_bytes" jsonschema:"description=The memory of a node for them where no redis is written."`
	MaxAnswer gateway.Size `yaml:"max_answer" jsonschema:"description=The largest answer that is kept."`
	Redis     Redis        `yaml:"redis" jsonschema:"description=A Redis for them that nodes share; best one of their own that evicts what is used least."`
}

// Spool is where records wait that are not yet in the database.
type Spool struct {
	Dir      string        `yaml:"dir" jsonschema:"description=A directory of this node's own; spool beside the SQLite file if it is not said."`
	Sync     time.Duration `yaml:"sync" jsonschema:"description=How often what was written is forced to the disk."`
	Strict   bool          `yaml:"strict" jsonschema:"description=A call waits until its record is on the disk."`
	MaxBytes Share         `yaml:"max_bytes" jsonschema:"description=A size or a share of the disk."`
	OnFull   string        `yaml:"on_full" jsonschema:"description=What happens to calls when it is full.,enum=refuse,enum=drop"`
}

// Admin is the control plane's listener and its single sign-on.
type Admin struct {
	Listen string     `yaml:"listen" jsonschema:"description=A second address for everything but /v1 and the two probes; empty: the same port."`
	OIDC   admin.OIDC `yaml:"oidc" jsonschema:"description=Single sign-on."`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level" jsonschema:"description=The least level that is written.,enum=debug,enum=info,enum=warn,enum=error"`
	Format string `yaml:"format" jsonschema:"description=One JSON object or one line of text per entry.,enum=json,enum=text"`
}

// OTel says where traces go and how many.
type OTel struct {
	Endpoint string  `yaml:"endpoint" jsonschema:"description=An OTLP/HTTP collector as http://host:4318; empty: off."`
	Sample   float64 `yaml:"sample" jsonschema:"description=The share of calls that is traced.,minimum=0,maximum=1"`
}

// Retention is how long each kind of record is kept.
type Retention struct {
	Calls   time.Duration `yaml:"calls" jsonschema:"description=One record per call."`
	Rollups time.Duration `yaml:"rollups" jsonschema:"description=Sums per minute, hour and day."`
	Audit   time.Duration `yaml:"audit" jsonschema:"description=Who changed what."`
	Content time.Duration `yaml:"content" jsonschema:"description=Prompts and answers where keeping them is switched on."`
	Tasks   time.Duration `yaml:"tasks" jsonschema:"description=Tasks that have ended, with their requests and answers."`
}

const day = 24 * time.Hour

// defaults is what holds without a file and without an environment.
func defaults() file {
	return file{
		Config:   gateway.Defaults(),
		Database: Database{sqlite: "./data/vel.db"}, SnapshotMaxAge: 15 * time.Minute,
		Cache:     Cache{MaxBytes: 64 << 20, MaxAnswer: 1 << 20},
		Spool:     Spool{Dir: "./data/spool", Sync: 50 * time.Millisecond, MaxBytes: Share{Percent: 20}, OnFull: "refuse"},
		Admin:     Admin{OIDC: admin.DefaultOIDC()},
		Log:       Log{Level: "info", Format: "json"},
		OTel:      OTel{Sample: 0.01},
		Tasks:     tasks.Defaults(),
		Webhooks:  tasks.WebhookDefaults(),
		Retention: Retention{Calls: 30 * day, Rollups: 400 * day, Audit: 90 * day, Content: 7 * day, Tasks: 30 * day},
		Routing:   routing.Defaults(),
		Tenancy:   tenancy.Defaults(),
	}
}
