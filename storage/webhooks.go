package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vel-gateway/vel/tasks"
	"github.com/vel-gateway/vel/tenancy"
)

// Webhooks keeps where organizations want to be told. RotateWebhook is a secret's only way to another one. What is on its way to
// one that is deleted goes with it.
func (db *DB) Webhooks() tenancy.Store[tasks.Webhook] { return db.webhooks() }

func (db *DB) webhooks() *table[tasks.Webhook, *tasks.Webhook] {
	return &table[tasks.Webhook, *tasks.Webhook]{
		db: db, name: "webhooks", prefix: "webhook", filters: []filter{byName},
		columns: []column[tasks.Webhook]{
			{name: "url", open: true, at: func(w *tasks.Webhook) any { return &w.URL }},
			{name: "events", open: true, at: func(w *tasks.Webhook) any { return list[string]{&w.Events} }},
			{name: "secret", use: fixed, at: func(w *tasks.Webhook) any { return &w.Secret }},
			{name: "old_secret", use: fixed, at: func(w *tasks.Webhook) any { return &w.Old }},
			{name: "old_until_us", use: fixed, open: true, at: func(w *tasks.Webhook) any { return micros{&w.OldUntil} }},
			{name: "disabled", open: true, at: func(w *tasks.Webhook) any { return &w.Disabled }},
			{name: "why", open: true, at: func(w *tasks.Webhook) any { return &w.Why }},
			{name: "failing_us", open: true, at: func(w *tasks.Webhook) any { return micros{&w.Failing} }},
		},
		clear: func(ctx context.Context, t tx, _ int64, _ *trail, w *tasks.Webhook) error {
			_, err := t.exec(ctx, `delete from deliveries where org_id = $1 and webhook_id = $2`, w.Org, w.ID)
			return err
		},
	}
}

// RotateWebhook gives a webhook another secret, sealed. Until oldUntil deliveries are signed with the one before too.
func (db *DB) RotateWebhook(ctx context.Context, by tenancy.Actor, org, id tenancy.ID, rev int64, sealed string, oldUntil time.Time) (w tasks.Webhook, err error) {
	hooks := db.webhooks()
	now := time.Now()
	err = db.audited(ctx, tenant(org), by, func(t tx, log *trail) error {
		var was tasks.Webhook
		if err := hooks.get(ctx, t, org, id, &was); err != nil {
			return err
		}
		old := was.Secret
		if oldUntil.IsZero() {
			old = ""
		}
		args := arguments{org, id, rev, sealed, old, micros{&oldUntil}, micros{&now}}
		if err := hooks.touch(ctx, t, `update webhooks set rev = rev + 1, secret = $4, old_secret = $5, old_until_us = $6, updated_us = $7`, org, id, args); err != nil {
			return err
		}
		if err := hooks.get(ctx, t, org, id, &w); err != nil {
			return err
		}
		return hooks.altered(log, tenancy.ActionRotateWebhook, &was, &w)
	})
	return w, err
}

// emit writes what happened for those of an organization who want to be told, within the transaction that makes it happen, and
// wakes who tells them. The transaction is in the scope of the organization.
func emit(ctx context.Context, t tx, wake func(...tasks.Job), n tasks.Notice) error {
	hooks, err := wanting(ctx, t, &n)
	if err != nil || len(hooks) == 0 {
		return err
	}
	n.ID = tenancy.NewID("evt")
	if _, err := t.exec(ctx, `insert into notices (id, org_id, type, object, at_us, data) values ($1, $2, $3, $4, $5, $6)`,
		n.ID, n.Org, n.Type, n.Object, micros{&n.At}, string(n.Data)); err != nil {
		return fmt.Errorf("note %s: %w", n.Type, err)
	}
	for _, hook := range hooks {
		d := tasks.Delivery{ID: tenancy.NewID("delivery"), Org: n.Org, Webhook: hook, Rev: 1, Due: n.At}
		if _, err := t.exec(ctx, `insert into deliveries (id, org_id, webhook_id, notice_id, type, object, state, rev, created_us, due_us, ended_us, woken_us, tries, attempts)
			values ($1, $2, $3, $4, $5, $6, 'pending', 1, $7, $7, 0, 0, 0, '[]')`, d.ID, d.Org, d.Webhook, n.ID, n.Type, n.Object, micros{&n.At}); err != nil {
			return fmt.Errorf("deliver %s: %w", n.Type, err)
		}
		wake(d.Job())
	}
	return nil
}

