package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/schollz/progressbar/v3"
)

// batchesOf is how the command line sees batches.
func batchesOf() *kind {
	return &kind{path: "/api/batches", columns: []string{"id", "name", "state", "done", "total", "succeeded", "failed", "cancelled", "cost_usd", "estimate_usd", "created"}}
}

// batchesCmd is about many tasks that are made together.
type batchesCmd struct {
	Submit  batchesSubmitCmd  `cmd:"" help:"Make a batch of a file, and follow it."`
	List    batchesListCmd    `cmd:"" help:"List batches, the newest first."`
	Show    batchesShowCmd    `cmd:"" help:"Show one."`
	Watch   batchesWatchCmd   `cmd:"" help:"Follow one until it ends."`
	Results batchesResultsCmd `cmd:"" help:"Write what came of its items to a file."`
	Start   batchesStartCmd   `cmd:"" help:"Start a draft."`
	Cancel  batchesCancelCmd  `cmd:"" help:"End one; answers that are there stay."`
	Retry   batchesRetryCmd   `cmd:"" help:"Begin anew what failed or was cancelled of one."`
}

// Help shows how it is used.
func (batchesCmd) Help() string {
	return `A batch is a file with a request on each line: {"custom_id": "1", "body": {"model": …, "messages": […]}}. Those of
OpenAI's batches are taken as they are. VEL_ADMIN_KEY must hold a key of an organization that may execute tasks.

Example:
  vel batches submit requests.jsonl --name nightly --parallel 50
  vel batches submit requests.jsonl --draft
  vel batches watch batch_…
  vel batches results batch_… --format csv -o results.csv
  vel batches retry batch_…`
}

type batchesSubmitCmd struct {
	manage
	within
	overBudget
	File     string            `arg:"" help:"The file; - reads standard input."`
	Name     string            `help:"For people."`
	Endpoint string            `default:"chat/completions" help:"The path below /v1 of all items."`
	Parallel int               `default:"20" help:"How many items run at a time."`
	Attempts int               `placeholder:"N" help:"How often an item is tried in all; 3 if it is not said."`
	Tag      map[string]string `mapsep:"," placeholder:"KEY=VALUE" help:"As in x-vel-tags, for the calls of all items."`
	Draft    bool              `help:"Do not start it: look at its estimate first, then vel batches start."`
	Watch    bool              `negatable:"" default:"true" help:"Follow it until it ends."`
}

// partBytes is how much of a file is sent at once: what breaks off is sent again.
const partBytes = 4 << 20

// Run sends the file in parts, and starts the batch.
func (c *batchesSubmitCmd) Run(ctx context.Context, o *output) error {
	file := os.Stdin
	if c.File != "-" {
		var err error
		if file, err = os.Open(c.File); err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
	}
	return c.with(ctx, o, func(r *remote) error {
		retry := given(member{"attempts", c.Attempts, c.Attempts > 0})
		body := given(text("name", c.Name), text("endpoint", c.Endpoint), member{"parallel", c.Parallel, true}, member{"tags", c.Tag, len(c.Tag) > 0},
			member{"retry", retry, len(retry) > 0})
		var v map[string]any
		scope := batchesOf().in(c.Org).scope()
		if err := r.call(ctx, http.MethodPost, "/api/batches", scope, "", body, &v); err != nil {
			return err
		}
		id, _ := v["id"].(string)
		if err := c.send(ctx, o, r, id, file, &v); err != nil {
			return fmt.Errorf("%w\n  the batch %s is a draft with what was sent before", err, id)
		}
		if c.Draft {
			return o.print(v, batchesOf().sheet(v))
		}
		if err := r.call(ctx, http.MethodPost, batchesOf().at(id)+"/start", c.of(scope), "", nil, &v); err != nil {
			return err
		}
		if !c.Watch || c.Local {
			return o.print(v, batchesOf().sheet(v))
		}
		_, _ = fmt.Fprintln(o.Err, "batch", id)
		return watchBatch(ctx, o, r, id, c.Org)
	})
}

// send sends the lines of a file, so many at a time.
func (c *batchesSubmitCmd) send(ctx context.Context, o *output, r *remote, id string, file *os.File, v *map[string]any) error {
	size := int64(-1)
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	bar := newBar(o, size, "sending", true)
	lines, from := bufio.NewReaderSize(file, 1<<20), 0
	var part bytes.Buffer
	for ended := false; !ended; {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", c.File, err)
		}
		ended = err != nil
		part.Write(line)
		if part.Len() < partBytes && !ended || part.Len() == 0 {
			continue
		}
		query := batchesOf().in(c.Org).scope()
		query.Set("from", strconv.Itoa(from))
		if err := r.sendLines(ctx, batchesOf().at(id)+"/items", query, part.Bytes(), v); err != nil {
			return err
		}
		total, _ := (*v)["total"].(float64)
		from = int(total)
		_ = bar.Add(part.Len()) // it is for people
		part.Reset()
	}
	_ = bar.Finish()
	return nil
}

