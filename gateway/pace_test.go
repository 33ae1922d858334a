package gateway

import (
	"testing"
	"time"
)

// So many calls a second are judged, and no more; the next second has room again.
func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	begun := time.Unix(1_800_000_000, 0)
	for second := range 3 {
		judged := 0
		for i := range 3 * judgedASecond {
			if p.may(begun.Add(time.Duration(second)*time.Second + time.Duration(i)*time.Millisecond/2)) {
				judged++
			}
		}
		if judged != judgedASecond {
			t.Errorf("second %d: %d were judged", second, judged)
		}
	}
}
