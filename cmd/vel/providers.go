package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

// providers is how the command line sees providers.
func providers() *kind {
	return &kind{
		path: "/api/providers", columns: []string{"id", "name", "kind", "base_url", "has_key", "key_hint", "managed_by", "shadowed", "problem"},
		sent: []string{
			"name", "kind", "base_url", "api", "allow_private", "organizations", "timeouts", "breaker", "limits", "tls", "proxy", "prices",
		},
	}
}

// providersCmd manages providers.
type providersCmd struct {
	List   providersListCmd   `cmd:"" help:"List the providers of the file and of the database."`
	Get    providersGetCmd    `cmd:"" help:"Show one, without its key."`
	Create providersCreateCmd `cmd:"" help:"Make one: it can be used on every node within two seconds."`
	Update providersUpdateCmd `cmd:"" help:"Change one, or give it another key."`
	Delete providersDeleteCmd `cmd:"" help:"Delete one that no route of the database names."`
	Test   providersTestCmd   `cmd:"" help:"Find out whether one takes its key, and answers for a model."`
}

// Help shows how it is used.
func (providersCmd) Help() string {
	return `A provider is an account at an AI provider. Those of the configuration file are read-only here.

Example:
  vel providers create openai --kind openai --key-file key.txt
  vel providers test provider_… --model gpt-4o
  vel providers update provider_… --key-env NEW_OPENAI_KEY
  vel providers create local --kind openai --base-url http://10.0.0.7:8000/v1 --allow-private --keyless`
}

// credential says where a provider's key stands. A flag that held it would be in the list of processes.
type credential struct {
	KeyFile string `xor:"key" placeholder:"FILE" help:"A file with the key, or - for standard input."`
	KeyEnv  string `xor:"key" placeholder:"NAME" help:"The variable of this command that has the key."`
	Keyless bool   `xor:"key" help:"The server wants no key."`
	DropKey bool   `xor:"key" help:"It has no key, or none any more: nothing goes there until it has one."`
}

func (c *credential) member() (member, error) {
	m := member{"api_key", nil, true}
	switch {
	case c.KeyFile != "":
		key, err := readSecret(c.KeyFile)
		if err != nil {
			return m, fmt.Errorf("read the key: %w", err)
		}
		m.value = key
	case c.KeyEnv != "":
		key := os.Getenv(c.KeyEnv)
		if key == "" {
			return m, fmt.Errorf("the variable %s is not set", c.KeyEnv)
		}
		m.value = key
	case c.Keyless:
		m.value = "none"
	default:
		m.said = c.DropKey
	}
	return m, nil
}

// settingsFlag takes what has no flag of its own.
type settingsFlag struct {
	Settings string `placeholder:"FILE" help:"More settings, as the configuration file has them, in YAML or JSON; - for standard input."`
}

func (s *settingsFlag) members() (list []member, err error) {
	if s.Settings == "" {
		return nil, nil
	}
	text, err := readText(s.Settings)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	settings := map[string]any{}
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	for name, value := range settings {
		list = append(list, member{name, value, true})
	}
	return list, nil
}

// providerFlags are what can be said of a provider.
type providerFlags struct {
	credential
	settingsFlag
	Kind          string   `help:"What it speaks: openai, groq or perplexity; every OpenAI-compatible server is openai."`
	BaseURL       string   `name:"base-url" placeholder:"URL" help:"Where the API begins; the kind's own without it. The word none takes it away."`
	API           string   `name:"api" help:"responses or chat."`
	AllowPrivate  *bool    `negatable:"" help:"Whether loopback and private addresses may be dialled."`
	Organizations []string `placeholder:"ID" help:"Who may use it; everybody, if nobody is said. The word none empties the list."`
	Proxy         string   `placeholder:"URL" help:"A proxy, as http://host:port. The word none takes it away."`
}

func (f *providerFlags) members() ([]member, error) {
	list, err := f.settingsFlag.members()
	if err != nil {
		return nil, err
	}
	key, err := f.member()
	return append(list, key, text("kind", f.Kind), textOrOut("base_url", f.BaseURL), text("api", f.API), flag("allow_private", f.AllowPrivate),
		wordsOrOut("organizations", f.Organizations), textOrOut("proxy", f.Proxy)), err
}

type providersListCmd struct {
	manage
	Name string `help:"Only the one with this name."`
}

func (c *providersListCmd) Run(ctx context.Context, o *output) error {
	return providers().list(ctx, o, &c.manage, text("name", c.Name))
}

type providersGetCmd struct {
	manage
	ID string `arg:"" help:"The provider's id."`
}

func (c *providersGetCmd) Run(ctx context.Context, o *output) error {
	return providers().get(ctx, o, &c.manage, c.ID)
}

type providersCreateCmd struct {
	manage
	providerFlags
	Name string `arg:"" help:"What routes call it. It never changes."`
}

func (c *providersCreateCmd) Run(ctx context.Context, o *output) error {
	members, err := c.members()
	if err != nil {
		return err
	}
	return providers().create(ctx, o, &c.manage, given(append(members, text("name", c.Name))...))
}

type providersUpdateCmd struct {
	manage
	providerFlags
	ID string `arg:"" help:"The provider's id."`
}

func (c *providersUpdateCmd) Run(ctx context.Context, o *output) error {
	members, err := c.members()
	if err != nil {
		return err
	}
	return providers().change(ctx, o, &c.manage, c.ID, given(members...))
}

type providersDeleteCmd struct {
	manage
	ID string `arg:"" help:"The provider's id."`
}

func (c *providersDeleteCmd) Run(ctx context.Context, o *output) error {
	return providers().remove(ctx, o, &c.manage, c.ID)
}

type providersTestCmd struct {
	manage
	ID    string `arg:"" help:"The provider's id; provider:NAME for one of the file."`
	Model string `help:"The provider's name of a model: a call of a few tokens is made."`
}

// tested is what a try found out, as the API says it.
type tested struct {
	OK    bool     `json:"ok"`
	Key   finding  `json:"key"`
	Model *finding `json:"model,omitempty"`
}

type finding struct {
	Verdict string  `json:"verdict"`
	Class   *string `json:"class"`
	Status  *int    `json:"status"`
	Message string  `json:"message"`
	Said    *string `json:"provider_says"`
	Latency float64 `json:"latency_ms"`
}

func (c *providersTestCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error {
		var t tested
		err := r.call(ctx, http.MethodPost, providers().at(c.ID)+"/test", nil, "", given(text("model", c.Model)), &t)
		if err != nil {
			return err
		}
		if err := o.print(t, t.text()); err != nil || t.OK {
			return err
		}
		return errors.New("the provider fails")
	})
}

func (t *tested) text() string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(what string, f *finding) {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.0f ms\t%s\n", what, strings.ReplaceAll(f.Verdict, "_", " "), f.Latency, f.Message)
		if f.Said != nil {
			_, _ = fmt.Fprintf(w, "\t\t\t%s\n", *f.Said)
		}
	}
	line("key", &t.Key)
	if t.Model != nil {
		line("model", t.Model)
	}
	_ = w.Flush() // a buffer takes everything
	return b.String()
}
