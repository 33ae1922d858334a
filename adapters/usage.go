package adapters

// Unit is a class of what a provider measures. The classes are disjoint: Input does not contain CacheRead,
// Output does not contain Reasoning, so that a sum never counts a token twice.
type Unit uint8

// The units of a call: tokens up to ImageOut, then what is counted otherwise.
const (
	Input Unit = iota
	CacheRead
	CacheWrite
	Output
	Reasoning
	AudioIn
	AudioOut
	ImageIn
	ImageOut
	AudioMillis // milliseconds of sound, where they are charged instead of tokens
	Images      // pictures made
	Searches    // searches on the web
	Requests
	units
)

// Usage is how much of each unit a call used.
type Usage [units]int64

// Tokens is the sum of the prompt side and of the answer side.
func (u *Usage) Tokens() (in, out int64) {
	return u[Input] + u[CacheRead] + u[CacheWrite] + u[AudioIn] + u[ImageIn], u[Output] + u[Reasoning] + u[AudioOut] + u[ImageOut]
}
