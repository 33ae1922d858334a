// Package storage keeps what must survive, in SQLite or in Postgres, behind the Store interfaces of the rooms below.
//
// It owns SQL, transactions, migrations and the notice of changes. It does not own what an object means or who may
// change it.
//
// There is one text of SQL for both engines. Where they differ, a dialect says how: the lock clause, the scope of a
// tenant, bulk appends, the notice of changes, migrations, partitions. What is portable: times are microseconds since
// 1970 in a bigint and come as parameters, ids are text that compares by bytes, lists are JSON in text, placeholders
// are $1.
//
// In Postgres every transaction takes a role that can not bypass row-level security, and the organization that it is
// for. Every statement names the organization as well: two walls, each of which holds alone.
//
//	tenant   vel_app     one organization's rows              the API
//	system   vel_system  reads over all organizations         sign-in, the snapshot, lists for the platform; seals the audit log
//	ingest   vel_ingest  appends over all organizations       what the data plane leaves behind
package storage
