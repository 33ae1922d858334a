//go:build race

package accounting_test

// racing: the race detector makes sync.Pool forget at random, so that pools cost memory.
const racing = true
