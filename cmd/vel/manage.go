package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vel-gateway/vel/config"
)

// manage is where a command finds what it manages: a running server, or the database of a stopped one.
type manage struct {
	Server string `env:"VEL_URL" default:"http://127.0.0.1:8080" placeholder:"URL" help:"The server; its key is in VEL_ADMIN_KEY."`
	Local  bool   `help:"Work on the database of a stopped server instead."`
	Config string `env:"VEL_CONFIG" placeholder:"FILE" help:"With --local: the file that names the database; ./vel.yaml if it is there."`
}

// with opens what is managed for one command.
func (m *manage) with(ctx context.Context, o *output, f func(r *remote) error) error {
	if !m.Local {
		return f(&remote{base: strings.TrimRight(m.Server, "/"), key: os.Getenv("VEL_ADMIN_KEY"), client: &http.Client{Timeout: requestLimit}})
	}
	cfg, err := config.Load(configPath(m.Config), os.Environ())
	if err != nil {
		return err
	}
	r, stop, err := openLocal(ctx, cfg, quiet(o.Err))
	if err != nil {
		return err
	}
	return errors.Join(f(r), stop())
}

// kind is one resource of the API, as the command line sees it.
type kind struct {
	path    string
	columns []string // of the table for people
	sent    []string // what a change sends back: the members that can be changed
	org     string   // whose objects are meant; empty: the caller's
}

// in is the kind within an organization.
func (k *kind) in(org string) *kind {
	k.org = org
	return k
}

// scope is the query that names the organization.
func (k *kind) scope() url.Values {
	if k.org == "" {
		return url.Values{}
	}
	return url.Values{"organization": {k.org}}
}

// given is a body of the members that were said.
func given(members ...member) map[string]any {
	body := map[string]any{}
	for _, m := range members {
		if m.said {
			body[m.name] = m.value
		}
	}
	return body
}

// member is one member of a body, and whether the command line said it.
type member struct {
	name  string
	value any
	said  bool
}

func text(name, value string) member { return member{name, value, value != ""} }

// orNone is a text; the word none takes it away.
func orNone(name, value string) member {
	if value == "none" {
		return member{name, nil, true}
	}
	return text(name, value)
}

func flag(name string, value *bool) member { return member{name, value, value != nil} }

// words is a list; the one word none empties it.
func words(name string, values []string) member {
	if len(values) == 1 && values[0] == "none" {
		return member{name, []string{}, true}
	}
	return member{name, values, len(values) > 0}
}

// leftOut is the value of a member that a change takes out of the object.
type leftOut struct{}

func isLeftOut(_ string, value any) bool {
	_, out := value.(leftOut)
	return out
}

// textOrOut is a text; the word none takes it out.
func textOrOut(name, value string) member {
	if value == "none" {
		return member{name, leftOut{}, true}
	}
	return text(name, value)
}

// wordsOrOut is a list; the one word none takes it out.
func wordsOrOut(name string, values []string) member {
	if len(values) == 1 && values[0] == "none" {
		return member{name, leftOut{}, true}
	}
	return words(name, values)
}

// readText reads a file, or standard input.
func readText(path string) ([]byte, error) {
	if path == "-" {
		path = "/dev/stdin"
	}
	return os.ReadFile(path)
}

// readSecret reads a secret without the line end that editors put behind it.
func readSecret(path string) (string, error) {
	text, err := readText(path)
	return strings.TrimRight(string(text), "\r\n"), err
}

// list prints all objects that a query finds.
func (k *kind) list(ctx context.Context, o *output, m *manage, by ...member) error {
	query := k.scope()
	for _, m := range by {
		if m.said {
			query.Set(m.name, fmt.Sprint(m.value))
		}
	}
	return m.with(ctx, o, func(r *remote) error {
		all, err := r.every(ctx, k.path, query)
		if err != nil {
			return err
		}
		return o.print(orEmpty(all), k.table(all))
	})
}

// get prints one object.
func (k *kind) get(ctx context.Context, o *output, m *manage, id string) error {
	return m.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodGet, k.at(id), k.scope(), "", nil, &v); err != nil {
			return err
		}
		return o.print(v, k.sheet(v))
	})
}

// create makes an object and prints it.
func (k *kind) create(ctx context.Context, o *output, m *manage, body map[string]any) error {
	if k.org != "" {
		body["organization"] = k.org
	}
	maps.DeleteFunc(body, isLeftOut)
	return m.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodPost, k.path, nil, "", body, &v); err != nil {
			return err
		}
		return o.print(v, k.sheet(v))
	})
}

