package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/config"
)

// spoolCmd is about the directory where records wait for the database. It works on the directory itself.
type spoolCmd struct {
	Status spoolStatusCmd `cmd:"" help:"Say how a spool stands, of a running node or of a stopped one."`
	Ship   spoolShipCmd   `cmd:"" help:"Bring what a node has left behind into the database."`
	Dead   spoolDeadCmd   `cmd:"" help:"List the records that the database will never take."`
}

// Help shows how it is used.
func (spoolCmd) Help() string {
	return `A node writes the record of each call into its own directory (spool.dir) and from there into the database. A node that is
gone for good may have left some: ship brings them in, each exactly once, and the calls that were under way as
interrupted. It refuses a directory that a running node has.

Example:
  vel spool status
  vel spool ship /mnt/old-node/spool --config vel.yaml`
}

// ofSpool says which directory is meant.
type ofSpool struct {
	Dir    string `arg:"" optional:"" help:"The directory; the configuration's if it is not said."`
	Config string `env:"VEL_CONFIG" placeholder:"FILE" help:"The file that names it; ./vel.yaml if it is there."`
}

func (d *ofSpool) dir() (string, error) {
	if d.Dir != "" {
		return d.Dir, nil
	}
	cfg, err := config.Load(configPath(d.Config), os.Environ())
	if err != nil {
		return "", err
	}
	return cfg.Spool.Dir, nil
}

type spoolStatusCmd struct{ ofSpool }

// spoolStatus is the result for machines.
type spoolStatus struct {
	Dir         string     `json:"dir"`
	Node        string     `json:"node"`
	InUse       bool       `json:"in_use"`
	Bytes       int64      `json:"bytes"`
	Segments    int        `json:"segments"`
	Oldest      *time.Time `json:"oldest"` // when the oldest segment was begun
	Dead        uint64     `json:"dead"`
	Quarantined int        `json:"quarantined"`
}

func (c *spoolStatusCmd) Run(o *output) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	st, err := spool.Inspect(dir)
	if err != nil {
		return err
	}
	s := spoolStatus{dir, st.Node, st.InUse, st.Bytes, st.Segments, moment(st.Oldest), st.Dead, st.Quarantined}
	return o.print(s, s.table())
}

func (s *spoolStatus) table() string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	user, oldest := "no process", "none"
	if s.InUse {
		user = "a running process"
	}
	if s.Oldest != nil {
		oldest = s.Oldest.Local().Format("2006-01-02 15:04:05")
	}
	_, _ = fmt.Fprintf(w, "DIRECTORY\t%s\nNODE\t%s\nHELD BY\t%s\nBYTES\t%d\nSEGMENTS\t%d\nOLDEST\t%s\nDEAD\t%d\nQUARANTINED\t%d\n",
		s.Dir, s.Node, user, s.Bytes, s.Segments, oldest, s.Dead, s.Quarantined)
	_ = w.Flush() // a buffer takes everything
	return b.String()
}

type spoolShipCmd struct {
	Dir string `arg:"" help:"The directory that was left behind."`
	onDatabase
}

// Run ships until everything is in the database, or ctx ends.
func (c *spoolShipCmd) Run(ctx context.Context, o *output) (err error) {
	if _, err := spool.Inspect(c.Dir); err != nil { // a directory that is none is not made one
		return err
	}
	cfg, err := config.Load(configPath(c.Config), os.Environ())
	if err != nil {
		return err
	}
	log := quiet(o.Err)
	s, err := openSpool(config.Spool{Dir: c.Dir, Sync: cfg.Spool.Sync, MaxBytes: cfg.Spool.MaxBytes}, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	shipper := accounting.NewShipper(accounting.NewRecorder(s, accounting.Refuse), db, accounting.Shipping{Batch: db.BatchSize()}, log)
	if err := shipper.Drain(ctx); err != nil {
		return fmt.Errorf("ship %s: %w", c.Dir, err)
	}
	shipped, dead := shipper.Shipped()
	return o.print(map[string]any{"dir": c.Dir, "node": s.Node(), "shipped": shipped, "dead": dead},
		fmt.Sprintf("%s of %s shipped, %d put aside; no others are left\n", counted(int(shipped), "record"), s.Node(), dead))
}

type spoolDeadCmd struct{ ofSpool }

// deadLetter is one line of the result for machines.
type deadLetter struct {
	Time time.Time `json:"time"`
	Call string    `json:"call"` // empty: it is no record
	Org  string    `json:"organization"`
	Why  string    `json:"why"`
}

func (c *spoolDeadCmd) Run(o *output) error {
	dir, err := c.dir()
	if err != nil {
		return err
	}
	if _, err := spool.Inspect(dir); err != nil {
		return err
	}
	list := []deadLetter{}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TIME\tCALL\tORGANIZATION\tWHY")
	err = spool.Letters(dir, func(l spool.Letter) error {
		var r accounting.Record
		_ = r.Decode(l.Record) // what is no record has no call
		list = append(list, deadLetter{l.Time, string(r.ID), string(r.Who.Org), l.Why})
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.Time.Local().Format("2006-01-02 15:04:05"), r.ID, r.Who.Org, l.Why)
		return nil
	})
	if err != nil {
		return err
	}
	_ = w.Flush() // a buffer takes everything
	return o.print(list, b.String())
}
