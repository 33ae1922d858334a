package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/routing"
)

// serveCmd starts the gateway.
type serveCmd struct {
	Config string `env:"VEL_CONFIG" placeholder:"FILE" help:"The file; ./vel.yaml if it is there, else defaults and environment."`
}

// Help shows how it is used.
func (serveCmd) Help() string {
	return `Serves until SIGINT or SIGTERM, then lets open streams end (server.drain). SIGHUP, or a change of the file,
loads the configuration again without dropping a call.

Example:
  vel serve --config vel.yaml
  OPENAI_API_KEY=sk-… vel serve`
}

// Run serves until ctx ends.
func (cmd *serveCmd) Run(ctx context.Context, o *output) error {
	path := configPath(cmd.Config)
	cfg, err := config.Load(path, os.Environ())
	if err != nil {
		return err
	}
	if err := enforceable(cfg); err != nil {
		return err
	}
	log := newLog(o.Err, cfg.Log)
	defer log.stop()
	announce(log.Logger, cfg)

	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP) // before anybody can know that we are there: it would end a process that does not wait for it
	defer signal.Stop(hangUp)
	app := NewApp(log.Logger)
	if err := app.Start(cfg); err != nil {
		return err
	}
	if err := welcome(o, app, cfg); err != nil {
		return errors.Join(err, app.Stop())
	}
	err = app.run(ctx, path, hangUp)
	log.Info("stopping", slog.String("drain", cfg.Gateway.Server.Drain.String()))
	signal.Reset(os.Interrupt, syscall.SIGTERM) // a second one ends the drain
	return errors.Join(err, app.Stop())
}

// run serves until ctx ends or a part fails, and reloads meanwhile. It owns the reloads: they come one by one.
func (a *App) run(ctx context.Context, path string, hangUp <-chan os.Signal) error {
	changed, stop, err := watch(path)
	if err != nil {
		return err
	}
	defer stop()
	tls := a.started.gateway.Server.TLS
	renewed, stop, err := watch(tls.Cert, tls.Key)
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.Failed():
			return err
		case <-hangUp:
			a.Reload(path)
		case <-changed:
			a.Reload(path)
		case <-renewed:
			a.ReloadTLS()
		}
	}
}

// watch tells when one of the files changes; an empty path is none.
func watch(paths ...string) (changed <-chan struct{}, stop func(), err error) {
	news := make(chan struct{}, 1)
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	for _, path := range paths {
		if path == "" {
			continue
		}
		s, err := config.Watch(path, func() {
			select {
			case news <- struct{}{}:
			default: // it is due already
			}
		})
		if err != nil {
			stop()
			return nil, nil, err
		}
		stops = append(stops, s)
	}
	return news, stop, nil
}

// enforceable refuses a configuration that says what this version can not do: nothing is accepted and ignored.
func enforceable(cfg *config.Config) error {
	if len(cfg.NotEnforced) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("this version can not enforce all that the configuration says; take these parts out:")
	for _, part := range cfg.NotEnforced {
		b.WriteString("\n  " + part.String())
	}
	return errors.New(b.String())
}

// announce lists at a start what was noticed in the configuration.
func announce(log *slog.Logger, cfg *config.Config) {
	for _, w := range cfg.Warnings {
		log.Warn("configuration", slog.String("path", w.Path), slog.String("notice", w.Message))
	}
	for _, part := range cfg.Accepted {
		log.Info("configuration", slog.String("path", part.Path), slog.String("notice", part.Why))
	}
}

// welcome tells a person where the gateway is and how to make a first call; a machine gets the same as JSON.
func welcome(o *output, a *App, cfg *config.Config) error {
	scheme := "http"
	if cfg.Gateway.Server.TLS.Cert != "" {
		scheme = "https"
	}
	url := scheme + "://" + reachable(a.server.Addr())
	models := a.served()
	if o.JSON {
		return o.print(map[string]any{"url": url, "key": a.first.key.Reveal(), "admin_key": a.first.admin.Reveal(), "models": models}, "")
	}
	_, err := io.WriteString(o.Out, welcomeText(url, a.first, models))
	return err
}

func welcomeText(url string, made first, models []string) string {
	var b strings.Builder
	key := made.key.Reveal()
	fmt.Fprintf(&b, "Vel is ready at %s\n", url)
	if len(models) > 0 {
		fmt.Fprintf(&b, "Models: %s\n", strings.Join(models, ", "))
	}
	if key != "" && len(models) > 0 {
		writeExample(&b, url, key, models[0])
	}
	if admin := made.admin.Reveal(); admin != "" {
		fmt.Fprintf(&b, "The admin key, shown this once; it opens /api and the command line:\n%s\n", admin)
	}
	return b.String()
}

// writeExample writes a call that works as it stands.
func writeExample(b *strings.Builder, url, key, model string) {
	fmt.Fprintf(b, "Your first API key:\n%s\nTry it:\n", key)
	fmt.Fprintf(b, `curl -N %s/v1/chat/completions -H "Authorization: Bearer %s" -H "Content-Type: application/json" `+
		`-d '{"model":"%s","stream":true,"messages":[{"role":"user","content":"Say hello."}]}'`+"\n", url, key, model)
}

// served names the models that answer a chat.
func (a *App) served() (models []string) {
	for route := range a.pipeline.Snapshot().Routes.All() {
		if slices.ContainsFunc(route.Targets, func(t *routing.Target) bool { return t.Provider.Adapter.Codecs[adapters.ChatCompletions] != nil }) {
			models = append(models, route.Name)
		}
	}
	return models
}

// reachable is an address that this machine can dial: a wildcard is none.
func reachable(addr netip.AddrPort) string {
	if ip := addr.Addr().Unmap(); ip.IsUnspecified() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port()).String()
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()).String()
}
