// Package spool is a node's durable list of records that are not yet in the database. It knows only bytes.
package spool

// Cursor is a place in a spool: between two records. The zero cursor is before the first one.
type Cursor struct {
	Segment uint64 // the number of the file, from 1 on
	Offset  int64  // in it
}
