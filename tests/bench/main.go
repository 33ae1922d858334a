// Command bench compares the cost of proxies side by side: nginx as a plain reverse proxy, Vel with
// everything on, variants of Vel, and no proxy at all. As `bench control` it compares Vel with itself: what keys in a
// database cost, and what it costs to manage them. As `bench routing` it compares routing by task with one provider alone.
//
// It owns the measurement: the pretend upstream, the load, the interleaved rounds and the report. It does
// not own Vel: that is built from the repository and driven from outside, through its configuration file,
// its port and its /metrics.
//
//	bench ──starts──▶ bench upstream            one process, shared by every target
//	      ──starts──▶ nginx, vel, variants …    all up at once, only one under load at a time
//	      ──starts──▶ bench load                one short process per measurement; it reads the CPU clocks
//	                                            of the target at both ends of the window it counts in
//
// Absolute figures depend on the machine and its neighbours. What counts is the ratio to nginx inside one
// round, where both were measured within seconds of each other.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run plays the role named by the first argument, or the whole benchmark, and returns the exit code: 0 done,
// 1 failed or (with -enforce) a bar was missed, 2 wrong use.
func run(ctx context.Context, args []string) int {
	role := ""
	if len(args) > 0 {
		role = args[0]
	}
	var err error
	switch role {
	case "upstream":
		err = upstreamRole(ctx, args[1:])
	case "load":
		err = loadRole(ctx, args[1:])
	case "manage":
		err = manageRole(ctx, args[1:])
	case "control":
		err = controlRole(ctx, args[1:])
	case "routing":
		err = routingRole(ctx, args[1:])
	case "note":
		err = noteRole(ctx, os.Stdin, args[1:])
	default:
		err = benchRole(ctx, args)
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 2
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	return 1
}

// usageError is a fault in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
