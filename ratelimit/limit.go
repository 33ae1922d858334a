package ratelimit

import (
	"errors"
	"fmt"
	"time"
)

// Kind is how a limit counts.
type Kind uint8

const (
	Rate   Kind = iota + 1 // so many a second or minute, spread evenly, with a burst: the generic cell rate algorithm
	Window                 // so many in a window of the calendar
	Slots                  // so many at once
	Amount                 // so many nano-dollars in a window of the calendar, held before they are spent
)

// Per is the time in which a limit counts.
type Per uint8

const (
	Second Per = iota + 1
	Minute
	Hour
	Day
	Week  // from Monday
	Month // from its first day
	Total // for ever
)

// OnStoreFailure is what becomes of a limit while the store is away, or has forgotten what was spent.
type OnStoreFailure uint8

const (
	Local  OnStoreFailure = iota // this process counts on its own, up to its share: see Guard
	Closed                       // everything is refused
	Open                         // nothing is refused
)

// Limit is one limit. It is immutable while it is in use, and belongs to one tag: see Hold.
type Limit struct {
	// Key names what is counted, and is unique within the tag and the kind. Limits with one key count together, also
	// before and after Max was changed; what counts in other windows has another key.
	Key string

	Kind Kind
	Max  int64 // units in Per, or at once
	Per  Per   // Rate: Second or Minute; Window: Hour or Day; Amount: Hour or longer; Slots: none

	// Burst is how many units a Rate gives at once to who has used none, at least what comes back in a millisecond.
	Burst int64

	Location       *time.Location // whose calendar counts; nil: UTC
	OnStoreFailure OnStoreFailure
}

// most is the largest number that Lua counts exactly.
const most = 1<<53 - 1

// millis is the length of a Rate's period.
func (p Per) millis() int64 {
	if p == Second {
		return 1000
	}
	return 60_000
}

// Validate says what is wrong with a limit.
func (l *Limit) Validate() error {
	switch {
	case l.Key == "":
		return errors.New("a limit has no key")
	case l.Max < 0 || l.Max > most:
		return fmt.Errorf("%d is not between 0 and %d", l.Max, int64(most))
	case l.Kind == Rate:
		return l.validateRate()
	case l.Kind == Window && l.Per != Hour && l.Per != Day:
		return errors.New("a window is an hour or a day")
	case l.Kind == Amount && (l.Per < Hour || l.Per > Total):
		return errors.New("an amount is for an hour, a day, a week, a month or for ever")
	case l.Kind < Rate || l.Kind > Amount:
		return fmt.Errorf("there is no kind %d", l.Kind)
	}
	return nil
}

func (l *Limit) validateRate() error {
	if l.Per != Second && l.Per != Minute {
		return errors.New("a rate is for a second or a minute")
	}
	if l.Max == 0 {
		return errors.New("a rate of 0 never frees anything")
	}
	per := l.Per.millis()
	least := (l.Max + per - 1) / per
	if l.Burst < least || l.Burst > most/per {
		return fmt.Errorf("a burst of %d is not between %d and %d", l.Burst, least, most/per)
	}
	return nil
}

// capacity is the largest number of units that the limit can ever give at once.
func (l *Limit) capacity() int64 {
	if l.Kind == Rate {
		return l.Burst
	}
	return l.Max
}
