package storage

import (
	"bytes"
	"context"
	"fmt"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/tenancy"
)

// Prompts and answers are many and large, and lie in the order of their calls. Which key has sealed them stands beside
// them, so that nobody reads them to count or to find those of an old key.

// contentsAtOnce is how many calls' contents are sealed anew at once: a prompt or an answer may have ninety kilobytes.
const contentsAtOnce = 100

// keyIDLength is how many characters the id of a key has, before the dot of what it has sealed.
const keyIDLength = 8

// sealerOf is the id of the key that has sealed one of some texts; empty: none of them is sealed.
func sealerOf(texts ...[]byte) string {
	for _, t := range texts {
		if id, _, is := bytes.Cut(t, []byte(".")); is && len(id) == keyIDLength {
			return string(id)
		}
	}
	return ""
}

// sealedContent is what is kept of a call.
type sealedContent struct {
	org, id        tenancy.ID
	begun          int64
	prompt, answer []byte
	sealer         string // the key of the new texts; empty: they do not open
}

// reseal seals both texts anew, or none. False: one of them does not open.
func (c *sealedContent) reseal(with *secrets.Keyring) bool {
	place := accounting.ContentPlace(c.org, c.id)
	for _, text := range []*[]byte{&c.prompt, &c.answer} {
		if len(*text) == 0 {
			continue
		}
		opened, err := with.Open(string(*text), place...)
		if err != nil {
			return false
		}
		*text = []byte(with.Seal(opened, place...))
	}
	c.sealer = sealerOf(c.prompt, c.answer)
	return true
}

// countContents adds the contents of calls to counts by key.
func countContents(ctx context.Context, t tx, counts map[string]int64) error {
	return t.each(ctx, func(scan func(...any) error) error {
		var id string
		var n int64
		if err := scan(&id, &n); err != nil {
			return err
		}
		counts[id] += n
		return nil
	}, `select sealed_by, count(*) from call_contents where sealed_by <> '' group by sealed_by`)
}

// resealContents seals anew what one key has sealed of calls, the oldest first.
func (db *DB) resealContents(ctx context.Context, by tenancy.Actor, with *secrets.Keyring, key string) (done, broken int64, err error) {
	var last sealedContent
	for {
		found, err := db.contentsAfter(ctx, key, last)
		if err != nil || len(found) == 0 {
			return done, broken, err
		}
		last = found[len(found)-1]
		for i := range found {
			if !found[i].reseal(with) {
				broken++
			}
		}
		n, err := db.replaceContents(ctx, by, key, found)
		done += n
		if err != nil {
			return done, broken, err
		}
	}
}

// contentsAfter reads the next contents that a key has sealed.
func (db *DB) contentsAfter(ctx context.Context, key string, last sealedContent) (found []sealedContent, err error) {
	err = db.dialect.read(ctx, system, func(t tx) error {
		found = nil
		return t.each(ctx, func(scan func(...any) error) error {
			var c sealedContent
			if err := scan(&c.org, &c.id, &c.begun, &c.prompt, &c.answer); err != nil {
				return err
			}
			found = append(found, c)
			return nil
		}, `select org_id, id, begun_us, prompt, answer from call_contents where sealed_by = $1 and (begun_us, id) > ($2, $3) order by begun_us, id limit $4`,
			key, last.begun, last.id, contentsAtOnce)
	})
	return found, err
}

// replaceContents puts the new texts in the place of the old ones, unless those are gone.
func (db *DB) replaceContents(ctx context.Context, by tenancy.Actor, key string, list []sealedContent) (done int64, err error) {
	err = db.audited(ctx, system.inBackground(), by, func(t tx, log *trail) error {
		done = 0
		for i := range list {
			c := &list[i]
			if c.sealer == "" {
				continue
			}
			n, err := t.exec(ctx, `update call_contents set prompt = $4, answer = $5, sealed_by = $6 where begun_us = $1 and id = $2 and sealed_by = $3`,
				c.begun, c.id, key, bytesOf(c.prompt), bytesOf(c.answer), c.sealer)
			if err != nil {
				return err
			}
			done += n
		}
		if done == 0 {
			return errNothing
		}
		log.add(tenancy.Platform, tenancy.ActionRotateSecrets, tenancy.AuditObject{}, difference{after: fmt.Sprintf(`{"in":"call_contents","sealed":%d}`, done)})
		return nil
	})
	return done, err
}
