package accounting

import "github.com/vel-gateway/vel/tenancy"

// The parts of what a call said, as they are sealed.
const (
	PromptPart = "prompt"
	AnswerPart = "answer"
)

// ContentPlace is what a sealed prompt or answer is bound to: elsewhere it does not open.
func ContentPlace(org, call tenancy.ID, part string) []string {
	return []string{"calls", string(call), string(org), part}
}
