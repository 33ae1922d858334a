package upstream

import (
	"errors"
	"syscall"
)

// What a look at a socket's receive buffer shows.
type peeked uint8

const (
	peekQuiet peeked = iota // nothing arrived and the peer is there
	peekData                // bytes wait
	peekEnd                 // the peer closed, or the socket is broken
)

// peekFD looks at what waits on a socket, without taking it and without waiting.
func peekFD(fd uintptr) peeked {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch {
	case n > 0:
		return peekData
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return peekQuiet
	}
	return peekEnd
}
