package storage

import (
	"context"
	"errors"
	"time"

	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// ErrExpired says that events were removed while an export was made.
var ErrExpired = errors.New("old events were removed meanwhile; export again")

// How much of a chain is read in one transaction, and after which time an event that is not sealed is one that nobody
// seals.
const (
	sealsAtOnce  = 200
	eventsToRead = 2000
	sealPatience = 15 * time.Second
)

// ExportAudit writes an organization's chain, with the events from a time on and before another one; zero times are no
// bounds. It reads in many short transactions: a reader who is slow holds nobody up.
func (db *DB) ExportAudit(ctx context.Context, org tenancy.ID, from, to time.Time, w *chain.Writer) error {
	x := export{db: db, org: org, from: from, to: to, out: w}
	if err := x.begin(ctx); err != nil {
		return err
	}
	for x.next <= x.head.Seal {
		if err := x.page(ctx); err != nil {
			return err
		}
	}
	if err := x.strays(ctx); err != nil {
		return err
	}
	return w.End()
}

// export is one that is being written.
type export struct {
	db       *DB
	org      tenancy.ID
	from, to time.Time
	out      *chain.Writer
	head     chain.Checkpoint // where it ends
	next     int64            // the number of the seal that comes
}

// begin reads the head and finds the first seal.
func (x *export) begin(ctx context.Context) error {
	err := x.db.dialect.read(ctx, tenant(x.org), func(t tx) error {
		var first *int64
		if err := t.one(ctx, []any{&first}, `select min(number) from audit_seals where org_id = $1 and latest_us >= $2`, x.org, toMicros(x.from)); err != nil {
			return err
		}
		if first != nil {
			x.next = *first
		}
		err := t.one(ctx, checkpoint(&x.head), `select `+checkpointColumns+` from audit_heads where org_id = $1`, x.org)
		if errors.Is(err, tenancy.ErrNotFound) {
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case x.head.Seal == 0 && x.next > 0: // somebody has removed the head: the seals shall show it
		x.head.Seal = x.next
	case x.head.Seal > 0:
		x.out.Head(&x.head)
		if x.next == 0 {
			x.next = x.head.Seal // there is nothing of that time; the last seal proves the head
		}
	}
	return x.out.Err()
}

// piece is what one transaction reads of a chain.
type piece struct {
	seals       []chain.Seal
	events      []tenancy.AuditEvent
	checkpoints []chain.Checkpoint
}

// page writes some seals with what belongs to them.
func (x *export) page(ctx context.Context) error {
	var p piece
	err := x.db.dialect.read(ctx, tenant(x.org), func(t tx) (err error) {
		p = piece{}
		if p.seals, err = x.seals(ctx, t); err != nil || len(p.seals) == 0 {
			return err
		}
		last := p.seals[len(p.seals)-1].Number
		if err := p.readCheckpoints(ctx, t, `seal >= $2 and seal <= $3`, x.org, x.next, last); err != nil {
			return err
		}
		from, to := x.inRange(p.seals)
		p.events, err = readEvents(ctx, t, `select `+eventColumns+` from audit_events where org_id = $1 and seal >= $2 and seal <= $3
			order by seal, place, time_us, id limit $4`, x.org, from, to, 2*eventsToRead)
		return err
	})
	if err != nil {
		return err
	}
	if len(p.seals) == 0 {
		x.next = x.head.Seal + 1 // the rest is missing; whoever verifies the export sees it
		return nil
	}
	x.write(&p)
	x.next = p.seals[len(p.seals)-1].Number + 1
	return x.out.Err()
}

// seals reads the next seals, as many as have events for one transaction.
func (x *export) seals(ctx context.Context, t tx) (list []chain.Seal, err error) {
	var events int64
	err = t.each(ctx, func(scan func(...any) error) error {
		var s chain.Seal
		if err := scan(seal(&s)...); err != nil {
			return err
		}
		events += s.Count
		if len(list) == 0 || events <= eventsToRead {
			list = append(list, s)
		}
		return nil
	}, `select `+sealColumns+` from audit_seals where org_id = $1 and number >= $2 and number <= $3 order by number limit $4`, x.org, x.next, x.head.Seal, sealsAtOnce)
	return list, err
}

// inRange are the numbers of the first and the last seal whose events are exported; from is above to if there are none.
func (x *export) inRange(seals []chain.Seal) (from, to int64) {
	from = seals[len(seals)-1].Number + 1
	for _, s := range seals {
		if x.covers(&s) {
			from, to = min(from, s.Number), max(to, s.Number)
		}
	}
	return from, to
}

func (x *export) covers(s *chain.Seal) bool {
	return (x.from.IsZero() || !s.Latest.Before(x.from)) && (x.to.IsZero() || s.Earliest.Before(x.to))
}

func (x *export) write(p *piece) {
	for i := range p.seals {
		s := &p.seals[i]
		x.out.Seal(s)
		for len(p.events) > 0 && p.events[0].Sealed.Seal <= s.Number {
			if x.covers(s) {
				x.out.Event(&p.events[0])
			}
			p.events = p.events[1:]
		}
		for len(p.checkpoints) > 0 && p.checkpoints[0].Seal <= s.Number {
			x.out.Checkpoint(&p.checkpoints[0])
			p.checkpoints = p.checkpoints[1:]
		}
	}
	for i := range p.events { // of a seal that is missing
		x.out.Event(&p.events[i])
	}
	for i := range p.checkpoints {
		x.out.Checkpoint(&p.checkpoints[i])
	}
}

// strays writes what no chain leads to although it is there: events that nobody has sealed, and what stands beyond the
// head. It refuses an export during which events were removed that it should have.
func (x *export) strays(ctx context.Context) error {
	var p piece
	var head chain.Checkpoint
	old := time.Now().Add(-sealPatience)
	err := x.db.dialect.read(ctx, tenant(x.org), func(t tx) error {
		p, head = piece{}, chain.Checkpoint{}
		err := t.one(ctx, checkpoint(&head), `select `+checkpointColumns+` from audit_heads where org_id = $1`, x.org)
		if err != nil && !errors.Is(err, tenancy.ErrNotFound) {
			return err
		}
		if err := p.beyond(ctx, t, &head, x.org); err != nil {
			return err
		}
		p.events, err = readEvents(ctx, t, `select `+eventColumns+` from audit_events where org_id = $1
			and (seal < 0 or seal > $2 or seal = 0 and time_us < $3) order by time_us, id limit $4`, x.org, head.Seal, micros{&old}, eventsToRead)
		return err
	})
	if err != nil {
		return err
	}
	if !head.KeptFrom.Equal(x.head.KeptFrom) {
		return ErrExpired
	}
	for i := range p.seals {
		x.out.Seal(&p.seals[i])
	}
	for i := range p.checkpoints {
		x.out.Checkpoint(&p.checkpoints[i])
	}
	for i := range p.events {
		x.out.Unsealed(&p.events[i])
	}
	return x.out.Err()
}

// beyond reads the seals and checkpoints that the head does not know.
func (p *piece) beyond(ctx context.Context, t tx, head *chain.Checkpoint, org tenancy.ID) error {
	err := t.each(ctx, func(scan func(...any) error) error {
		var s chain.Seal
		err := scan(seal(&s)...)
		p.seals = append(p.seals, s)
		return err
	}, `select `+sealColumns+` from audit_seals where org_id = $1 and (number < 1 or number > $2) order by number limit $3`, org, head.Seal, sealsAtOnce)
	if err != nil {
		return err
	}
	return p.readCheckpoints(ctx, t, `(seal < 1 or seal > $2)`, org, head.Seal)
}

func (p *piece) readCheckpoints(ctx context.Context, t tx, where string, args ...any) error {
	return t.each(ctx, func(scan func(...any) error) error {
		var c chain.Checkpoint
		err := scan(checkpoint(&c)...)
		p.checkpoints = append(p.checkpoints, c)
		return err
	}, `select `+checkpointColumns+` from audit_checkpoints where org_id = $1 and `+where+` order by number`, args...)
}

// AuditHeads gives the heads of the chains after an organization, in the order of these, at most limit; of one
// organization, or, if org is empty, of all. A chain whose head is gone has an empty one.
func (db *DB) AuditHeads(ctx context.Context, org, after tenancy.ID, limit int) (heads []chain.Checkpoint, err error) {
	as, args := system, arguments{after}
	of := ""
	if org != "" {
		as, of = tenant(org), " and org_id = "+args.add(org)
	}
	query := `select c.org_id, coalesce(h.number, 0), coalesce(h.time_us, 0), coalesce(h.seal, 0), coalesce(h.hash, ''), coalesce(h.kept_from_us, 0), coalesce(h.key, ''), coalesce(h.signature, '')
		from (select org_id from audit_heads where org_id > $1` + of + ` union select org_id from audit_seals where number = 1 and org_id > $1` + of + `) c
		left join audit_heads h on h.org_id = c.org_id order by c.org_id limit ` + args.add(limit)
	err = db.dialect.read(ctx, as, func(t tx) error {
		heads = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var c chain.Checkpoint
			err := scan(checkpoint(&c)...)
			heads = append(heads, c)
			return err
		}, query, args...)
	})
	return heads, err
}
