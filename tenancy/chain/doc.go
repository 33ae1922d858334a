// Package chain makes an audit log one that outsiders can check: nobody who can write to the database, and has not the
// signing key, can change, remove, insert or reorder what was sealed without its being found.
//
// It owns hashes, signatures, the form of an export and how one is verified. It does not own where a log is kept
// (package storage) or who reads it (package admin). It asks no clock and no network.
//
// Events wait until a leader seals them, each second. A seal takes the events of one day that wait, and it alone gives
// them an order: what is committed late is in a later seal, never between events of an earlier one.
//
//	event  event  event      event                leaf  = hash of all that an event says
//	  └──────┼──────┘          │
//	      root                root                hash of the leaves, in their order
//	        │                   │
//	  ┌── seal 1 ──┐ hash ┌── seal 2 ──┐ hash     hash of number, root, count, bounds and the hash before
//	  │            ├─────▶│ previous   ├─────▶ …
//	  └────────────┘      └────────────┘
//	                            │
//	                    checkpoint, signed        number and hash of the last seal, and since when events are kept
//
// The newest checkpoint of a chain is its head, signed anew with each seal. Now and then, and before events are removed,
// it is kept for ever. When events have had their time, whole days of them go; seals and checkpoints stay, so that the
// chain can be followed from its beginning, and the events that are left are still proved. That days were removed, and
// which, is signed.
//
// All that is hashed or signed is one text: first its domain, so that nothing can pass for something else, then its
// fields, each as a netstring: its length in bytes as a decimal, a colon, the bytes, a comma. The fields are those of
// the export in its order, so that a few lines in any language check it; docs/audit.md has them. Times are text in UTC
// with six digits after the second. Hashes are SHA-256 in lower-case hex, signatures Ed25519 in base64.
package chain
