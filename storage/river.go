package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// On Postgres jobs are rows of River, which are written together with what they are about. River only brings them to a worker:
// what is retried, and when, and what becomes of a node that dies, stands in the rows of the tasks themselves. So a job is tried
// once, and one that is lost with its node is replaced by another one, of a later revision.

// riverQueue is the Queue of a node on Postgres.
type riverQueue struct {
	db     *pgDB
	log    *slog.Logger
	client *river.Client[pgx.Tx]
	pools  []*pgxpool.Pool
	stop   sync.Once
	failed error // of the stop
}

// How many connections a node needs for its queue: for fetching and completing jobs, and one to listen. How soon a job is seen where
// nothing can be heard, and where it can but was not; how soon after the last look the next one may come; how long jobs that are over
// are kept.
//
// A node tells of a job unless it has told of another one less than riverHush before, which may have been looked for before this one
// was there: so nobody relies on what is heard alone.
const (
	riverConns    = 4
	riverPoll     = 100 * time.Millisecond
	riverFallback = 200 * time.Millisecond
	riverHush     = river.FetchCooldownMin
	riverCooldown = 10 * time.Millisecond
	riverKeeps    = 5 * time.Minute
	riverGivesUp  = 24 * time.Hour // on a job that neither ends nor is replaced
)

// riverJob is what River keeps of a job: ids alone.
type riverJob struct {
	Of  tasks.Kind `json:"of"`
	ID  tenancy.ID `json:"id"`
	Org tenancy.ID `json:"org"`
	Rev int64      `json:"rev"`
}

// Kind is River's name for all of our jobs; which kind of ours one is says its queue.
func (riverJob) Kind() string { return "vel" }

func (db *pgDB) newQueue(of *DB) (tasks.Queue, error) { return &riverQueue{db: db, log: of.log}, nil }

// enqueue puts jobs into the queue within a transaction.
func (db *pgDB) enqueue(ctx context.Context, t tx, jobs []tasks.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	list := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		o := &river.InsertOpts{MaxAttempts: 1, Priority: j.Priority, Queue: string(j.Kind)}
		if j.Due.After(time.Now()) {
			o.ScheduledAt = j.Due
		}
		list[i] = river.InsertManyParams{Args: riverJob{j.Kind, j.ID, j.Org, j.Rev}, InsertOpts: o}
	}
	if _, err := db.inserter.InsertManyTx(ctx, t.(pgTx).Tx, list); err != nil {
		return fmt.Errorf("wake workers: %w", pgFault(err))
	}
	return nil
}

// newInserter makes the client that only puts jobs into the queue.
func newInserter(log *slog.Logger) (*river.Client[pgx.Tx], error) {
	return river.NewClient(riverpgxv5.New(nil), &river.Config{Logger: warnings(log), FetchCooldown: riverHush})
}

// Wake does nothing: the rows are seen.
func (q *riverQueue) Wake(...tasks.Job) {}

// Start begins to look for jobs.
func (q *riverQueue) Start(ctx context.Context, workers tasks.Workers, h tasks.Handler) error {
	driver, hears, err := q.driver(ctx)
	if err != nil {
		return errors.Join(err, q.close())
	}
	poll := riverPoll
	if hears {
		poll = riverFallback
	}
	queues := map[string]river.QueueConfig{}
	for kind, n := range workers {
		queues[string(kind)] = river.QueueConfig{MaxWorkers: n}
	}
	all := river.NewWorkers()
	river.AddWorker(all, river.WorkFunc(func(ctx context.Context, j *river.Job[riverJob]) error { return q.work(ctx, h, &j.Args) }))
	q.client, err = river.NewClient(driver, &river.Config{
		Queues: queues, Workers: all, PollOnly: !hears, FetchPollInterval: poll, FetchCooldown: riverCooldown, Logger: warnings(q.log),
		JobTimeout: -1, MaxAttempts: 1, RescueStuckJobsAfter: riverGivesUp, ReindexerIndexNames: []string{},
		CompletedJobRetentionPeriod: riverKeeps, CancelledJobRetentionPeriod: riverKeeps, DiscardedJobRetentionPeriod: riverKeeps,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("make the queue: %w", err), q.close())
	}
	if err := q.client.Start(context.WithoutCancel(ctx)); err != nil { // ctx bounds the start alone
		return errors.Join(fmt.Errorf("start the queue: %w", pgFault(err)), q.close())
	}
	return nil
}

