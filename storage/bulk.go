package storage

import (
	"context"
	bin "encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Many rows at once. Postgres takes them as one array for each column, which is the fastest way that row-level security
// allows; SQLite takes one after the other by a statement that is prepared once.

func names(fields []field) string {
	all := make([]string, len(fields))
	for i := range fields {
		all[i] = fields[i].name
	}
	return strings.Join(all, ", ")
}

func (t pgTx) bulk(ctx context.Context, into string, fields []field, then string, rows [][]any) (int64, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	values, formats, places := make([][]byte, len(fields)), make([]int16, len(fields)), make([]string, len(fields))
	for i, f := range fields {
		values[i], formats[i], places[i] = arrayOf(rows, i, f.kind), pgx.BinaryFormatCode, fmt.Sprintf("$%d::%s[]", i+1, f.kind)
	}
	statement := `insert into ` + into + ` (` + names(fields) + `) select * from unnest(` + strings.Join(places, ", ") + `)` + then
	if !t.prepares {
		tag, err := t.Conn().PgConn().ExecParams(ctx, statement, values, nil, formats, nil).Close()
		return tag.RowsAffected(), pgFault(err)
	}
	prepared, err := t.Conn().Prepare(ctx, statement, statement) // once
	if err != nil {
		return 0, pgFault(err)
	}
	tag, err := t.Conn().PgConn().ExecPrepared(ctx, prepared.Name, values, formats, nil).Close()
	return tag.RowsAffected(), pgFault(err)
}

// arrayOf is a column of rows as an array in the binary form of Postgres, which is several times as fast as its text: the
// number of dimensions, whether there are nulls, the type, the length, the first index, and each element after its size.
func arrayOf(rows [][]any, i int, kind string) []byte {
	oid := map[string]uint32{textual: pgtype.TextOID, number: pgtype.Int8OID, truth: pgtype.BoolOID, binary: pgtype.ByteaOID}[kind]
	b := make([]byte, 0, 20+16*len(rows))
	for _, n := range []uint32{1, 0, oid, uint32(len(rows)), 1} {
		b = bin.BigEndian.AppendUint32(b, n)
	}
	for _, row := range rows {
		switch v := row[i].(type) {
		case string:
			b = append(bin.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case []byte:
			b = append(bin.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case int64:
			b = bin.BigEndian.AppendUint64(bin.BigEndian.AppendUint32(b, 8), uint64(v))
		case bool:
			b = append(bin.BigEndian.AppendUint32(b, 1), map[bool]byte{true: 1}[v])
		default:
			panic(fmt.Sprintf("a value for a column is a %T", v))
		}
	}
	return b
}

func (t pgTx) joined(a, b string) string { return a + " || " + b }

func (t pgTx) joinedAll(column string) string { return "string_agg(" + column + ", ''::bytea)" }

func (t liteTx) skipLocked() string { return "" } // nobody writes beside us

func (t liteTx) bulk(ctx context.Context, into string, fields []field, then string, rows [][]any) (n int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	ctx = t.within(ctx)
	places := strings.Repeat(", ?", len(fields))[2:]
	insert := `insert into ` + into + ` (` + names(fields) + `) values (` + places + `)` + then
	for _, row := range rows {
		res, err := t.ExecContext(ctx, insert, row...)
		if err != nil {
			return n, liteFault(err)
		}
		one, err := res.RowsAffected()
		if err != nil {
			return n, err
		}
		n += one
	}
	return n, nil
}

// joined makes one value of two: what SQLite joins is text, and stays what it was only when it says so.
func (t liteTx) joined(a, b string) string { return "cast(" + a + " || " + b + " as blob)" }

func (t liteTx) joinedAll(column string) string {
	return "cast(group_concat(" + column + ", '') as blob)"
}
