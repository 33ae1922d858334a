package ratelimit

import "slices"

// The words that files, databases and the API have for what is counted.
var (
	pers          = [...]string{Second: "second", Minute: "minute", Hour: "hour", Day: "day", Week: "week", Month: "month", Total: "total"}
	afterFailures = [...]string{Local: "local", Closed: "closed", Open: "open"}
)

// String is the word for it.
func (p Per) String() string {
	if p < Second || p > Total {
		return "unknown"
	}
	return pers[p]
}

// ParsePer reads a word. ok is false for one that is none.
func ParsePer(word string) (p Per, ok bool) {
	i := slices.Index(pers[:], word)
	return Per(max(i, 0)), i >= int(Second)
}

// String is the word for it.
func (f OnStoreFailure) String() string {
	if f > Open {
		return "unknown"
	}
	return afterFailures[f]
}

// ParseOnStoreFailure reads a word. ok is false for one that is none.
func ParseOnStoreFailure(word string) (f OnStoreFailure, ok bool) {
	i := slices.Index(afterFailures[:], word)
	return OnStoreFailure(max(i, 0)), i >= 0
}
