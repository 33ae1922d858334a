package secrets

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func keyring(t *testing.T, seeds ...string) *Keyring {
	t.Helper()
	var list []Secret
	for _, seed := range seeds {
		list = append(list, New(strings.Repeat(seed, 32)))
	}
	k, err := NewKeyring(list...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedTextOpensInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	k := keyring(t, "a")
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "text")
		place := rapid.SliceOfN(rapid.StringMatching(`[a-z_]{0,3}`), 0, 3).Draw(t, "place")
		elsewhere := rapid.SliceOfN(rapid.StringMatching(`[a-z_]{0,3}`), 0, 3).Draw(t, "elsewhere")
		sealed := k.Seal(text, place...)
		if len(text) > 8 && strings.Contains(sealed, string(text)) {
			t.Fatalf("%q can be read", sealed)
		}
		got, err := k.Open(sealed, place...)
		if err != nil || string(got) != string(text) {
			t.Fatalf("opened %q, %v", got, err)
		}
		same := strings.Join(place, "\x00") == strings.Join(elsewhere, "\x00") && len(place) == len(elsewhere)
		if _, err := k.Open(sealed, elsewhere...); (err == nil) != same {
			t.Fatalf("sealed at %q, opened at %q: %v", place, elsewhere, err)
		}
	})
}

func TestKeysOfTheRing(t *testing.T) {
	t.Parallel()
	old, rotated, other := keyring(t, "a"), keyring(t, "b", "a"), keyring(t, "c")
	sealed, mark := old.Seal([]byte("text"), "place"), old.Mark([]byte("data"))
	if got, err := rotated.Open(sealed, "place"); err != nil || string(got) != "text" {
		t.Errorf("the old key does not open: %q, %v", got, err)
	}
	if ok, err := rotated.Marked(mark, []byte("data")); !ok || err != nil {
		t.Errorf("the old key does not know its mark: %v", err)
	}
	if ok, err := rotated.Marked(mark, []byte("other")); ok || err != nil {
		t.Errorf("other data has the mark: %v", err)
	}
	if _, err := old.Open(rotated.Seal([]byte("text"))); err != ErrSealed {
		t.Errorf("a new key is known before it is there: %v", err)
	}
	if _, err := other.Open(sealed, "place"); err != ErrSealed {
		t.Errorf("another ring opens: %v", err)
	}
	if _, err := other.Marked(mark, []byte("data")); err != ErrSealed {
		t.Errorf("another ring knows the mark: %v", err)
	}
	if keyring(t, "a").Mark([]byte("data")) != mark || keyring(t, "c").Mark([]byte("data"))[9:] == mark[9:] {
		t.Error("a mark does not depend on the seed, or on more than it")
	}
}

func TestKeysAreKnownByTheirIDs(t *testing.T) {
	t.Parallel()
	a, b, both := keyring(t, "a"), keyring(t, "b"), keyring(t, "a", "b", "a")
	if ids := both.IDs(); len(ids) != 2 || ids[0] != a.IDs()[0] || ids[1] != b.IDs()[0] || ids[0] == ids[1] || len(ids[0]) != 8 {
		t.Errorf("%q", ids)
	}
	if id := SealedBy(both.Seal([]byte("text"))); id != a.IDs()[0] {
		t.Errorf("sealed by %q", id)
	}
}

func TestBrokenTextDoesNotOpen(t *testing.T) {
	t.Parallel()
	k := keyring(t, "a")
	sealed := k.Seal([]byte("text"))
	for _, broken := range []string{"", ".", sealed[:8], sealed[:9], sealed[:len(sealed)-1], sealed + "A", sealed[:9] + "!" + sealed[10:], "x" + sealed, strings.ToUpper(sealed)} {
		if got, err := k.Open(broken); err != ErrSealed {
			t.Errorf("%q opens as %q, %v", broken, got, err)
		}
	}
}

func TestWeakKeyring(t *testing.T) {
	t.Parallel()
	for _, seeds := range [][]Secret{nil, {New("")}, {New(strings.Repeat("x", 31))}, {New(strings.Repeat("x", 32)), New("short")}} {
		if _, err := NewKeyring(seeds...); err == nil {
			t.Errorf("a ring of %d keys is made", len(seeds))
		}
	}
}
