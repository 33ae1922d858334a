package storage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/vel-gateway/vel/tenancy"
)

// The audit log has the hash of each batch of calls, so that who changes, adds or removes one is found. What is hashed of
// a call is a line: a domain and then the columns of calls from org_id to holds, each as a netstring (5:hello,); numbers
// in decimal, truths as true or false. The hash of a batch is that of its lines, each as a netstring again, in the order
// of their places.
//
// The columns after holds are younger than the first form. A call that says something in one of them has the second form,
// in which they follow; any other one has the first, as it was before there were such columns.

// The forms of a line. Another form gets another number.
const (
	domainCall      = "vel.call.1"
	domainYoungCall = "vel.call.2"
)

// youngColumns is how many columns the second form has more.
const youngColumns = 2

// callLine is what is hashed of a call.
func callLine(row []any) []byte {
	domain := domainYoungCall
	if old := len(row) - youngColumns; row[old] == int64(0) && row[old+1] == "" {
		domain, row = domainCall, row[:old]
	}
	b := netstring(nil, domain)
	for _, v := range row {
		switch v := v.(type) {
		case string:
			b = netstring(b, v)
		case int64:
			b = netstring(b, strconv.FormatInt(v, 10))
		case bool:
			b = netstring(b, strconv.FormatBool(v))
		case []byte:
			b = netstring(b, v)
		default:
			panic(fmt.Sprintf("a column of calls is a %T", v))
		}
	}
	return b
}

func netstring[T string | []byte](b []byte, s T) []byte {
	b = strconv.AppendInt(b, int64(len(s)), 10)
	b = append(b, ':')
	b = append(b, s...)
	return append(b, ',')
}

// sealedBatch is what the audit log says of a batch.
type sealedBatch struct {
	Node    string    `json:"node"`
	Batch   int64     `json:"batch"`
	Records int       `json:"records"`
	From    time.Time `json:"from"` // the time of its first call, and of its last
	To      time.Time `json:"to"`
	SHA256  string    `json:"sha256"`
}

// sealed is what the audit log says of the batch.
func (b *batch) sealed() sealedBatch {
	lines := make([][]byte, len(b.rows))
	for i, row := range b.rows {
		lines[i] = callLine(row[:len(row)-len(placeFields())])
	}
	return sealedBatch{b.node, b.number, len(b.records), b.records[0].Begun, b.records[len(b.records)-1].Begun, hashLines(lines)}
}

func hashLines(lines [][]byte) string {
	h := sha256.New()
	for _, line := range lines {
		_, _ = h.Write(netstring(nil, line)) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// BatchProof is what became of a batch of calls that the audit log tells of.
type BatchProof struct {
	Records int  // that there were
	Found   int  // that are still there; the rest has had its time, or was taken away
	Intact  bool // all are there, and none was changed
}

// errNoBatch says that an event tells of no batch.
var errNoBatch = errors.New("the event tells of no batch of calls")

// ProveBatch compares the calls of a batch with the hash that the audit log has of it, in an event calls.record.
func (db *DB) ProveBatch(ctx context.Context, e tenancy.AuditEvent) (BatchProof, error) {
	var said sealedBatch
	if err := json.Unmarshal([]byte(e.After), &said); e.Action != tenancy.ActionRecordCalls || err != nil {
		return BatchProof{}, errNoBatch
	}
	type placed struct {
		place int64
		line  []byte
	}
	var found []placed
	err := db.dialect.read(ctx, system, func(t tx) error {
		found = nil
		args := []any{said.Node, said.Batch, micros{&said.From}, micros{&said.To}}
		const these = ` where node = $1 and batch = $2 and begun_us >= $3 and begun_us <= $4`
		err := t.each(ctx, func(scan func(...any) error) error {
			var k known
			if err := scan(append(k.whole(), &k.place)...); err != nil {
				return err
			}
			found = append(found, placed{k.place, callLine(k.row())})
			return nil
		}, `select `+names(callFields())+`, place from calls`+these, args...)
		if err != nil {
			return err
		}
		return t.each(ctx, func(scan func(...any) error) error {
			var p placed
			err := scan(&p.place, &p.line)
			found = append(found, p)
			return err
		}, `select place, line from call_replaced`+these, args...)
	})
	if err != nil {
		return BatchProof{}, err
	}
	slices.SortFunc(found, func(a, b placed) int { return cmp.Compare(a.place, b.place) })
	lines := make([][]byte, len(found))
	for i := range found {
		lines[i] = found[i].line
	}
	return BatchProof{said.Records, len(found), len(found) == said.Records && hashLines(lines) == said.SHA256}, nil
}

// row gives the values as they stand in the database, not as they would be written today.
func (r *read) row() []any {
	return []any{
		string(r.Who.Org), string(r.ID), r.begun, int64(r.State),
		string(r.Who.Team), string(r.Who.User), string(r.Who.Key), r.Route, r.Provider, r.Model,
		r.endpoint, r.Stream, int64(r.Status), r.class, r.failed, r.Error,
		int64(r.Waiting), int64(r.FirstToken), int64(r.Total), r.usage, r.Estimated, int64(r.Cost),
		r.Unpriced, int64(r.Estimate), r.tags, string(r.Task), string(r.Run), r.dropped, r.Agent,
		r.Cache, r.attempts, bytesOf(r.Decision), bytesOf(r.Holds),
		int64(r.Saved), r.mirrored,
	}
}
