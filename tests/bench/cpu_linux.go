package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what a group of processes has consumed since they started.
type usage struct {
	CPU      time.Duration // exact to the nanosecond
	System   time.Duration // the part of it inside the kernel, sampled by the kernel's tick
	Switches int64         // context switches of the threads that still live
}

func (u usage) sub(v usage) usage {
	return usage{CPU: u.CPU - v.CPU, System: u.System - v.System, Switches: u.Switches - v.Switches}
}

// usageOf sums over the processes, all threads included.
func usageOf(pids []int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		cpu, err := cpuClock(pid)
		if err != nil {
			return sum, err
		}
		user, system, err := statTimes(pid)
		if err != nil {
			return sum, err
		}
		switches, err := contextSwitches(pid)
		if err != nil {
			return sum, err
		}
		sum.CPU += cpu
		// utime and stime count in ticks of 10 ms; only their ratio is used.
		if both := user + system; both > 0 {
			sum.System += time.Duration(float64(cpu) * float64(system) / float64(both))
		}
		sum.Switches += switches
	}
	return sum, nil
}

// machineBusy is the CPU time that all programs together have used, and what the host took away from a virtual machine,
// since boot; in ticks of 10 ms. See proc_stat(5).
func machineBusy() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(strings.SplitN(string(text), "\n", 2)[0])
	const tick = 10 * time.Millisecond
	var sum time.Duration
	for i, name := range []string{"cpu", "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"} {
		if i >= len(fields) {
			return 0, fmt.Errorf("/proc/stat: no %s", name)
		}
		if i == 0 || name == "idle" || name == "iowait" {
			continue
		}
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %s: %w", name, err)
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// cpuClock reads the CPU-time clock of another process: clock_getcpuclockid(3) makes its id from the pid as below.
// It counts what utime+stime of /proc/PID/stat count, without their rounding to 10 ms.
func cpuClock(pid int) (time.Duration, error) {
	const scheduler = 2 // CPUCLOCK_SCHED, Linux include/linux/posix-timers.h
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|scheduler, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// statTimes reads fields 14 and 15 of /proc/PID/stat, in ticks; see proc_pid_stat(5).
func statTimes(pid int) (user, system int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The second field is the program's name in parentheses and may hold anything.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, err = strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, 0, err
	}
	system, err = strconv.ParseInt(fields[12], 10, 64)
	return user, system, err
}

func contextSwitches(pid int) (int64, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended since
		}
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			if name == "voluntary_ctxt_switches" || name == "nonvoluntary_ctxt_switches" {
				n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				if err != nil {
					return 0, err
				}
				sum += n
			}
		}
	}
	return sum, nil
}

// processTree is the process and its children, as nginx's master and workers are.
func processTree(pid int) ([]int, error) {
	pids := []int{pid}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for word := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				return nil, err
			}
			tree, err := processTree(child)
			if err != nil {
				return nil, err
			}
			pids = append(pids, tree...)
		}
	}
	return pids, nil
}
