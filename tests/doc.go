// Package tests proves Vel from outside: it builds the binary, starts it as a user would, and looks only at what
// comes out of its sockets, its log and its exit codes. The pretend providers come from the simulator, the only
// package of ours that is imported here; the network between Vel and them is bent by faultproxy.
//
// It also holds the checks of the house itself: which room may import which (floors_test.go) and which versions
// are pinned (pins_test.go).
package tests
