// Package replay keeps what providers answered, to be given again to a call that asks exactly the same.
//
// It owns the name of a request (two that mean the same JSON have the same), what is kept of an answer, and two shelves
// with one suite: the memory of a node, and a Redis that nodes share. It does not know which calls may be answered from
// a shelf, nor who is answered: package gateway asks it.
package replay
