package storagetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
	"github.com/vel-gateway/vel/tenancy/chain"
)

// Signer signs the logs of the tests.
var Signer = chain.NewSigner(ed25519.NewKeyFromSeed([]byte(strings.Repeat("s", ed25519.SeedSize))))

func hexOf(secret string) string {
	h := hash(secret)
	return hex.EncodeToString(h[:])
}

// Export is an organization's log of a time, as it is exported.
func Export(ctx context.Context, db *storage.DB, org tenancy.ID, from, to time.Time) (string, error) {
	var b bytes.Buffer
	err := db.ExportAudit(ctx, org, from, to, chain.NewWriter(&b, Signer, org, from, to, time.Now(), "test"))
	return b.String(), err
}

// Verify proves the whole log of an organization.
func Verify(ctx context.Context, db *storage.DB, org tenancy.ID) (chain.Report, error) {
	text, err := Export(ctx, db, org, time.Time{}, time.Time{})
	if err != nil {
		return chain.Report{}, err
	}
	return chain.Verify(strings.NewReader(text), Signer.Key())
}

// whole verifies a log and wants it to have so many events under so many seals.
func whole(t *testing.T, db *storage.DB, org tenancy.ID, events, seals int64) chain.Report {
	t.Helper()
	r, err := Verify(t.Context(), db, org)
	if err != nil {
		t.Fatalf("%s: %v", org, err)
	}
	if r.Events != events || r.Seals != seals {
		t.Errorf("%s has %d events in %d seals, want %d in %d", org, r.Events, r.Seals, events, seals)
	}
	return r
}

func sealing(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	whole(t, db, "org_of_nobody", 0, 0)
	a, b := org(t, db, "a"), org(t, db, "b")
	must(t, db.SealNow(ctx, Signer))
	must(t, db.SealNow(ctx, Signer)) // there is nothing
	whole(t, db, a, 1, 1)
	whole(t, db, b, 1, 1)

	// Events of two days are under two seals; more than go at once under several.
	now := time.Now()
	var list []tenancy.AuditEvent
	for i := range 1200 {
		list = append(list, tenancy.NewAuditEvent(by, a, "keys.update", tenancy.AuditObject{Kind: "key", ID: "key_1", Name: fmt.Sprint("n", i)}, now))
	}
	yesterday := tenancy.NewAuditEvent(by, a, "keys.update", tenancy.AuditObject{}, now.AddDate(0, 0, -1))
	must(t, db.Record(ctx, append(list, yesterday)))
	must(t, db.SealNow(ctx, Signer))
	r := whole(t, db, a, 1202, 5)
	if r.Head.Seal != 5 || r.Checkpoints != 1 || r.Head.Key != Signer.Key() {
		t.Errorf("%+v", r)
	}
	whole(t, db, b, 1, 1)

	// A part of it: whole seals, and those after them without their events.
	text, err := Export(ctx, db, a, yesterday.Time, yesterday.Time.Add(time.Microsecond))
	must(t, err)
	r, err = chain.Verify(strings.NewReader(text), Signer.Key())
	must(t, err)
	if r.Events != 1 || r.Seals < 2 || r.From.IsZero() {
		t.Errorf("of one moment: %+v", r)
	}
	text, err = Export(ctx, db, a, now.AddDate(1, 0, 0), time.Time{})
	must(t, err)
	r, err = chain.Verify(strings.NewReader(text), Signer.Key())
	must(t, err)
	if r.Events != 0 || r.Seals != 1 {
		t.Errorf("of a time to come: %+v", r)
	}

	heads, err := db.AuditHeads(ctx, "", "", 100)
	must(t, err)
	if len(heads) != 2 || heads[0].Org != min(a, b) || heads[1].Seal == 0 {
		t.Errorf("the heads: %+v", heads)
	}
	heads, err = db.AuditHeads(ctx, a, "", 100)
	must(t, err)
	if len(heads) != 1 || heads[0].Org != a || heads[0].Seal != 5 {
		t.Errorf("the head of one: %+v", heads)
	}
	heads, err = db.AuditHeads(ctx, "", max(a, b), 100)
	must(t, err)
	same(t, "after the last head", len(heads), 0)
}

