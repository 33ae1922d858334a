package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// velSpec says how one Vel (or anything that stands in for it) is started.
type velSpec struct {
	Name    string
	Binary  string   // empty: built from the repository
	Env     []string // K=V
	Args    []string // after `serve --config FILE`
	Command []string // instead of binary and arguments; {listen}, {upstream} and {config} are replaced
	CPUs    string
	Label   string // what the report says of it: no paths
}

// parseVelSpec reads `PATH` or parts separated by `;`: bin=PATH, env=K=V, args=…, cmd=…, cpus=LIST.
func parseVelSpec(name, text string) (velSpec, error) {
	s := velSpec{Name: name}
	var label []string
	for part := range strings.SplitSeq(text, ";") {
		if part == "" {
			continue
		}
		key, value, found := strings.Cut(part, "=")
		if !found {
			key, value = "bin", part
		}
		switch key {
		case "bin":
			s.Binary = value
			label = append(label, "another binary")
			continue
		case "env":
			s.Env = append(s.Env, value)
		case "args":
			s.Args = append(s.Args, strings.Fields(value)...)
		case "cmd":
			s.Command = strings.Fields(value)
			label = append(label, "another program")
			continue
		case "cpus":
			s.CPUs = value
		default:
			return s, fmt.Errorf("%s: unknown part %q (bin, env, args, cmd, cpus)", name, part)
		}
		label = append(label, strings.TrimPrefix(part, "env="))
	}
	if s.Binary != "" {
		var err error
		if s.Binary, err = filepath.Abs(s.Binary); err != nil { // it will run in a directory of its own
			return s, err
		}
	}
	s.Label = strings.Join(label, ", ")
	return s, nil
}

// velConfig has one provider, one model and one key, and everything else as Vel's defaults have it.
const velConfig = `listen: %[1]s
database: sqlite:%[2]s/vel.db
spool: {dir: %[2]s/spool}
server: {drain: 1s}
providers:
  bench: {kind: openai, base_url: "%[3]s://%[4]s/v1", api_key: none, allow_private: true%[5]s}
models:
  ` + modelName + `: {targets: [{provider: bench}]}
organizations:
  bench: {keys: {load: {key: ` + apiKey + `}}}
`

func (v velSpec) contender(built string) contender {
	c := contender{name: v.Name, label: v.Label, launch: func(s site) (*process, error) {
		scheme, tls := "http", ""
		if s.secure {
			scheme, tls = "https", ", tls: {ca: "+s.ca+"}"
		}
		file := filepath.Join(s.dir, "vel.yaml")
		text := fmt.Sprintf(velConfig, s.listen, s.dir, scheme, s.upstream, tls)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		argv := append([]string{v.Binary, "serve", "--config", file}, v.Args...)
		if v.Binary == "" {
			argv[0] = built
		}
		if v.Command != nil {
			fill := strings.NewReplacer("{listen}", s.listen, "{upstream}", s.upstream, "{config}", file)
			argv = nil
			for _, word := range v.Command {
				argv = append(argv, fill.Replace(word))
			}
		}
		return startProcess(s.dir, v.Name, v.Env, pinned(v.CPUs, argv))
	}}
	if v.Command == nil {
		c.metricsPath = "/metrics"
	}
	return c
}

// needsBuild: no binary was named.
func (v velSpec) needsBuild() bool { return v.Binary == "" && v.Command == nil }

// buildVel builds the repository's program as a release is built.
func buildVel(ctx context.Context, root, dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(root, "cmd", "vel")); err != nil {
		return "", errors.New("there is no cmd/vel to build: name a binary with -vel, or leave Vel out with -contenders")
	}
	progress("building Vel")
	out := filepath.Join(dir, "vel-built")
	cmd := exec.CommandContext(ctx, "make", "build", "OUT="+out)
	cmd.Dir = root
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build Vel: %w\n%s", err, text)
	}
	return out, nil
}
