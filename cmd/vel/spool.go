package main

import (
	"fmt"
	"log/slog"
	"syscall"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/accounting/spool"
	"github.com/vel-gateway/vel/config"
)

// record begins to write down every call in the node's spool, and to bring what is there into the database. It stops after
// the last call, and before the database is closed.
func (a *App) record(cfg *config.Config) error {
	s, err := openSpool(cfg.Spool, a.log)
	if err != nil {
		return err
	}
	a.onStop(s.Close)
	recorder := accounting.NewRecorder(s, onFull(cfg.Spool))
	if err := a.count(cfg, s.Node()); err != nil {
		return err
	}
	shipper := accounting.NewShipper(recorder, a.db, accounting.Shipping{Batch: a.db.BatchSize(), Committed: a.ledger.Committed}, a.log)
	a.shipper = shipper
	a.catchUp()
	a.onStop(background(shipper.Run))
	a.registry.MustRegister(shipper.Collector())
	a.pipeline.Record(recorder)
	if a.keyring != nil {
		a.pipeline.SealWith(a.keyring)
	}
	a.onStop(a.pipeline.CountTokens(accounting.NewTokens())) // the last records come from there
	return nil
}

// openSpool takes the directory for this process.
func openSpool(cfg config.Spool, log *slog.Logger) (*spool.Spool, error) {
	s, err := spool.Open(cfg.Dir, spool.Options{
		Sync: cfg.Sync, Strict: cfg.Strict, MaxBytes: room(cfg.MaxBytes, cfg.Dir),
		Damaged: func(d *spool.Damage) { log.Error("a part of the spool can not be read", slog.Any("reason", d)) },
	})
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	return s, nil
}

func onFull(cfg config.Spool) accounting.OnFull {
	if cfg.OnFull == "drop" {
		return accounting.Drop
	}
	return accounting.Refuse
}

// room is how many bytes a share of a directory's disk has; the disk may grow. It is asked by one goroutine at a time.
func room(share config.Share, dir string) func() int64 {
	bytes := int64(share.Bytes)
	return func() int64 {
		var disk syscall.Statfs_t
		if share.Percent > 0 && syscall.Statfs(dir, &disk) == nil {
			bytes = int64(disk.Blocks/100*uint64(disk.Bsize)) * share.Percent
		}
		return bytes
	}
}