// change replaces members of an object as it is now: a change that somebody else makes meanwhile is not lost.
func (k *kind) change(ctx context.Context, o *output, m *manage, id string, with map[string]any) error {
	return m.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, http.MethodGet, k.at(id), k.scope(), "", nil, &v); err != nil {
			return err
		}
		body := map[string]any{}
		for _, name := range k.sent {
			if value, ok := v[name]; ok {
				body[name] = value
			}
		}
		maps.Copy(body, with)
		maps.DeleteFunc(body, isLeftOut)
		var changed map[string]any
		if err := r.call(ctx, http.MethodPut, k.at(id), k.scope(), revision(v), body, &changed); err != nil {
			return err
		}
		return o.print(changed, k.sheet(changed))
	})
}

// act makes a request about one object and prints what comes back.
func (k *kind) act(ctx context.Context, o *output, m *manage, method, id, action string, body any) error {
	return m.with(ctx, o, func(r *remote) error {
		var v map[string]any
		if err := r.call(ctx, method, k.at(id)+action, k.scope(), "", body, &v); err != nil {
			return err
		}
		return o.print(v, k.sheet(v))
	})
}

// do makes a request about one object that answers nothing.
func (k *kind) do(ctx context.Context, o *output, m *manage, method, id, action string, body any) error {
	return m.with(ctx, o, func(r *remote) error {
		if err := r.call(ctx, method, k.at(id)+action, k.scope(), "", body, nil); err != nil {
			return err
		}
		return o.print(map[string]any{"id": id, "done": true}, "done\n")
	})
}

// remove takes an object away.
func (k *kind) remove(ctx context.Context, o *output, m *manage, id string) error {
	return m.with(ctx, o, func(r *remote) error {
		if err := r.call(ctx, http.MethodDelete, k.at(id), k.scope(), "", nil, nil); err != nil {
			return err
		}
		return o.print(map[string]any{"id": id, "deleted": true}, "deleted "+id+"\n")
	})
}

func (k *kind) at(id string) string { return k.path + "/" + url.PathEscape(id) }

// revision is what If-Match compares.
func revision(v map[string]any) string {
	if rev, ok := v["revision"].(float64); ok {
		return fmt.Sprintf(`"%.0f"`, rev)
	}
	return ""
}

// table shows objects to people, one a line.
func (k *kind) table(all []map[string]any) string {
	if len(all) == 0 {
		return "none\n"
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i, name := range k.columns {
		write(w, i, strings.ToUpper(strings.ReplaceAll(name, "_", " ")))
	}
	for _, v := range all {
		_, _ = fmt.Fprintln(w)
		for i, name := range k.columns {
			write(w, i, cell(v[name]))
		}
	}
	_, _ = fmt.Fprintln(w)
	_ = w.Flush() // a buffer takes everything
	return b.String()
}

func write(w *tabwriter.Writer, i int, text string) {
	if i > 0 {
		text = "\t" + text
	}
	_, _ = fmt.Fprint(w, text)
}

// sheet shows one object to people, a member a line, those of the table first.
func (k *kind) sheet(v map[string]any) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if secret, ok := v["secret"].(string); ok {
		_, _ = fmt.Fprintf(w, "secret\t%s\t(shown this once)\n", secret)
	}
	for _, name := range k.members(v) {
		_, _ = fmt.Fprintf(w, "%s\t%s\n", strings.ReplaceAll(name, "_", " "), cell(v[name]))
	}
	_ = w.Flush() // a buffer takes everything
	return b.String()
}

// members are the names of what an object has: the columns first, then the others.
func (k *kind) members(v map[string]any) []string {
	names := slices.Clone(k.columns)
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !slices.Contains(names, name) && name != "secret" {
			names = append(names, name)
		}
	}
	return names
}

// cell is a value in a table.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at.Local().Format("2006-01-02 15:04")
		}
		if v == "" {
			return "-"
		}
		return v
	case []any:
		words := make([]string, len(v))
		for i := range v {
			words[i] = cell(v[i])
		}
		if len(words) == 0 {
			return "-"
		}
		return strings.Join(words, ", ")
	case map[string]any:
		words := make([]string, 0, len(v))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			words = append(words, name+"="+cell(v[name]))
		}
		return strings.Join(words, " ")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	}
	return fmt.Sprint(v)
}
