package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vel-gateway/vel/tenancy/chain"
)

// auditCmd is about who did what.
type auditCmd struct {
	List   auditListCmd   `cmd:"" help:"List what was done, the newest first."`
	Export auditExportCmd `cmd:"" help:"Write the log of a time to a file, with all that proves it."`
	Verify auditVerifyCmd `cmd:"" help:"Prove an export, or the log of a server, or name the first place that is broken."`
	Heads  auditHeadsCmd  `cmd:"" help:"List the signed ends of the logs, to be kept elsewhere."`
}

// Help shows how it is used.
func (auditCmd) Help() string {
	return `Every organization has a log of every change, sign-in and refusal. Each second its events are sealed into a
chain that is signed: docs/audit.md says how, and how to check it without this program.

Example:
  vel audit list --action keys. --from 24h
  vel audit export --org org_… --from 2027-01-01T00:00:00Z -o january.ndjson
  vel audit verify january.ndjson --key …
  vel audit verify`
}

// auditTime is of which time the events are.
type auditTime struct {
	From string `placeholder:"TIME" help:"From this time on: 2027-01-31T00:00:00Z, or how long ago, as 36h."`
	To   string `placeholder:"TIME" help:"Before this time, likewise."`
}

// members are the two times as the API takes them.
func (a *auditTime) members(now time.Time) ([]member, error) {
	var all []member
	for _, t := range []struct{ name, text string }{{"from", a.From}, {"to", a.To}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, t.text)
		if ago, wrong := time.ParseDuration(t.text); wrong == nil {
			at, err = now.Add(-ago), nil
		}
		if err != nil {
			return nil, fmt.Errorf("--%s %s is neither a time such as 2027-01-31T00:00:00Z nor a duration such as 36h", t.name, t.text)
		}
		all = append(all, text(t.name, at.UTC().Format(time.RFC3339Nano)))
	}
	return all, nil
}

// auditFlags are what of a log is asked for.
type auditFlags struct {
	within
	auditTime
	Actor   string `help:"Only by this user, key or session, or by whoever has this e-mail address."`
	Action  string `help:"Only this action, such as keys.create, or with a dot at the end all of a kind."`
	Object  string `help:"Only about the object with this id."`
	Outcome string `enum:",done,refused,failed" default:"" help:"Only what was done, refused or failed."`
}

func (f *auditFlags) query() (url.Values, error) {
	members, err := f.members(time.Now())
	if err != nil {
		return nil, err
	}
	query := url.Values{}
	for _, m := range append(members, text("organization", f.Org), text("actor", f.Actor), text("action", f.Action), text("object", f.Object), text("outcome", f.Outcome)) {
		if m.said {
			query.Set(m.name, fmt.Sprint(m.value))
		}
	}
	return query, nil
}

type auditListCmd struct {
	manage
	auditFlags
	Limit int `default:"100" help:"The most events; 0: all."`
}

func (c *auditListCmd) Run(ctx context.Context, o *output) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	return c.with(ctx, o, func(r *remote) error {
		all, err := r.atMost(ctx, "/api/audit", query, c.Limit)
		if err != nil {
			return err
		}
		return o.print(orEmpty(all), auditTable(all))
	})
}

// auditTable shows events to people, one a line.
func auditTable(all []map[string]any) string {
	if len(all) == 0 {
		return "none\n"
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TIME\tACTION\tOUTCOME\tWHO\tFROM\tOBJECT\tCHANGE")
	for _, e := range all {
		actor, _ := e["actor"].(map[string]any)
		object, _ := e["object"].(map[string]any)
		outcome := cell(e["outcome"])
		if n, ok := e["count"].(float64); ok && n > 1 {
			outcome += fmt.Sprintf(" (%.0f more)", n)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", cell(e["time"]), cell(e["action"]), outcome,
			firstOf(actor, "email", "name", "user", "key"), cell(actor["address"]), strings.TrimSpace(firstOf(object, "kind")+" "+firstOf(object, "name", "id")), changeOf(e))
	}
	_ = w.Flush() // a buffer takes everything
	return b.String()
}

// firstOf is the first member that an object has.
func firstOf(object map[string]any, names ...string) string {
	for _, name := range names {
		if text := cell(object[name]); text != "-" {
			return text
		}
	}
	return "-"
}

// changeOf names the members that were changed, or why nothing was.
func changeOf(e map[string]any) string {
	if reason := cell(e["reason"]); reason != "-" {
		return reason
	}
	before, changed := e["before"].(map[string]any)
	after, is := e["after"].(map[string]any)
	if !changed || !is {
		return "-"
	}
	var b []string
	for _, name := range (&kind{}).members(after) {
		b = append(b, name+": "+cell(before[name])+" → "+cell(after[name]))
	}
	return strings.Join(b, ", ")
}

type auditExportCmd struct {
	manage
	auditFlags
	Format string `enum:"ndjson,csv,json" default:"ndjson" help:"ndjson has the proofs and takes no filter but the time; csv and json have the events alone."`
	Output string `short:"o" placeholder:"FILE" help:"Where to; the standard output if it is not said."`
}

func (c *auditExportCmd) Run(ctx context.Context, o *output) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	query.Set("format", c.Format)
	return c.with(ctx, o, func(r *remote) error {
		return r.download(ctx, "/api/audit/export", query, c.Output, o)
	})
}

