package admin

import (
	"encoding/json"

	"github.com/vel-gateway/vel/money"
)

// What the audit log says of amounts.

// amountIn is the amount of a budget in one side of an event; 0: it says nothing of it.
func amountIn(side string) money.Nano {
	var said struct {
		USD string `json:"usd"`
	}
	if json.Unmarshal([]byte(side), &said) != nil { // it is a side of another form
		return 0
	}
	n, err := money.Parse(said.USD)
	if err != nil {
		return 0
	}
	return n
}

// spentText is a side of an event that says what was spent.
func spentText(n money.Nano) string { return `{"spent_usd":"` + n.String() + `"}` }
