package main

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/tenancy"
)

// flaw is why an object of the catalog is not in force, or not all of it.
type flaw struct {
	kind, name string
	shadowed   bool // the file has the name
	reason     string
}

// shadow is what is wrong with an object whose name the file has.
const shadow = "the configuration file declares another one with this name"

// admit takes what the database keeps of a kind, in the order of ids, but for what the file shadows and what can not be taken,
// which become problems.
func admit[T any, P interface {
	*T
	tenancy.Object
}](kind string, shadowed func(*tenancy.Meta) bool, stored map[tenancy.ID]T, problems map[tenancy.ID]flaw, take func(*T) error) {
	for _, id := range slices.Sorted(maps.Keys(stored)) {
		v := stored[id]
		m := tenancy.MetaOf(P(&v))
		if shadowed(m) {
			problems[id] = flaw{kind, m.Name, true, shadow}
		} else if err := take(&v); err != nil {
			problems[id] = flaw{kind, m.Name, false, err.Error()}
		}
	}
}

func firstFault(validate func(fault func(field, problem, hint string))) (err error) {
	validate(func(field, problem, _ string) {
		if err == nil {
			err = fmt.Errorf("%s: %s", field, problem)
		}
	})
	return err
}

// alarm tells once of every object of the database that is not, or not wholly, in force, and of those that are again.
func (a *App) alarm(now map[tenancy.ID]flaw) {
	for _, id := range slices.Sorted(maps.Keys(now)) {
		switch f := now[id]; {
		case a.flaws[id] == f:
		case f.shadowed:
			a.log.Error("an object of the database is shadowed by the configuration file", f.attributes(id)...)
		default:
			a.log.Error("an object of the database is not wholly in force", f.attributes(id)...)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.flaws)) {
		if _, still := now[id]; !still {
			f := a.flaws[id]
			a.log.Info("an object of the database is in force again, or gone", f.attributes(id)...)
		}
	}
	a.flaws = now
	for _, kind := range []string{"provider", "route", "limit", "budget"} {
		var shadowed, faulty float64
		for _, f := range now {
			switch {
			case f.kind != kind:
			case f.shadowed:
				shadowed++
			default:
				faulty++
			}
		}
		a.shadowed.WithLabelValues(kind).Set(shadowed)
		a.faulty.WithLabelValues(kind).Set(faulty)
	}
}

// attributes are those of a line in the log.
func (f *flaw) attributes(id tenancy.ID) []any {
	return []any{slog.String("kind", f.kind), slog.String("name", f.name), slog.String("object", string(id)), slog.String("reason", f.reason)}
}

// problem says what keeps an object of the database from being in force on this node; empty: nothing.
func (a *App) problem(id tenancy.ID) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.flaws[id].reason
}

func alarmGauge(name, help string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"kind"})
}
