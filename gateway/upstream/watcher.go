package upstream

// Leaver is told once that its peer left. Left runs on the watcher's goroutine: it may lock and move a
// deadline, and must not block.
type Leaver interface{ Left() }

// Canceller ends what is under way. Cancel is the one method of an Exchange or a call that another goroutine
// may use.
type Canceller interface{ Cancel() }