// driver is River's way to the database, and whether it hears of new jobs: not through a pooler.
func (q *riverQueue) driver(ctx context.Context) (riverdriver.Driver[pgx.Tx], bool, error) {
	pool, err := q.pool(ctx, q.db.control.Config().ConnConfig, riverConns)
	if err != nil {
		return nil, false, err
	}
	direct, err := q.pool(ctx, q.db.direct, 1)
	if err != nil {
		return nil, false, err
	}
	hears := direct.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return unpooled(ctx, c.Conn()) })
	if hears != nil && !errors.Is(hears, errPooled) {
		return nil, false, hears
	}
	return &listeningDriver{riverpgxv5.New(pool), riverpgxv5.New(direct)}, hears == nil, nil
}

// listeningDriver listens where no pooler is between.
type listeningDriver struct {
	*riverpgxv5.Driver
	direct *riverpgxv5.Driver
}

// GetListener is where River hears of new jobs.
func (d *listeningDriver) GetListener(p *riverdriver.GetListenenerParams) riverdriver.Listener {
	return d.direct.GetListener(p)
}

func (q *riverQueue) pool(ctx context.Context, to *pgx.ConnConfig, most int32) (*pgxpool.Pool, error) {
	cfg := q.db.control.Config()
	cfg.ConnConfig, cfg.MaxConns = to.Copy(), most
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err == nil {
		q.pools = append(q.pools, pool)
	}
	return pool, pgFault(err)
}

// work does one job. What becomes of it stands in its rows, so for River every job ends well.
func (q *riverQueue) work(ctx context.Context, h tasks.Handler, j *riverJob) error {
	at := []any{slog.String("kind", string(j.Of)), slog.String("id", string(j.ID))}
	defer func() {
		if reason := recover(); reason != nil {
			q.log.Error("panic in a job", append(at, slog.Any("panic", reason), slog.String("stack", string(debug.Stack())))...)
		}
	}()
	if err := h(ctx, tasks.Job{Kind: j.Of, ID: j.ID, Org: j.Org, Rev: j.Rev}); err != nil {
		q.log.Error("a job failed", append(at, slog.Any("reason", err))...)
	}
	return nil
}

// Stop fetches nothing more and waits for the handlers; when ctx ends it ends their contexts.
func (q *riverQueue) Stop(ctx context.Context) error {
	q.stop.Do(func() {
		if q.client == nil {
			return
		}
		if q.client.Stop(ctx) != nil { // its time was over
			q.failed = q.client.StopAndCancel(context.WithoutCancel(ctx))
		}
		q.failed = errors.Join(q.failed, q.close())
	})
	return q.failed
}

func (q *riverQueue) close() error {
	for _, p := range q.pools {
		p.Close()
	}
	q.pools = nil
	return nil
}

// migrateQueue brings River's tables up to date, and lets our roles put jobs into them. Of several processes one works and the others
// wait for it: the lock is a transaction of its own, because each step of River's is one.
func (db *pgDB) migrateQueue(ctx context.Context, log *slog.Logger) error {
	m, err := rivermigrate.New(riverpgxv5.New(db.control), &rivermigrate.Config{Logger: warnings(log)})
	if err != nil {
		return err
	}
	t, err := db.control.BeginTx(ctx, pgx.TxOptions{})
	if err != nil {
		return pgFault(err)
	}
	defer func() { _ = t.Rollback(ctx) }() // nothing is left of it after a commit
	if _, err := t.Exec(ctx, `lock table vel_schema in access exclusive mode`); err != nil {
		return pgFault(err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate the tables of the queue: %w", pgFault(err))
	}
	// What River keeps are ids, which tell nobody anything.
	if _, err := t.Exec(ctx, `grant select, insert, update on river_job, river_notification to vel_app, vel_system;
		grant usage on sequence river_job_id_seq, river_notification_id_seq to vel_app, vel_system`); err != nil {
		return pgFault(err)
	}
	return pgFault(t.Commit(ctx))
}

// warnings is a log without what is no worse than information.
func warnings(log *slog.Logger) *slog.Logger { return slog.New(onlyWarnings{log.Handler()}) }

type onlyWarnings struct{ slog.Handler }

// Enabled tells whether a line is written.
func (h onlyWarnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the level.
func (h onlyWarnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return onlyWarnings{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the level.
func (h onlyWarnings) WithGroup(name string) slog.Handler {
	return onlyWarnings{h.Handler.WithGroup(name)}
}
