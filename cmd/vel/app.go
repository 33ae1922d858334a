package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/config"
	"github.com/vel-gateway/vel/gateway"
	"github.com/vel-gateway/vel/gateway/upstream"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// App is a gateway and all that it is made of. Everything that is started registers its stop on the next line;
// Stop runs them in reverse order.
type App struct {
	log      *slog.Logger
	registry *prometheus.Registry
	state    *routing.State
	pool     *upstream.Pool
	metrics  *gateway.Metrics
	prices   *accounting.PriceBook // those that come with the program
	pipeline *gateway.Pipeline
	ledger   *accounting.Ledger
	counters *counters
	cache    *cache
	breakers chan breakerChange // to be written into the audit log
	shipper  *accounting.Shipper
	server   *gateway.Server
	tasks    *taskWork
	sim      *simulated // nil: there are providers
	db       *storage.DB
	began    time.Time // when the process did
	keyring  *secrets.Keyring
	started  process
	first    first

	mu        sync.Mutex     // guards what a snapshot is made of: the file and the database both have news
	config    *config.Config // the one that is published
	directory *directory
	catalog   *catalog
	allowed   *allowances
	flaws     map[tenancy.ID]flaw // of the catalog and the allowances, as they are published
	holds     allowed             // limits and budgets, likewise
	pricing   *pricing            // likewise
	rev       int64               // of the snapshot
	overdue   *time.Timer         // runs while the database is away

	known       int64     // the revision of the database that was read at the start
	usesWritten time.Time // up to when it is written down which keys were used; of writeUses
	databaseUp  prometheus.Gauge
	shadowed    *prometheus.GaugeVec
	faulty      *prometheus.GaugeVec
	unread      prometheus.Gauge
	loaded      prometheus.Gauge

	stops  []func() error
	failed chan error // what ended by itself
}

// NewApp makes a gateway that is not started.
func NewApp(log *slog.Logger) *App {
	a := &App{log: log, registry: prometheus.NewRegistry(), directory: newDirectory(), catalog: newCatalog(), allowed: newAllowances(), failed: make(chan error, 1)}
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.metrics = gateway.NewMetrics(a.registry)
	a.databaseUp = prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_database_up", Help: "1 while the database answers."})
	a.shadowed = alarmGauge("vel_shadowed_objects", "Objects of the database whose name the configuration file has, so that they are not in force.")
	a.faulty = alarmGauge("vel_faulty_objects", "Objects of the database that are not, or not wholly, in force on this node.")
	a.unread = prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_config_stale", Help: "1 while the file says what this node could not load: an older configuration is in force."})
	a.loaded = prometheus.NewGauge(prometheus.GaugeOpts{Name: "vel_config_loaded_timestamp_seconds", Help: "When the configuration in force was loaded."})
	a.breakers = make(chan breakerChange, breakersWaiting)
	a.state = &routing.State{OnChange: a.breakerChanged}
	return a
}

// Start builds every room, publishes the first snapshot and listens. What was started before an error is stopped.
func (a *App) Start(cfg *config.Config) (err error) {
	defer func() {
		if err != nil {
			_ = a.Stop() // the reason to stop is the error to report
		}
	}()
	a.started, a.began = processOf(cfg), time.Now()
	if a.prices, err = accounting.NewPriceBook(); err != nil {
		return err
	}
	watcher, err := upstream.NewWatcher()
	if err != nil {
		return err
	}
	a.onStop(watcher.Close)
	conns := connectionBudget()
	a.pool = upstream.NewPool(watcher, conns)
	a.onStop(func() error { a.pool.Close(); return nil })
	if err := a.open(cfg); err != nil {
		return err
	}
	a.pipeline = gateway.NewPipeline(a.state, a.pool, a.keepObjects(cfg), a.metrics, a.log)
	if err := a.record(cfg); err != nil {
		return err
	}
	if err := a.keepAnswers(cfg); err != nil {
		return err
	}
	a.onStop(a.pipeline.Mirror())
	if err := a.traceCalls(cfg.OTel); err != nil {
		return err
	}
	if err := a.prepare(cfg); err != nil {
		return err
	}
	a.server = gateway.NewServer(cfg.Gateway, a.pipeline, a.registry, conns, a.log)
	a.registry.MustRegister(a.gauges(conns)...)
	a.watchCertificate(cfg)
	if err := a.beginTasks(cfg); err != nil {
		return err
	}
	a.serveAdmin(cfg)
	if err := a.server.Start(watcher, a.fail); err != nil {
		return err
	}
	a.onStop(a.stopServing)
	return nil
}

