//go:build race

package gateway

// racing: the race detector makes sync.Pool forget at random, so that pools cost memory.
const racing = true
