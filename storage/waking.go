package storage

import (
	"context"
	"log/slog"

	"github.com/vel-gateway/vel/tasks"
)

// waking runs f in a transaction that may wake workers: what f gives to wake is put into the queue together with what f wrote, or
// neither is.
func (db *DB) waking(ctx context.Context, as scope, f func(t tx, wake func(...tasks.Job)) error) error {
	var jobs []tasks.Job
	err := db.dialect.write(ctx, as.again(), func(t tx) error {
		jobs = nil
		if err := f(t, func(more ...tasks.Job) { jobs = append(jobs, more...) }); err != nil {
			return err
		}
		return db.dialect.enqueue(ctx, t, jobs)
	})
	if err == nil && len(jobs) > 0 && db.queue != nil {
		db.queue.Wake(jobs...)
	}
	return err
}

// Queue is the way to what is woken. It must be asked for before anything is.
func (db *DB) Queue() (tasks.Queue, error) {
	var err error
	db.queue, err = db.dialect.newQueue(db)
	return db.queue, err
}

func (db *liteDB) newQueue(of *DB) (tasks.Queue, error) {
	return tasks.NewScheduler(of.PendingJobs, of.log), nil
}

func (db *liteDB) migrateQueue(context.Context, *slog.Logger) error { return nil }

func (db *liteDB) enqueue(context.Context, tx, []tasks.Job) error { return nil }
