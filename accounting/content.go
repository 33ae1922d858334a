package accounting

import "github.com/vel-gateway/vel/tenancy"

// ContentPlace is what the sealed prompt and answer of a call are bound to, the table where they lie first: elsewhere they
// do not open.
func ContentPlace(org, call tenancy.ID) []string {
	return []string{"call_contents", string(call), string(org)}
}
