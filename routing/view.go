package routing

import "unsafe"

// view looks at bytes of the request as text, for as long as the call is planned.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
