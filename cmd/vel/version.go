package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version string

// versionCmd prints what this program is.
type versionCmd struct{}

// Help shows how it is used.
func (versionCmd) Help() string {
	return `Example:
  vel version
  vel version --json | jq -r .commit`
}

// buildInfo is what this program was built from.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`   // empty: built outside a repository
	Modified bool   `json:"modified"` // the commit and changes on top
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// thisBuild asks the binary itself; the linker's version goes first.
func thisBuild() buildInfo {
	b := buildInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(b.Version, info.Main.Version)
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	b.Version = cmp.Or(b.Version, "(devel)")
	return b
}

// Run prints the version.
func (versionCmd) Run(o *output) error {
	b := thisBuild()
	text := fmt.Sprintf("vel %s", b.Version)
	if b.Commit != "" {
		text += " " + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			text += "+changes"
		}
	}
	return o.print(b, fmt.Sprintf("%s %s %s\n", text, b.Go, b.Platform))
}
