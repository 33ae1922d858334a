// Package storagetest proves that an engine keeps what package storage promises, and starts the private Postgres that
// such proofs run on.
package storagetest