// open opens the database, makes a new one usable and reads who may call.
func (a *App) open(cfg *config.Config) (err error) {
	ctx := context.Background()
	if a.keyring, err = openKeyring(cfg); err != nil {
		return err
	}
	if a.db, err = openDatabase(ctx, cfg, a.log); err != nil {
		return err
	}
	a.onStop(a.db.Close)
	if err := a.prepareFirst(ctx, cfg); err != nil {
		return err
	}
	changes, err := a.db.Changes(ctx, 0)
	if err != nil {
		return fmt.Errorf("read who may call: %w", err)
	}
	a.known = changes.Rev
	a.databaseUp.Set(1)
	a.catalog.learn(changes)
	a.allowed.learn(changes)
	_, err = a.directory.learn(changes)
	return err
}

// work starts what goes on beside the calls.
func (a *App) work() {
	a.pipeline.FindKeys(a)
	a.usesWritten = a.began.Add(-time.Second) // a use is known by the second
	a.onStop(func() error { return a.writeUses(context.Background()) })
	a.onStop(a.follow())
	a.onStop(a.every(usedEvery, "note which keys were used", a.writeUses))
	a.onStop(a.every(time.Hour, "clean the database", a.db.Clean))
	a.onStop(background(a.auditBreakers))
	a.onStop(a.probeTargets())
	a.onStop(a.seal())
	a.onStop(a.sum())
}

// prepare starts what the first snapshot needs and publishes it.
func (a *App) prepare(cfg *config.Config) (err error) {
	if cfg.Simulated && !a.catalogued() {
		if a.sim, err = startSimulator(); err != nil {
			return err
		}
		a.onStop(a.sim.stop)
	}
	if err := a.publish(cfg); err != nil {
		return err
	}
	a.openLedger()
	a.work()
	return nil
}

func (a *App) onStop(stop func() error) { a.stops = append(a.stops, stop) }

// fail takes the first error of something that should have gone on.
func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Failed brings the error of a part that ended by itself.
func (a *App) Failed() <-chan error { return a.failed }

// Stop stops everything in reverse order and returns the first error.
func (a *App) Stop() error {
	var first error
	for i := len(a.stops) - 1; i >= 0; i-- {
		if err := a.stops[i](); err != nil && first == nil {
			first = fmt.Errorf("stop: %w", err)
		}
	}
	a.stops = nil
	return first
}

func (a *App) gauges(conns int) []prometheus.Collector {
	return []prometheus.Collector{
		a.databaseUp, a.shadowed, a.faulty, a.unread, a.loaded, newTargets(a.pipeline, a.state),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_body_bytes", Help: "Bytes that request bodies over 64 KiB take now."},
			func() float64 { return float64(a.server.BodyBytes()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_body_bytes_max", Help: "Bytes that they may take: server.max_body_in_flight."},
			func() float64 { return float64(a.started.gateway.Server.MaxBodyInFlight) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_connections_max", Help: "Clients that may be connected."},
			func() float64 { return float64(conns) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_keys", Help: "Keys that this node knows."},
			func() float64 { return float64(a.pipeline.Snapshot().Keys.Len()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vel_open_connections", Help: "Clients that are connected."},
			func() float64 { return float64(a.server.Connections()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "vel_resends_total", Help: "Requests written again because a reused connection was closed."},
			func() float64 { return float64(a.pool.Resends()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "vel_build_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": thisBuild().Version, "go": runtime.Version()},
		}, func() float64 { return 1 }),
	}
}

// watchCertificate shows until when the certificate is good, if there is one.
func (a *App) watchCertificate(cfg *config.Config) {
	if cfg.Gateway.Server.TLS.Cert == "" {
		return
	}
	a.registry.MustRegister(prometheus.NewGaugeFunc(
		prometheus.GaugeOpts{Name: "vel_certificate_expires_timestamp_seconds", Help: "When the certificate of server.tls expires."},
		func() float64 { return float64(a.server.CertificateExpires().Unix()) }))
}

// spareFiles are the file descriptors that are neither a client nor a provider: logs, databases, listeners.
const spareFiles = 128

// connectionBudget is how many clients, and how many connections to one provider, the limit on open files allows.
// The runtime has raised the soft limit to the hard one.
func connectionBudget() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 512
	}
	return int(max(64, (min(files.Cur, 1<<21)-spareFiles)/2))
}
