package accounting

import "github.com/vel-gateway/vel/tenancy"

// ContentPlace is what the sealed prompt and answer of a call are bound to: elsewhere they do not open.
func ContentPlace(org, call tenancy.ID) []string { return []string{"calls", string(call), string(org)} }
