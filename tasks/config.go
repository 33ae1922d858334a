package tasks

import "fmt"

// Config is the room's part of the file.
type Config struct {
	PerUser int `yaml:"per_user" jsonschema:"description=How many unfinished tasks a user may have at once; a key without a user counts as one. Items of batches are not counted."`
	Streams int `yaml:"streams_per_user" jsonschema:"description=How many tasks a user may follow at the same time on one node."`
	Workers int `yaml:"workers" jsonschema:"description=How many tasks a node runs at the same time."`
}

// The bounds of the settings.
const (
	mostPerUser = 100_000
	mostStreams = 10_000
	mostWorkers = 10_000
)

// Defaults is what holds without a file.
func Defaults() Config { return Config{PerUser: 10, Streams: 50, Workers: 64} }

// Validate reports every fault through fault, with its dotted path in the file and what to do about it.
func (c *Config) Validate(fault func(path, problem, hint string)) {
	for _, s := range []struct {
		name     string
		is, most int
		example  string
	}{
		{"per_user", c.PerUser, mostPerUser, "write 10"},
		{"streams_per_user", c.Streams, mostStreams, "write 50"},
		{"workers", c.Workers, mostWorkers, "write 64"},
	} {
		if s.is < 1 || s.is > s.most {
			fault("tasks."+s.name, fmt.Sprintf("is not between 1 and %d", s.most), s.example)
		}
	}
}
