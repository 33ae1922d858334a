package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/config"
)

// TestKeyrings: the key that is given goes before all others, and the file beside the database opens what it has sealed.
func TestKeyrings(t *testing.T) {
	t.Parallel()
	database := "VEL__DATABASE=sqlite:" + filepath.Join(t.TempDir(), "data", "vel.db")
	kept := filepath.Join(filepath.Dir(strings.TrimPrefix(database, "VEL__DATABASE=sqlite:")), "secret.key")
	ids := func(environ ...string) []string {
		t.Helper()
		cfg, err := config.Load("", append(environ, database))
		if err != nil {
			t.Fatal(err)
		}
		k, err := openKeyring(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return k.IDs()
	}
	a, b, c := strings.Repeat("a", 32), strings.Repeat("b", 32), strings.Repeat("c", 32)
	given := ids("VEL_SECRET_KEY="+a, "VEL_SECRET_KEY_OLD="+b+", "+c+",,"+a)
	if _, err := os.Stat(kept); err == nil || len(given) != 3 {
		t.Fatalf("%q, and a key was made: %v", given, err == nil)
	}
	made := ids()
	if len(made) != 1 {
		t.Fatalf("%q", made)
	}
	if now := ids("VEL_SECRET_KEY_OLD=" + b); len(now) != 2 || now[0] != made[0] || now[1] != given[1] {
		t.Errorf("%q", now)
	}
	if now := ids("VEL_SECRET_KEY=" + a); len(now) != 2 || now[0] != given[0] || now[1] != made[0] {
		t.Errorf("%q, want %q and then %q", now, given[0], made[0])
	}
}