// Sealing runs a sealer until stop.
func Sealing(db *storage.DB, s storage.Sealing) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { db.Seal(ctx, s) })
	return func() {
		cancel()
		running.Wait()
	}
}

// sealer checks that a sealer seals what many write at the same time, and leaves nothing behind when it stops.
func sealer(t *testing.T, db *storage.DB) {
	sealed, leads := make(chan int, 1000), make(chan bool, 10)
	stop := Sealing(db, storage.Sealing{
		Signer: Signer, Keep: func() time.Duration { return 24 * time.Hour },
		Sealed: func(n int) { sealed <- n },
		Leads:  func(is bool) { leads <- is },
	})
	if !<-leads {
		t.Error("it does not lead")
	}
	const orgs, each = 5, 20
	var writing sync.WaitGroup
	var ids [orgs]tenancy.ID
	for i := range orgs {
		ids[i] = org(t, db, fmt.Sprint("org", i))
		writing.Go(func() {
			for n := range each {
				if _, err := db.Teams().Create(t.Context(), by, tenancy.Team{Meta: meta(ids[i], fmt.Sprint(n))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	stop()
	close(sealed)
	total := 0
	for n := range sealed {
		total += n
	}
	same(t, "sealed", total, orgs*(each+1))
	for _, id := range ids {
		r, err := Verify(t.Context(), db, id)
		must(t, err)
		same(t, "events", r.Events, each+1)
	}
	// The lease is free: the next one need not wait.
	begin := time.Now()
	must(t, db.Record(t.Context(), []tenancy.AuditEvent{tenancy.NewAuditEvent(by, ids[0], "keys.update", tenancy.AuditObject{}, begin)}))
	must(t, db.SealNow(t.Context(), Signer))
	r, err := Verify(t.Context(), db, ids[0])
	must(t, err)
	same(t, "events", r.Events, each+2)
}

// retention checks that whole days go, that this is signed before, and that what is left is proved.
func retention(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	a, b := org(t, db, "a"), org(t, db, "b")
	now := time.Now().UTC()
	var list []tenancy.AuditEvent
	for days := range 10 {
		for range 45 { // more in all than go at once
			list = append(list, tenancy.NewAuditEvent(by, a, "keys.update", tenancy.AuditObject{}, now.AddDate(0, 0, -days)))
		}
	}
	list = append(list, tenancy.NewAuditEvent(by, b, "keys.update", tenancy.AuditObject{}, now))
	must(t, db.Record(ctx, list))
	must(t, db.SealNow(ctx, Signer))
	before := whole(t, db, a, 451, 10)
	whole(t, db, b, 2, 1)

	keep := 3 * 24 * time.Hour
	expired := make(chan bool, 10)
	stop := Sealing(db, storage.Sealing{Signer: Signer, Keep: func() time.Duration { return keep }, Leads: func(is bool) { expired <- is }})
	<-expired // it leads when its first turn is over, and that removes what is old
	stop()
	r := whole(t, db, a, 4*45+1, 10)
	if r.Removed != 6 || r.Checkpoints != before.Checkpoints+1 || !r.Head.KeptFrom.Equal(chain.Day(now.Add(-keep))) || r.Head.Hash != before.Head.Hash {
		t.Errorf("after retention: %+v\nbefore: %+v", r, before)
	}
	if r := whole(t, db, b, 2, 1); !r.Head.KeptFrom.IsZero() || r.Checkpoints != 1 {
		t.Errorf("of an organization that has nothing old: %+v", r)
	}
	kept, err := db.Audit(ctx, tenancy.AuditQuery{Org: a, To: chain.Day(now.Add(-keep)), Limit: 10})
	must(t, err)
	same(t, "events that are older", len(kept), 0)

	// The chain goes on.
	must(t, db.Record(ctx, []tenancy.AuditEvent{tenancy.NewAuditEvent(by, a, "keys.update", tenancy.AuditObject{}, now)}))
	must(t, db.SealNow(ctx, Signer))
	whole(t, db, a, 4*45+2, 11)
}
