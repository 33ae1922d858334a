package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vel-gateway/vel/config"
)

// checkConfigCmd checks a file and the environment without starting anything.
type checkConfigCmd struct {
	File string `arg:"" optional:"" env:"VEL_CONFIG" help:"The file; VEL_CONFIG or ./vel.yaml if it is not given."`
}

// Help shows how it is used.
func (checkConfigCmd) Help() string {
	return `Every fault is listed with its line, its path in the file and a hint; the exit code is then 1. A part that
this version can not enforce yet is named; "vel serve" refuses to start with it.

Example:
  vel check-config vel.yaml
  vel check-config --json vel.yaml | jq '.faults[].path'`
}

// checkReport is the result for machines.
type checkReport struct {
	OK          bool            `json:"ok"`
	File        string          `json:"file"` // empty: only the environment was read
	Faults      []config.Fault  `json:"faults"`
	Warnings    []config.Notice `json:"warnings"`
	NotEnforced []config.Part   `json:"not_enforced"`
	Accepted    []config.Part   `json:"accepted"`
}

// Run checks the configuration and reports.
func (cmd *checkConfigCmd) Run(o *output) error {
	path := configPath(cmd.File)
	cfg, err := config.Load(path, os.Environ())
	var faults config.Faults
	if errors.As(err, &faults) {
		return cmp.Or(o.reportFaults(path, faults), errReported)
	}
	if err != nil {
		return err
	}
	report := checkReport{true, path, []config.Fault{}, orEmpty(cfg.Warnings), orEmpty(cfg.NotEnforced), orEmpty(cfg.Accepted)}
	return o.print(report, report.text())
}

func (o *output) reportFaults(path string, faults config.Faults) error {
	if o.JSON {
		return o.print(checkReport{false, path, faults, []config.Notice{}, []config.Part{}, []config.Part{}}, "")
	}
	_, err := fmt.Fprintf(o.Err, "%v\n%s: %s\n", faults, subject(path), counted(len(faults), "fault"))
	return err
}

func (r *checkReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: no faults\n", subject(r.File))
	section(&b, "Warnings", r.Warnings)
	section(&b, "Not enforced yet; vel serve refuses to start with these", r.NotEnforced)
	section(&b, "Accepted", r.Accepted)
	return b.String()
}

func section[T fmt.Stringer](b *strings.Builder, title string, items []T) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	for _, item := range items {
		fmt.Fprintf(b, "  %s\n", item)
	}
}

func subject(path string) string { return cmp.Or(path, "environment") }

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// orEmpty makes JSON's [] of what would be null.
func orEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
