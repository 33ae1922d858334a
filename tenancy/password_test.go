package tenancy

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	hash := HashPassword("Correct-Horse-1")
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") || HashPassword("Correct-Horse-1") == hash {
		t.Errorf("hash %s", hash)
	}
	// A hash that another program made, with another cost: the RFC 9106 reference's phc-winner-argon2.
	const foreign = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, c := range []struct {
		hash, password string
		fits           bool
	}{
		{hash, "Correct-Horse-1", true},
		{hash, "Correct-Horse-2", false},
		{hash, "", false},
		{"", "", false},
		{"", "Correct-Horse-1", false},
		{foreign, "password", true},
		{foreign, "passwort", false},
	} {
		if fits, err := CheckPassword(c.hash, c.password); fits != c.fits || err != nil {
			t.Errorf("%s with %q: %t, %v", c.hash, c.password, fits, err)
		}
	}
}

// What stands in the database is not believed: a broken hash is an error, and a huge cost is never paid.
func TestBrokenHashes(t *testing.T) {
	t.Parallel()
	whole := HashPassword("Correct-Horse-1")
	for _, hash := range []string{
		"x", "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA", whole[:len(whole)-20], whole + "$", strings.Replace(whole, "v=19", "v=16", 1),
		strings.Replace(whole, "m=19456", "m=4294967295", 1), strings.Replace(whole, "t=2", "t=0", 1), strings.Replace(whole, "t=2", "t=4000000000", 1),
		strings.Replace(whole, "p=1", "p=0", 1), strings.Replace(whole, "p=1", "p=255", 1), strings.Replace(whole, "m=19456,t=2,p=1", "", 1),
		strings.Replace(whole, "p=1$", "p=1$!", 1),
	} {
		if fits, err := CheckPassword(hash, "Correct-Horse-1"); fits || err == nil {
			t.Errorf("%s: %t, %v", hash, fits, err)
		}
	}
}

// One is computed, one waits, the next is turned away, and who waits may leave.
func TestPasswordsInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPasswords(1, 1)
		p.slots <- struct{}{} // somebody computes
		ctx, leave := context.WithCancel(t.Context())
		waiter := make(chan error)
		go func() {
			_, err := p.Check(ctx, "", "x")
			waiter <- err
		}()
		synctest.Wait()
		if _, err := p.Hash(t.Context(), "x"); err != ErrBusy {
			t.Errorf("a third is not turned away: %v", err)
		}
		leave()
		if err := <-waiter; !errors.Is(err, context.Canceled) {
			t.Errorf("who left gets %v", err)
		}
		go func() {
			_, err := p.Hash(t.Context(), "x")
			waiter <- err
		}()
		synctest.Wait()
		p.leave()
		if err := <-waiter; err != nil {
			t.Errorf("who waited gets %v", err)
		}
		if len(p.slots) != 0 || p.waiting != 0 {
			t.Errorf("%d compute and %d wait", len(p.slots), p.waiting)
		}
	})
}

func BenchmarkCheckPassword(b *testing.B) {
	hash := HashPassword("Correct-Horse-1")
	for b.Loop() {
		if ok, err := CheckPassword(hash, "Correct-Horse-1"); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
