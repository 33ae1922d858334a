package config

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vel-gateway/vel/secrets"

	"go.yaml.in/yaml/v3"
)

// maxSecret bounds a file that a file: reference names.
const maxSecret = 64 << 10

// none is the api_key of a server that wants none. It is no secret, so writing it literally is no warning.
const none = "none"

// secret resolves a reference. What it leads to is never quoted, whatever is wrong with it. An unset variable
// gives the empty secret: the provider or key is then absent, never open.
func (d *decoder) secret(n *yaml.Node, path string) secrets.Secret {
	text := n.Value
	if d.sealed {
		return secrets.Secret{}
	}
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		if name == "" {
			d.fault(path, n, "names no variable", "write env:NAME")
			return secrets.Secret{}
		}
		if d.env[name] == "" {
			d.warn(path, "the variable "+name+" is not set, so this credential is absent")
			return secrets.Secret{}
		}
		text = d.env[name]
	} else if file, ok := strings.CutPrefix(text, "file:"); ok {
		if text, ok = d.secretFile(n, path, file); !ok {
			return secrets.Secret{}
		}
	} else if text != "" && text != none {
		d.warn(path, "a secret stands in the configuration itself; write env:NAME or file:PATH")
	}
	s := secrets.New(text)
	d.secrets = append(d.secrets, s)
	return s
}

// secretFile reads a file without the newline that editors put at its end. Only a regular file is read: a pipe
// or a device could block the start for ever.
func (d *decoder) secretFile(n *yaml.Node, path, file string) (string, bool) {
	info, err := os.Stat(file)
	if err != nil {
		d.fault(path, n, "the file can not be read: "+reason(err), "check the path and its permissions")
		return "", false
	}
	if !info.Mode().IsRegular() {
		d.fault(path, n, "the reference does not lead to a regular file", "name a file that holds only the secret")
		return "", false
	}
	text, err := readBounded(file, maxSecret)
	if err != nil {
		d.fault(path, n, "the file can not be read: "+reason(err), "check the path and its permissions")
		return "", false
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if value == "" {
		d.fault(path, n, "the file is empty", "write the secret into it")
		return "", false
	}
	return value, true
}

// variable is a secret that has no place in the file. One with fewer characters than shortest could be guessed.
func (d *decoder) variable(name string, shortest int) secrets.Secret {
	return d.longEnough(name, d.env[name], shortest)
}

// variables are several secrets in one variable, separated by commas.
func (d *decoder) variables(name string, shortest int) (list []secrets.Secret) {
	for text := range strings.SplitSeq(d.env[name], ",") {
		if s := d.longEnough(name, strings.TrimSpace(text), shortest); !s.IsZero() {
			list = append(list, s)
		}
	}
	return list
}

func (d *decoder) longEnough(name, text string, shortest int) secrets.Secret {
	s := secrets.New(text)
	switch n := len(s.Reveal()); {
	case n == 0:
		return s
	case n < shortest:
		d.faults = append(d.faults, Fault{
			Env: name, Problem: fmt.Sprintf("has only %d characters", n),
			Hint: fmt.Sprintf("use at least %d random ones: openssl rand -base64 32", shortest),
		})
	}
	d.secrets = append(d.secrets, s)
	return s
}

func (d *decoder) warn(path, message string) {
	d.warnings = append(d.warnings, Notice{path, message})
}

// reason is the cause without the operation and the path that os puts around it.
func reason(err error) string {
	if pathError, ok := errors.AsType[*os.PathError](err); ok {
		return pathError.Err.Error()
	}
	return err.Error()
}
