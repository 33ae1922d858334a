package storagetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/secrets"
	"github.com/vel-gateway/vel/storage"
	"github.com/vel-gateway/vel/tenancy"
)

// sealedContents checks that prompts and answers are counted by their key, and sealed anew with another one.
func sealedContents(t *testing.T, db *storage.DB) {
	ctx := t.Context()
	old, both, foreign := keyring(t, "o"), keyring(t, "no"), keyring(t, "x")
	const prompt, answer, many = "what is it?", "it is nothing", 250 // more than are sealed at once
	kept := func(org tenancy.ID, n int, with *secrets.Keyring) accounting.Record {
		r := called(org, n)
		place := accounting.ContentPlace(org, r.ID)
		r.Prompt, r.Answer = []byte(with.Seal([]byte(prompt), place...)), []byte(with.Seal([]byte(answer), place...))
		return r
	}
	var list []accounting.Record
	for n := range many {
		list = append(list, kept([]tenancy.ID{"org_a", "org_b"}[n%2], n, old))
	}
	list[0].Prompt, list[1].Answer = nil, nil // one half is enough
	lost, fresh, broken, plain := kept("org_a", 1001, foreign), kept("org_a", 1002, both), kept("org_a", 1003, old), called("org_a", 1004)
	broken.Answer = broken.Answer[:len(broken.Answer)-4]
	plain.Prompt, plain.Answer = nil, nil
	ship := shipped{node: "node_1"}
	ship.append(t, db, append([]accounting.Record{lost, fresh, broken, plain}, list...)...)

	first, second, third := both.IDs()[0], both.IDs()[1], foreign.IDs()[0]
	counts := func(what string, want map[string]int64) {
		t.Helper()
		got, err := db.SealedBy(ctx)
		must(t, err)
		same(t, what, got, want)
	}
	counts("before", map[string]int64{first: 1, second: many + 1, third: 1})
	since := time.Now().Truncate(time.Microsecond)
	done, unopened, err := db.Reseal(ctx, vel, both)
	must(t, err)
	same(t, "sealed anew", done, many)
	same(t, "broken", unopened, 1)
	counts("after", map[string]int64{first: many + 1, second: 1, third: 1})
	if done, _, err := db.Reseal(ctx, vel, both); done != 0 || err != nil {
		t.Errorf("again: %d, %v", done, err)
	}
	var told []string
	for _, e := range events(t, db, since, tenancy.Platform) {
		told = append(told, e.Action+" "+e.After)
	}
	line := func(n int) string {
		return fmt.Sprintf(`%s {"in":"call_contents","sealed":%d}`, tenancy.ActionRotateSecrets, n)
	}
	same(t, "the log", told, []string{line(100), line(100), line(50)})

	for i, r := range append(list, lost, fresh, broken, plain) {
		got, err := db.Call(ctx, r.Who.Org, r.ID)
		must(t, err)
		if i < many {
			for _, s := range []struct {
				was, is []byte
				text    string
			}{{r.Prompt, got.Prompt, prompt}, {r.Answer, got.Answer, answer}} {
				opened, err := keyring(t, "n").Open(string(s.is), accounting.ContentPlace(r.Who.Org, r.ID)...)
				if (len(s.was) > 0) != (err == nil && string(opened) == s.text) || len(s.was) == 0 && len(s.is) > 0 {
					t.Errorf("%s: %q, %v", r.ID, opened, err)
				}
			}
			got.Prompt, got.Answer = r.Prompt, r.Answer
		}
		same(t, "the rest", got, r)
	}
}