// newBar is a progress bar on standard error; for machines it is nowhere.
func newBar(o *output, most int64, what string, ofBytes bool) *progressbar.ProgressBar {
	options := []progressbar.Option{
		progressbar.OptionSetDescription(what), progressbar.OptionShowCount(), progressbar.OptionThrottle(200 * time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetVisibility(!o.JSON), progressbar.OptionSetWriter(o.Err), progressbar.OptionSetPredictTime(true),
	}
	if ofBytes {
		options = append(options, progressbar.OptionShowBytes(true))
	}
	return progressbar.NewOptions64(most, options...)
}

type batchesListCmd struct {
	manage
	within
	State string `enum:",draft,running,completed,cancelled" default:"" help:"Only those in this state."`
	User  string `help:"Only those of this user."`
	Limit int    `default:"20" help:"The most batches; 0: all."`
}

// Run lists batches.
func (c *batchesListCmd) Run(ctx context.Context, o *output) error {
	query := batchesOf().in(c.Org).scope()
	for name, value := range map[string]string{"state": c.State, "user": c.User} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return c.with(ctx, o, func(r *remote) error {
		all, err := r.atMost(ctx, "/api/batches", query, c.Limit)
		if err != nil {
			return err
		}
		return o.print(orEmpty(all), batchesOf().table(all))
	})
}

// oneBatchCmd names a batch.
type oneBatchCmd struct {
	manage
	within
	ID string `arg:"" help:"Its id."`
}

type batchesShowCmd struct{ oneBatchCmd }

// Run shows a batch.
func (c *batchesShowCmd) Run(ctx context.Context, o *output) error {
	return batchesOf().in(c.Org).get(ctx, o, &c.manage, c.ID)
}

type batchesWatchCmd struct{ oneBatchCmd }

// Run follows a batch.
func (c *batchesWatchCmd) Run(ctx context.Context, o *output) error {
	return c.with(ctx, o, func(r *remote) error { return watchBatch(ctx, o, r, c.ID, c.Org) })
}

// overBudget lets a batch begin that may cost more than there is.
type overBudget struct {
	OverBudget bool `help:"Begin although the estimate is more than the budgets have left."`
}

// of is a query that says so.
func (b overBudget) of(scope url.Values) url.Values {
	if b.OverBudget {
		scope.Set("over_budget", "true")
	}
	return scope
}

// beginBatchCmd lets items of a batch begin.
type beginBatchCmd struct {
	oneBatchCmd
	overBudget
}

func (c *beginBatchCmd) begin(ctx context.Context, o *output, action string) error {
	return c.with(ctx, o, func(r *remote) error {
		k := batchesOf().in(c.Org)
		var v map[string]any
		if err := r.call(ctx, http.MethodPost, k.at(c.ID)+action, c.of(k.scope()), "", nil, &v); err != nil {
			return err
		}
		return o.print(v, k.sheet(v))
	})
}

type batchesStartCmd struct{ beginBatchCmd }

// Run starts a draft.
func (c *batchesStartCmd) Run(ctx context.Context, o *output) error { return c.begin(ctx, o, "/start") }

type batchesCancelCmd struct{ oneBatchCmd }

// Run ends a batch.
func (c *batchesCancelCmd) Run(ctx context.Context, o *output) error {
	return batchesOf().in(c.Org).act(ctx, o, &c.manage, http.MethodPost, c.ID, "/cancel", nil)
}

type batchesRetryCmd struct{ beginBatchCmd }

// Run begins anew what failed.
func (c *batchesRetryCmd) Run(ctx context.Context, o *output) error { return c.begin(ctx, o, "/retry") }

// batchLook is how often a batch is looked at that is watched.
const batchLook = time.Second

// watchBatch shows how far a batch is until it ends, then what came of it.
func watchBatch(ctx context.Context, o *output, r *remote, id, org string) error {
	var bar *progressbar.ProgressBar
	for {
		var v map[string]any
		if err := r.call(ctx, http.MethodGet, batchesOf().at(id), batchesOf().in(org).scope(), "", nil, &v); err != nil {
			return err
		}
		total, _ := v["total"].(float64)
		done, _ := v["done"].(float64)
		if bar == nil {
			bar = newBar(o, int64(total), "items", false)
		}
		_ = bar.Set64(int64(done)) // it is for people
		switch state, _ := v["state"].(string); state {
		case "completed", "cancelled", "draft":
			_ = bar.Finish()
			if err := o.print(v, batchesOf().sheet(v)); err != nil {
				return err
			}
			if failed, _ := v["failed"].(float64); failed > 0 || state == "cancelled" {
				return errReported
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(batchLook):
		}
	}
}

type batchesResultsCmd struct {
	oneBatchCmd
	Format  string `enum:"json,jsonl,csv" default:"jsonl" help:"json, jsonl or csv."`
	State   string `enum:",succeeded,failed,cancelled,pending,running" default:"" help:"Only the items in this state."`
	Out     string `short:"o" placeholder:"FILE" help:"The file; standard output if it is left out."`
	Content bool   `help:"Read what somebody else's batch was answered. It needs view_content and is written into the audit log."`
}

// Run writes the results as they come.
func (c *batchesResultsCmd) Run(ctx context.Context, o *output) error {
	query := batchesOf().in(c.Org).scope()
	query.Set("format", c.Format)
	if c.State != "" {
		query.Set("state", c.State)
	}
	if c.Content {
		query.Set("content", "true")
	}
	return c.with(ctx, o, func(r *remote) (err error) {
		endless := &remote{r.base, r.key, &http.Client{Transport: r.client.Transport}}
		res, err := endless.open(ctx, http.MethodGet, "/api/batches/"+url.PathEscape(c.ID)+"/results", query, "", nil)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		out := o.Out
		if c.Out != "" {
			file, failed := os.Create(c.Out)
			if failed != nil {
				return failed
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			out = file
		}
		if _, err := io.Copy(out, res.Body); err != nil {
			return fmt.Errorf("the results broke off: %w", err)
		}
		return nil
	})
}
