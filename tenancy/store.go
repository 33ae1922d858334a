package tenancy

import (
	"context"
	"errors"
	"fmt"
)

// Store keeps one kind of object. One method is one transaction. What belongs to another organization is not found,
// whoever asks: which organizations an actor reaches is decided before.
//
// Errors: ErrNotFound, ErrStale, ErrReadOnly, *Taken, *Missing, *InUse, *Unavailable; anything else is a fault of Vel's own.
type Store[T any] interface {
	Get(ctx context.Context, org, id ID) (T, error)
	// List gives the objects after p.After in the order of ids, at most p.Limit. Organizations alone can be listed
	// over all tenants, with an empty org.
	List(ctx context.Context, org ID, p Page) ([]T, error)
	// Create stores v under the id that it has, or a new one.
	Create(ctx context.Context, by Actor, v T) (T, error)
	// Update replaces what can be changed of v. If v.Rev is not 0, it must be the revision that is stored.
	Update(ctx context.Context, by Actor, v T) (T, error)
	// Delete takes the object away. If rev is not 0, it must be the revision that is stored.
	Delete(ctx context.Context, by Actor, org, id ID, rev int64) error
}

// Page is a part of a list, by key and not by number: what is created meanwhile moves nothing.
type Page struct {
	After ID  // the last id of the page before
	Limit int // at least 1
	// What is asked for; empty: everything. A kind that does not have a field finds nothing by it.
	Name  string
	Email string
	Team  ID
	User  ID
	Key   ID
}

// Why a store does not do what it is asked.
var (
	ErrNotFound = errors.New("not found")
	ErrStale    = errors.New("changed by somebody else meanwhile")
	ErrReadOnly = errors.New("read-only: it is declared in the configuration file or built in")
)

// Taken says that another object has what must be unique.
type Taken struct{ Field string }

// Error is for the log.
func (e *Taken) Error() string { return e.Field + " is taken" }

// Missing says that an object names another one that its organization does not have.
type Missing struct {
	Field string // team, teams, user, role, roles or organization
	ID    ID     // what was named
}

// Error is for the log.
func (e *Missing) Error() string { return fmt.Sprintf("%s: there is no %s", e.Field, e.ID) }

// InUse says that an object can not go because others need it.
type InUse struct{ By string }

// Error is for the log.
func (e *InUse) Error() string { return "in use by " + e.By }

// Unavailable says that the database can not be reached, or does not answer. Nothing is known about the object.
type Unavailable struct{ Cause error }

// Error is for the log: the cause may name hosts.
func (e *Unavailable) Error() string {
	return fmt.Sprintf("the database is not available: %v", e.Cause)
}

// Unwrap gives the cause.
func (e *Unavailable) Unwrap() error { return e.Cause }
