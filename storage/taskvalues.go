package storage

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// How the values of a task stand in the database, in both directions.

// orgOf is whose a task is, and for whom it is made.
type orgOf struct{ t *tasks.Task }

func (o orgOf) Value() (driver.Value, error) { return string(o.t.Org), nil }

func (o orgOf) Scan(src any) error {
	id, err := text(src)
	o.t.Org, o.t.As.Org = tenancy.ID(id), tenancy.ID(id)
	return err
}

// batchOrg is the same of a batch.
type batchOrg struct{ b *tasks.Batch }

func (o batchOrg) Value() (driver.Value, error) { return string(o.b.Org), nil }

func (o batchOrg) Scan(src any) error {
	id, err := text(src)
	o.b.Org, o.b.As.Org = tenancy.ID(id), tenancy.ID(id)
	return err
}

// endpoint is an endpoint by its name.
type endpoint struct{ of *adapters.Endpoint }

func (e endpoint) Value() (driver.Value, error) { return e.of.String(), nil }

func (e endpoint) Scan(src any) error {
	name, err := text(src)
	if err != nil {
		return err
	}
	for _, known := range tasks.Endpoints() {
		if known.String() == name {
			*e.of = known
			return nil
		}
	}
	return fmt.Errorf("a task calls %q", name)
}

// lasting is a time that passes, in microseconds.
type lasting struct{ of *time.Duration }

func (s lasting) Value() (driver.Value, error) { return s.of.Microseconds(), nil }

func (s lasting) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a duration is no number but %T", src)
	}
	*s.of = time.Duration(n) * time.Microsecond
	return nil
}

// asJSON is a value as JSON in a text.
type asJSON struct{ of any }

func (j asJSON) Value() (driver.Value, error) {
	b, err := json.Marshal(j.of)
	return string(b), err
}

// MarshalJSON is how an audit event shows it.
func (j asJSON) MarshalJSON() ([]byte, error) { return json.Marshal(j.of) }

func (j asJSON) Scan(src any) error {
	t, err := text(src)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(t), j.of)
}

// classes are classes of failure by their names.
type classes struct{ of *[]adapters.Class }

func (c classes) Value() (driver.Value, error) {
	names := make([]string, 0, len(*c.of))
	for _, one := range *c.of {
		names = append(names, one.String())
	}
	return list[string]{&names}.Value()
}

func (c classes) Scan(src any) error {
	var names []string
	if err := (list[string]{&names}).Scan(src); err != nil {
		return err
	}
	*c.of = nil
	for _, name := range names {
		*c.of = append(*c.of, classOf(name))
	}
	return nil
}

// class is one of them.
type class struct{ of *adapters.Class }

func (c class) Value() (driver.Value, error) { return c.of.String(), nil }

func (c class) Scan(src any) error {
	name, err := text(src)
	*c.of = classOf(name)
	return err
}
