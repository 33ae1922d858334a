package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/vel-gateway/vel/simulator"
)

// simulateCmd is `vel simulate`: pretend providers over HTTP.
type simulateCmd struct {
	Listen  string `help:"Address to listen on; port 0 takes a free one." default:"127.0.0.1:8081" placeholder:"ADDR"`
	Dialect string `help:"Whose wire to speak: openai, groq, perplexity or perplexity-chat." enum:"openai,groq,perplexity,perplexity-chat" default:"openai" placeholder:"NAME"`
	Key     string `help:"The only bearer key that is accepted. Without it any key is." placeholder:"KEY"`
	Faults  string `help:"Fault words for every call, for example 'latency=2s status=503'." placeholder:"WORDS"`
	Seed    uint64 `help:"Seed of the draws of latencies and errors." default:"1" placeholder:"N"`
}

// Help is the long help, with an example.
func (simulateCmd) Help() string {
	return `Serves OpenAI-shaped models with honest latencies, token counts, prices and errors.
A marker in the last user message asks for a fault in that call; GET /simulator/faults lists the words.
With --dialect it is as strict as that provider: what the provider refuses is refused here too.

Example:

  vel simulate --listen 127.0.0.1:8081
  curl -N http://127.0.0.1:8081/v1/chat/completions -H 'Authorization: Bearer any' \
    -d '{"model":"sim-fast","stream":true,"messages":[{"role":"user","content":"Hello [[chunks=5 delay=200ms]]"}]}'
`
}

// simulateGrace is how long open answers may take to end when the command is stopped.
const simulateGrace = 2 * time.Second

// Run serves until ctx ends.
func (cmd *simulateCmd) Run(ctx context.Context) error {
	server, err := simulator.Start(simulator.Config{
		Listen: cmd.Listen, Provider: simulator.Provider{Dialect: cmd.Dialect, Key: cmd.Key}, Faults: cmd.Faults, Seed: cmd.Seed,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "simulator on %s\nmodels: %s\n", server.BaseURL(), strings.Join(server.Models(), ", "))
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), simulateGrace)
	defer cancel()
	// Answers that are cut by a stop are what a stop is for: no failure of the command.
	_ = server.Stop(grace)
	return nil
}
