// Package nodes proves what holds when more than one thing is running or something stops: several Vels on one
// Postgres, a database that goes away under load, and a Vel that is killed in the middle of its work. It is a package
// of its own so that its load does not disturb tests that measure time.
package nodes

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/postgres"
)

// The secrets of the tests. None may ever show up in a log.
const (
	adminKey  = "sk-vel-canary-nodes-admin-0123456789abcdefghijkl"
	fileKey   = "sk-vel-canary-nodes-file-0123456789abcdefghijklm"
	simKey    = "sk-sim-canary-nodes-0123456789abcdefghijklmnopqr"
	secretKey = "canary-nodes-secret-0123456789abcdefghijklmnopqr"
)

// patience is how long anything may take that is not measured.
const patience = 60 * time.Second

// server is the Postgres of the tests that leave it running; each has a database of its own in it.
var server *postgres.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	flag.Parse()
	// Most tests wait for timers of Vel and not for a processor: more of them fit than there are processors.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	var err error
	if server, err = postgres.Launch(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	return m.Run()
}