// toFile writes a file that only its owner reads. A part of it is not left to be taken for the whole.
func toFile(path string, in io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// export reads an export while it is made, however long that takes.
func (r *remote) export(ctx context.Context, path string, query url.Values, read func(io.Reader) error) error {
	patient := *r
	client := *r.client
	client.Timeout = 0
	patient.client = &client
	res, err := patient.open(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return err
	}
	return errors.Join(read(res.Body), res.Body.Close())
}

type auditVerifyCmd struct {
	manage
	within
	auditTime
	File string   `arg:"" optional:"" type:"existingfile" help:"An export; without one the logs of a server are verified, all that you may see: whole, or the events of a time."`
	Keys []string `name:"key" placeholder:"KEY" help:"The public key that must have signed it; may be repeated. vel audit heads shows the server's."`
}

// verified is what verify says for machines.
type verified struct {
	Organization string      `json:"organization"`
	Events       int64       `json:"events"`
	Seals        int64       `json:"seals"`
	Removed      int64       `json:"removed"`
	Checkpoints  int64       `json:"checkpoints"`
	LastSeal     int64       `json:"last_seal"`
	Hash         string      `json:"hash"`
	KeptFrom     *time.Time  `json:"kept_from"`
	Keys         []chain.Key `json:"keys"`
	Broken       *brokenAt   `json:"broken"`
}

// brokenAt is the first place that is broken.
type brokenAt struct {
	Line    int64  `json:"line"`
	Seal    int64  `json:"seal"`
	Event   string `json:"event"`
	Problem string `json:"problem"`
}

func (c *auditVerifyCmd) Run(ctx context.Context, o *output) error {
	keys := make([]chain.Key, len(c.Keys))
	for i, text := range c.Keys {
		var err error
		if keys[i], err = chain.ParseKey(text); err != nil {
			return err
		}
	}
	var results []verified
	add := func(in io.Reader) error {
		v, err := verify(in, keys)
		results = append(results, v)
		return err
	}
	if c.File != "" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // it is only read
		if err := add(f); err != nil {
			return err
		}
		return c.report(o, results)
	}
	query, err := (&auditFlags{auditTime: c.auditTime}).query()
	if err != nil {
		return err
	}
	err = c.with(ctx, o, func(r *remote) error {
		logs, err := c.logs(ctx, r)
		for i := 0; i < len(logs) && err == nil; i++ {
			query.Set("organization", logs[i])
			err = r.export(ctx, "/api/audit/export", query, add)
		}
		return err
	})
	if err != nil {
		return err
	}
	return c.report(o, results)
}

// logs are the organizations whose logs are verified.
func (c *auditVerifyCmd) logs(ctx context.Context, r *remote) (orgs []string, err error) {
	if c.Org != "" {
		return []string{c.Org}, nil
	}
	heads, err := r.every(ctx, "/api/audit/heads", nil)
	for _, h := range heads {
		orgs = append(orgs, fmt.Sprint(h["organization"]))
	}
	return orgs, err
}

// verify proves one export. An error says that it could not be read.
func verify(in io.Reader, keys []chain.Key) (verified, error) {
	r, err := chain.Verify(in, keys...)
	v := verified{
		string(r.Org), r.Events, r.Seals, r.Removed, r.Checkpoints, r.Head.Seal, r.Head.Hash, moment(r.Head.KeptFrom), append([]chain.Key{}, r.Keys...), nil,
	}
	if b, ok := errors.AsType[*chain.Broken](err); ok {
		v.Organization, v.Broken = string(b.Org), &brokenAt{b.Line, b.Seal, string(b.Event), b.Error()}
		return v, nil
	}
	return v, err
}

// report prints what was proved. A log that is broken makes the command fail.
func (c *auditVerifyCmd) report(o *output, results []verified) error {
	var b strings.Builder
	broken := false
	signed := map[chain.Key]bool{}
	for _, v := range results {
		if v.Broken != nil {
			broken = true
			fmt.Fprintf(&b, "BROKEN  %s\n", v.Broken.Problem)
			continue
		}
		fmt.Fprintf(&b, "ok      %s: events %d, seals %d", v.Organization, v.Events, v.Seals)
		if v.Removed > 0 {
			fmt.Fprintf(&b, ", without the events of %d seals, which were removed as was signed", v.Removed)
		}
		if v.LastSeal > 0 {
			fmt.Fprintf(&b, "; the last seal is %s", v.Hash)
		}
		b.WriteString("\n")
		for _, key := range v.Keys {
			signed[key] = true
		}
	}
	if len(results) == 0 {
		b.WriteString("nothing was recorded yet\n")
	}
	for key := range signed {
		fmt.Fprintf(&b, "signed by %s\n", key)
	}
	if len(c.Keys) == 0 && len(signed) > 0 {
		b.WriteString("Nobody vouches for this key here: compare it with the one that you know, and give that as --key.\n")
	}
	if err := o.print(append([]verified{}, results...), b.String()); err != nil {
		return err
	}
	if broken {
		return errReported
	}
	return nil
}

type auditHeadsCmd struct {
	manage
	within
}

func (c *auditHeadsCmd) Run(ctx context.Context, o *output) error {
	k := &kind{path: "/api/audit/heads", columns: []string{"organization", "seal", "hash", "time", "kept_from", "key"}}
	return k.in(c.Org).list(ctx, o, &c.manage)
}
