//go:build !linux

package main

import (
	"errors"
	"time"
)

// Other systems can build the benchmark and be told why it does not run there.

var errNeedsLinux = errors.New("the benchmark reads CPU time and memory from Linux's /proc: run it on Linux")

type usage struct {
	CPU, System time.Duration
	Switches    int64
}

func (u usage) sub(usage) usage { return u }

func usageOf([]int) (usage, error)        { return usage{}, errNeedsLinux }
func machineBusy() (time.Duration, error) { return 0, errNeedsLinux }
func processTree(int) ([]int, error)      { return nil, errNeedsLinux }

type alarm struct{}

type wake struct {
	at   time.Time
	ring chan struct{}
}

func newAlarm() (*alarm, error)     { return nil, errNeedsLinux }
func (*alarm) wakeAt(w *wake) error { return errNeedsLinux }
func (*alarm) stop()                {}