// wanting are the webhooks that want to be told of a notice.
func wanting(ctx context.Context, t tx, n *tasks.Notice) (hooks []tenancy.ID, err error) {
	err = t.each(ctx, func(scan func(...any) error) error {
		var id tenancy.ID
		var patterns []string
		if err := scan(&id, list[string]{&patterns}); err != nil {
			return err
		}
		if tasks.Wants(patterns, n.Type) {
			hooks = append(hooks, id)
		}
		return nil
	}, `select id, events from webhooks where org_id = $1 and not disabled order by id`, n.Org)
	return hooks, err
}

// Emit tells those of an organization who want to be told of what no transaction of ours made happen, such as what happens to a
// provider; with an event in the audit log.
func (db *DB) Emit(ctx context.Context, e tenancy.AuditEvent, n tasks.Notice) error {
	return db.waking(ctx, ingest, func(t tx, wake func(...tasks.Job)) error {
		if err := appendEvents(ctx, t, []tenancy.AuditEvent{e}); err != nil {
			return err
		}
		if err := t.turn(ctx, tenant(n.Org)); err != nil {
			return err
		}
		return emit(ctx, t, wake, n)
	})
}

// parcelSelection reads a delivery.
const deliverySelection = `select id, org_id, webhook_id, notice_id, type, object, state, rev, created_us, due_us, ended_us, tries, attempts from deliveries`

func deliveryInto(d *tasks.Delivery) []any {
	return []any{
		&d.ID, &d.Org, &d.Webhook, &d.Notice, &d.Type, &d.Object, (*string)(&d.State), &d.Rev, micros{&d.Created}, micros{&d.Due}, micros{&d.Ended}, &d.Tries, asJSON{&d.Attempts},
	}
}

