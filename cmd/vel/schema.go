package main

import "github.com/vel-gateway/vel/config"

// configCmd groups what is about the configuration file.
type configCmd struct {
	Schema schemaCmd `cmd:"" help:"Print the JSON Schema of the file."`
}

// schemaCmd prints the schema of the file; it is JSON with and without --json.
type schemaCmd struct{}

// Help shows how it is used.
func (schemaCmd) Help() string {
	return `Editors that know the schema complete keys and mark faults while you type.

Example:
  vel config schema > vel.schema.json
  # then, as the first line of vel.yaml:
  # yaml-language-server: $schema=vel.schema.json`
}

// Run prints the schema.
func (schemaCmd) Run(o *output) error {
	schema, err := config.Schema()
	if err != nil {
		return err
	}
	_, err = o.Out.Write(schema)
	return err
}
