// Command vel is an OpenAI-compatible gateway to AI providers.
//
// This package wires the rooms and owns their life; one file per command. What a command does for people, it
// does for machines with --json.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes of every command.
const (
	exitOK = iota
	exitFailed
	exitWrongUse
)

// commands is the command line. Every command has a method Run, which kong calls with what main binds: a
// context that ends with the process's first SIGINT or SIGTERM, and the output.
type commands struct {
	JSON bool `name:"json" help:"Write JSON, for machines."`

	Serve       serveCmd       `cmd:"" help:"Start the gateway."`
	CheckConfig checkConfigCmd `cmd:"" name:"check-config" help:"List every fault of a configuration."`
	Simulate    simulateCmd    `cmd:"" help:"Pretend to be providers."`
	Config      configCmd      `cmd:"" help:"About the configuration file."`
	Orgs        orgsCmd        `cmd:"" help:"Manage organizations."`
	Teams       teamsCmd       `cmd:"" help:"Manage teams."`
	Users       usersCmd       `cmd:"" help:"Manage users."`
	Roles       rolesCmd       `cmd:"" help:"Manage roles."`
	Keys        keysCmd        `cmd:"" help:"Manage virtual keys."`
	Providers   providersCmd   `cmd:"" help:"Manage providers."`
	Routes      routesCmd      `cmd:"" help:"Manage routes: model names and where their calls go."`
	Targets     targetsCmd     `cmd:"" help:"Show how targets do, and reset their breakers."`
	Cache       cacheCmd       `cmd:"" help:"About the answers that are kept for equal calls."`
	Explain     explainCmd     `cmd:"" help:"Say where a call would go, and why."`
	Agents      agentsCmd      `cmd:"" help:"Manage agents: configurations of chats that have a name."`
	Tasks       tasksCmd       `cmd:"" help:"Run, list, show, watch and cancel tasks."`
	Batches     batchesCmd     `cmd:"" help:"Submit, watch and read batches."`
	Webhooks    webhooksCmd    `cmd:"" help:"Manage webhooks: who is told what happens."`
	Limits      limitsCmd      `cmd:"" help:"Manage limits: how fast calls may come."`
	Budgets     budgetsCmd     `cmd:"" help:"Manage budgets: what calls may cost."`
	Ledger      ledgerCmd      `cmd:"" help:"Verify what was spent, and repair what is counted."`
	Secrets     secretsCmd     `cmd:"" help:"About the keys that encrypt secrets at rest."`
	Login       loginCmd       `cmd:"" help:"Sign on by a browser and print a token."`
	Audit       auditCmd       `cmd:"" help:"List, export and verify who did what."`
	Spool       spoolCmd       `cmd:"" help:"About the records that wait for the database."`
	Calls       callsCmd       `cmd:"" help:"List, show and export calls."`
	Usage       usageCmd       `cmd:"" help:"Sum what was used."`
	Costs       costsCmd       `cmd:"" help:"Summarize what was spent."`
	Prices      pricesCmd      `cmd:"" help:"Show what a model costs."`
	Migrate     migrateCmd     `cmd:"" help:"About the schema of the database."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// output is where a command writes: results to Out, progress and complaints to Err.
type output struct {
	Out, Err io.Writer
	JSON     bool
}

// errReported ends a command whose failure has already been written in full.
var errReported = errors.New("reported")

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	var c commands
	parser, err := kong.New(&c,
		kong.Name("vel"),
		kong.Description("One gateway to every AI provider, for unchanged OpenAI SDKs."),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return fail(stderr, false, fmt.Errorf("read the command line: %w", err), exitFailed)
	}
	call, err := parser.Parse(args)
	if err != nil { // and then c holds nothing
		return fail(stderr, slices.Contains(args, "--json"), fmt.Errorf("%w; try vel --help", err), exitWrongUse)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	call.BindTo(ctx, (*context.Context)(nil))
	if err := call.Run(&output{Out: stdout, Err: stderr, JSON: c.JSON}); err != nil {
		return fail(stderr, c.JSON, err, exitFailed)
	}
	return exitOK
}

// fail writes why a command ended, once, and returns its exit code.
func fail(stderr io.Writer, asJSON bool, err error, code int) int {
	switch {
	case errors.Is(err, errReported):
	case asJSON:
		_ = json.NewEncoder(stderr).Encode(map[string]string{"error": err.Error()}) // nowhere is left to complain
	default:
		_, _ = fmt.Fprintln(stderr, "vel:", err)
	}
	return code
}

// print writes a command's result: v as JSON for machines, or text for people.
func (o *output) print(v any, text string) error {
	if !o.JSON {
		_, err := io.WriteString(o.Out, text)
		return err
	}
	enc := json.NewEncoder(o.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// usualConfig is read when neither --config nor VEL_CONFIG names a file.
const usualConfig = "vel.yaml"

// configPath is the file to read: the one that is named, else vel.yaml if it lies here, else none.
func configPath(named string) string {
	if named != "" {
		return named
	}
	if _, err := os.Stat(usualConfig); err == nil {
		return usualConfig
	}
	return ""
}