// LoadDelivery gives a delivery that is to be tried, and raises its revision. ErrNotFound: none with this revision waits, or an earlier
// one about the same object still does: then it is woken when that has ended.
func (db *DB) LoadDelivery(ctx context.Context, org, id tenancy.ID, rev int64) (*tasks.Parcel, error) {
	p := &tasks.Parcel{}
	err := db.dialect.write(ctx, tenant(org).inBackground().again(), func(t tx) error {
		n, err := t.exec(ctx, `update deliveries set rev = rev + 1 where org_id = $1 and id = $2 and rev = $3 and state = 'pending'
			and not exists (select 1 from deliveries e where e.webhook_id = deliveries.webhook_id and e.object = deliveries.object and e.state = 'pending' and e.id < deliveries.id)`,
			org, id, rev)
		if err != nil {
			return err
		}
		if n == 0 {
			return tenancy.ErrNotFound
		}
		if err := t.one(ctx, deliveryInto(&p.Delivery), deliverySelection+` where org_id = $1 and id = $2`, org, id); err != nil {
			return err
		}
		if err := db.webhooks().get(ctx, t, org, p.Delivery.Webhook, &p.Webhook); err != nil {
			return err
		}
		return noticeOf(ctx, t, org, p.Delivery.Notice, &p.Notice)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func noticeOf(ctx context.Context, t tx, org, id tenancy.ID, n *tasks.Notice) error {
	var data string
	err := t.one(ctx, []any{&n.ID, &n.Org, &n.Type, &n.Object, micros{&n.At}, &data}, `select id, org_id, type, object, at_us, data from notices where org_id = $1 and id = $2`, org, id)
	n.Data = []byte(data)
	return err
}

// EndDelivery writes what became of a delivery, if it has the revision still; with a wake-up for its next try, or for what waits
// behind it. why disables its webhook.
func (db *DB) EndDelivery(ctx context.Context, p *tasks.Parcel, why string) error {
	d := &p.Delivery
	return db.waking(ctx, tenant(d.Org), func(t tx, wake func(...tasks.Job)) error {
		n, err := t.exec(ctx, `update deliveries set state = $4, rev = rev + 1, due_us = $5, ended_us = $6, tries = $7, attempts = $8, woken_us = 0 where org_id = $1 and id = $2 and rev = $3`,
			d.Org, d.ID, d.Rev, string(d.State), micros{&d.Due}, micros{&d.Ended}, d.Tries, asJSON{&d.Attempts})
		if err != nil || n == 0 {
			return err
		}
		if _, err := t.exec(ctx, `update webhooks set failing_us = $3 where org_id = $1 and id = $2 and failing_us <> $3`, d.Org, d.Webhook, micros{&p.Webhook.Failing}); err != nil {
			return err
		}
		if why != "" {
			if err := db.disable(ctx, t, &p.Webhook, why, wake); err != nil {
				return err
			}
		}
		if d.State == tasks.Undelivered {
			next := *d
			next.Rev++
			wake(next.Job())
			return nil
		}
		return wakeBehind(ctx, t, d, wake)
	})
}

// wakeBehind wakes the delivery that waited for another one about the same object.
func wakeBehind(ctx context.Context, t tx, d *tasks.Delivery, wake func(...tasks.Job)) error {
	var next tasks.Delivery
	err := t.one(ctx, deliveryInto(&next), deliverySelection+` where org_id = $1 and webhook_id = $2 and object = $3 and state = 'pending' order by id limit 1`, d.Org, d.Webhook, d.Object)
	if errors.Is(err, tenancy.ErrNotFound) {
		return nil
	}
	if err == nil {
		wake(next.Job())
	}
	return err
}

// disable disables a webhook that nothing reaches, and tells the others.
func (db *DB) disable(ctx context.Context, t tx, w *tasks.Webhook, why string, wake func(...tasks.Job)) error {
	now := time.Now()
	n, err := t.exec(ctx, `update webhooks set disabled = true, why = $3, rev = rev + 1, updated_us = $4 where org_id = $1 and id = $2 and not disabled`, w.Org, w.ID, why, micros{&now})
	if err != nil || n == 0 {
		return err
	}
	if err := emit(ctx, t, wake, tasks.Notice{
		Org: w.Org, Type: "webhook.disabled", Object: w.ID, At: now, Data: []byte(jsonText(map[string]string{"id": string(w.ID), "name": w.Name, "url": w.URL, "why": why})),
	}); err != nil {
		return err
	}
	log := trail{by: tenancy.Vel(), at: now}
	log.add(w.Org, tenancy.ActionDisableWebhook, tenancy.AuditObject{Kind: "webhook", ID: w.ID, Name: w.Name}, difference{after: jsonText(map[string]string{"why": why})})
	return appendEvents(ctx, t, log.events)
}

// Delivery gives a delivery with what it is about.
func (db *DB) Delivery(ctx context.Context, org, id tenancy.ID) (p tasks.Parcel, err error) {
	err = db.dialect.read(ctx, tenant(org), func(t tx) error {
		if err := t.one(ctx, deliveryInto(&p.Delivery), deliverySelection+` where org_id = $1 and id = $2`, org, id); err != nil {
			return err
		}
		return noticeOf(ctx, t, org, p.Delivery.Notice, &p.Notice)
	})
	return p, err
}

// Deliveries gives a page of deliveries, the newest first.
func (db *DB) Deliveries(ctx context.Context, q tasks.DeliveryQuery) (list []tasks.Delivery, err error) {
	var args arguments
	where := `org_id = ` + args.add(q.Org)
	if q.Webhook != "" {
		where += ` and webhook_id = ` + args.add(q.Webhook)
	}
	if q.State != "" {
		where += ` and state = ` + args.add(string(q.State))
	}
	if q.Before != "" {
		where += ` and id < ` + args.add(q.Before)
	}
	query := deliverySelection + ` where ` + where + ` order by id desc limit ` + args.add(q.Limit)
	err = db.dialect.read(ctx, tenant(q.Org), func(t tx) error {
		list = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var d tasks.Delivery
			err := scan(deliveryInto(&d)...)
			list = append(list, d)
			return err
		}, query, args...)
	})
	return list, err
}

// Redeliver tries a delivery anew, for somebody, whatever became of it.
func (db *DB) Redeliver(ctx context.Context, by tenancy.Actor, org, id tenancy.ID) (d tasks.Delivery, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	err = db.waking(ctx, tenant(org), func(t tx, wake func(...tasks.Job)) error {
		n, err := t.exec(ctx, `update deliveries set state = 'pending', rev = rev + 1, due_us = $3, ended_us = 0, tries = 0, woken_us = 0 where org_id = $1 and id = $2`, org, id, micros{&now})
		if err != nil {
			return err
		}
		if n == 0 {
			return tenancy.ErrNotFound
		}
		if err := t.one(ctx, deliveryInto(&d), deliverySelection+` where org_id = $1 and id = $2`, org, id); err != nil {
			return err
		}
		wake(d.Job())
		log := trail{by: by, at: now}
		log.add(org, tenancy.ActionRedeliver, tenancy.AuditObject{Kind: "delivery", ID: id, Name: d.Type}, difference{})
		return log.write(ctx, t, tenant(org))
	})
	return d, err
}
