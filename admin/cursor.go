package admin

import (
	"strconv"
	"strings"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// Lists of what happened come newest first. Where a page ends is a time in microseconds and an id, as 1800000000000000.req_9.

// cursorOf reads the value of next; its form was checked. Without a value both are zero.
func cursorOf(text string) (at time.Time, id tenancy.ID) {
	micros, after, ok := strings.Cut(text, ".")
	n, err := strconv.ParseInt(micros, 10, 64)
	if !ok || err != nil {
		return at, id
	}
	return time.UnixMicro(n).UTC(), tenancy.ID(after)
}

// upTo cuts what was found to a page. If there is more, next is where the page ends, which ended tells of its last one.
func upTo[T any](found []T, limit int, ended func(*T) (time.Time, tenancy.ID)) (page []T, next *string) {
	if len(found) <= limit {
		return found, nil
	}
	at, id := ended(&found[limit-1])
	text := strconv.FormatInt(at.UnixMicro(), 10) + "." + string(id)
	return found[:limit], &text
}
