package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vel-gateway/vel/tasks"
)

// The items of a batch: few in the body that makes it, or lines of JSON of which any number is read as it comes.

// BatchItemBody is one item.
type BatchItemBody struct {
	CustomID string          `json:"custom_id,omitempty" maxLength:"200" doc:"What you call it."`
	Body     json.RawMessage `json:"body" doc:"The whole request."`
}

type addItemsInput struct {
	Asked
	Item
	From int64 `query:"from" minimum:"0" default:"0" doc:"How many items there are before these: who is not sure that they have arrived sends them again."`
}

func (s *Server) serveItems(op func(id, method, path, summary, description string) huma.Operation) {
	items := op("add-batch-items", http.MethodPost, "/api/batches/{id}/items", "Add items",
		"Lines of JSON, each an item: {\"custom_id\": …, \"body\": {…}}; those of OpenAI's batches are taken too. One request has at most server.max_upload bytes; send as many as you need, one after the other, with from.")
	items.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"application/x-ndjson": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}}
	add(s, items, s.addItems, withBody(http.StatusNotFound, http.StatusConflict)...)
}

// TakesItems tells whether a path takes the items of a batch, which are more than other bodies have.
func TakesItems(path string) bool {
	rest, ok := strings.CutPrefix(path, "/api/batches/")
	return ok && strings.HasSuffix(rest, "/items") && strings.Count(rest, "/") == 1
}

// itemsAtOnce is how many items are stored in one transaction.
const itemsAtOnce = 500

func (s *Server) addInParts(ctx context.Context, b *tasks.Batch, from int64, items []tasks.NewItem) (total int64, err error) {
	for begin := 0; begin < len(items); begin += itemsAtOnce {
		part := items[begin:min(begin+itemsAtOnce, len(items))]
		if total, err = s.batchStore().AddItems(ctx, b.Org, b.ID, from+int64(begin), part); err != nil {
			return total, ofBatch(err)
		}
	}
	return total, nil
}

// itemsOf makes the items of a batch that its body has.
func (s *Server) itemsOf(b *tasks.Batch, bodies []BatchItemBody) ([]tasks.NewItem, error) {
	items := make([]tasks.NewItem, 0, len(bodies))
	for i := range bodies {
		item, err := s.item(b, int64(i), &bodies[i])
		if err != nil {
			return nil, itemFault("body.items["+strconv.Itoa(i)+"]", err)
		}
		items = append(items, item)
	}
	return items, nil
}

// item makes one item: its request is checked, sealed and estimated.
func (s *Server) item(b *tasks.Batch, number int64, of *BatchItemBody) (tasks.NewItem, error) {
	body, model, err := tasks.Prepare(b.Endpoint, of.Body, false)
	if err != nil {
		return tasks.NewItem{}, err
	}
	t := b.Item(number, of.CustomID, model)
	item := tasks.NewItem{Task: t, Request: tasks.SealContent(s.Keyring, t.Org, t.ID, body), Bytes: int64(len(body))}
	if s.Work.Estimate != nil { // what can not be called now may be when it is
		item.Cost, item.Priced, _ = s.Work.Estimate(&tasks.Request{As: b.As, Endpoint: b.Endpoint, Body: body})
	}
	return item, nil
}

// itemFault says what is wrong with an item, and where.
func itemFault(at string, err error) error {
	if wrong, ok := errors.AsType[*tasks.Fault](err); ok {
		return faulty(Fault{at + "." + wrong.Path, wrong.Text})
	}
	return err
}

// addItems stores the lines of a body as they come: what is stored need not be held. Where one is wrong, those before it
// may be stored; the total of the batch tells how many.
func (s *Server) addItems(ctx context.Context, in *addItemsInput) (*batchOutput, error) {
	b, err := s.ownBatch(ctx, in.ask, &in.Item)
	if err != nil {
		return nil, err
	}
	if err := s.addLines(ctx, &b, in.From, in.ask.request.Body); err != nil {
		return nil, err
	}
	if b, err = s.batchStore().Batch(ctx, b.Org, b.ID); err != nil {
		return nil, err
	}
	names := s.namer(ctx)
	return &batchOutput{viewBatch(&b, names)}, names.err
}

// longestLine is the most bytes of a line; the whole body is bounded by who serves it.
const longestLine = 16 << 20

func (s *Server) addLines(ctx context.Context, b *tasks.Batch, from int64, body io.Reader) error {
	lines, number := bufio.NewScanner(body), 0
	lines.Buffer(make([]byte, 0, 64<<10), longestLine)
	var items []tasks.NewItem
	for lines.Scan() {
		if number++; len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		item, err := s.line(b, from+int64(len(items)), lines.Bytes())
		if err != nil {
			return itemFault("body.line["+strconv.Itoa(number)+"]", err)
		}
		if items = append(items, item); len(items) == itemsAtOnce {
			if _, err := s.addInParts(ctx, b, from, items); err != nil {
				return err
			}
			from, items = from+int64(len(items)), items[:0]
		}
	}
	if err := lines.Err(); err != nil {
		return brokenOff(err, number+1)
	}
	if number == 0 {
		return malformed.new("The body is missing.")
	}
	_, err := s.addInParts(ctx, b, from, items)
	return err
}

// brokenOff says why lines could not be read to their end.
func brokenOff(err error, number int) error {
	if much, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge.new("The body has more than " + strconv.FormatInt(much.Limit, 10) + " bytes (server.max_upload).")
	}
	if errors.Is(err, bufio.ErrTooLong) {
		return faulty(Fault{"body.line[" + strconv.Itoa(number) + "]", "expected at most " + strconv.Itoa(longestLine) + " bytes"})
	}
	return malformed.new("The body broke off.").because(err)
}

// line makes an item of a line.
func (s *Server) line(b *tasks.Batch, number int64, line []byte) (tasks.NewItem, error) {
	var of BatchItemBody
	if err := json.Unmarshal(line, &of); err != nil || len(of.Body) == 0 {
		return tasks.NewItem{}, &tasks.Fault{Path: "body", Text: `expected a line such as {"custom_id": "1", "body": {"model": …}}`}
	}
	if len(of.CustomID) > longestCustomID {
		return tasks.NewItem{}, &tasks.Fault{Path: "custom_id", Text: "expected at most 200 characters"}
	}
	return s.item(b, number, &of)
}

const longestCustomID = 200
