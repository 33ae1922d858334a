package storage

import "slices"

// span is a stretch of time: from <= t < to, in microseconds.
type span struct{ from, to int64 }

// endOfTime is later than everything.
const endOfTime = int64(1) << 62

// divide divides stretches of time into those that whole units of a length cover, and the rest. The units that begin at
// the times of due, in their order, count as rest.
func divide(all []span, length int64, due []int64) (covered, rest []span) {
	for _, s := range all {
		from, to := ceil(s.from, length), floor(s.to, length)
		if from >= to {
			rest = append(rest, s)
			continue
		}
		if s.from < from {
			rest = append(rest, span{s.from, from})
		}
		at := from
		i, _ := slices.BinarySearch(due, from)
		for ; i < len(due) && due[i] < to; i++ {
			if at < due[i] {
				covered = append(covered, span{at, due[i]})
			}
			at = due[i] + length
			rest = append(rest, span{due[i], at})
		}
		if at < to {
			covered = append(covered, span{at, to})
		}
		if to < s.to {
			rest = append(rest, span{to, s.to})
		}
	}
	return covered, joined(rest)
}

// joined are stretches of time in their order, those that touch as one.
func joined(all []span) (list []span) {
	slices.SortFunc(all, func(a, b span) int { return int(min(max(a.from-b.from, -1), 1)) })
	for _, s := range all {
		if n := len(list); n > 0 && list[n-1].to == s.from {
			list[n-1].to = s.to
		} else {
			list = append(list, s)
		}
	}
	return list
}
