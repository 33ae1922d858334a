package main

import (
	"errors"
	"os"

	"github.com/vel-gateway/vel/config"
)

// serveCmd starts the gateway.
type serveCmd struct {
	Config string `env:"VEL_CONFIG" placeholder:"FILE" help:"The file; ./vel.yaml if it is there, else defaults and environment."`
}

// Run loads the configuration. Placeholder: what follows is written in this file with the gateway.
func (cmd *serveCmd) Run(*output) error {
	if _, err := config.Load(configPath(cmd.Config), os.Environ()); err != nil {
		return err
	}
	return errors.New("serve is not wired yet")
}
