package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// manageSpec is what one process that manages keys by the API shall do; it travels as one JSON argument.
type manageSpec struct {
	Addr   string
	Conns  int
	Pace   time.Duration // each connection begins a request this often; 0: at once after the last
	Warmup time.Duration
	Window time.Duration
}

// manageResult is what was seen in the window, printed as JSON.
type manageResult struct {
	Reads, Writes quantiles
	Seconds       float64
}

// manageRole keeps all connections busy with the API through the warm-up and the window. One wrong answer fails it.
func manageRole(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return usageError{errors.New("bench manage takes one JSON argument")}
	}
	var spec manageSpec
	if err := json.Unmarshal([]byte(args[0]), &spec); err != nil {
		return usageError{fmt.Errorf("manage spec: %w", err)}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	var measuring atomic.Bool
	var all sync.WaitGroup
	managers := make([]*manager, spec.Conns)
	for i := range managers {
		m := &manager{addr: spec.Addr, name: fmt.Sprintf("managed %d, %d", i, began.UnixNano()), measuring: &measuring}
		managers[i] = m
		all.Go(func() {
			if err := m.repeat(ctx, i%errandsOfRound, spec.Pace*time.Duration(i)/time.Duration(spec.Conns), spec.Pace); err != nil {
				cancel(err)
			}
		})
	}
	pauseUntil(ctx, time.Now().Add(spec.Warmup))
	measuring.Store(true)
	began = time.Now()
	pauseUntil(ctx, began.Add(spec.Window))
	measuring.Store(false)
	result := manageResult{Seconds: time.Since(began).Seconds()}
	cause := context.Cause(ctx)
	cancel(nil)
	all.Wait()
	if cause != nil {
		return cause
	}
	var reads, writes []time.Duration
	for _, m := range managers {
		reads, writes = append(reads, m.reads...), append(writes, m.writes...)
	}
	result.Reads, result.Writes = quantilesOf(reads), quantilesOf(writes)
	return json.NewEncoder(os.Stdout).Encode(result)
}

// manager is one connection whose owner looks at keys and now and then makes, changes and deletes one of their own. It
// belongs to one goroutine.
type manager struct {
	addr, name    string
	measuring     *atomic.Bool
	conn          net.Conn
	r             *bufio.Reader
	id            string // of their own key
	reads, writes []time.Duration
}

// errand is one request. A write changes something.
type errand struct {
	method, path, body string
	status             int
	write              bool
}

const keysPath = "/api/keys?organization=" + benchOrg

// errandsOfRound is how many requests a round has.
const errandsOfRound = 15

// errands are rounds without an end, four of five requests read. It begins with so many lists, so that managers are not
// all at the same errand.
func (m *manager) errands(lists int) iter.Seq[errand] {
	list := errand{method: "GET", path: keysPath + "&limit=20", status: 200}
	own := func(method, body string, status int) errand {
		return errand{method, "/api/keys/" + m.id + "?organization=" + benchOrg, body, status, method != "GET"}
	}
	body := func(models string) string { return `{"name":"` + m.name + `","models":[` + models + `]}` }
	return func(yield func(errand) bool) {
		for i := -lists; ; i++ {
			e := list
			switch i % errandsOfRound { // below 0 at first: a list
			case 1:
				e = errand{"POST", keysPath, body(""), 201, true}
			case 2, 4, 7, 8:
				e = own("GET", "", 200)
			case 6:
				e = own("PUT", body(`"`+modelName+`"`), 200)
			case 11:
				e = own("DELETE", "", 204)
			}
			if !yield(e) {
				return
			}
		}
	}
}

// repeat goes on errands until the context ends. It begins after the given wait, and with a pace it begins one each pace
// at most.
func (m *manager) repeat(ctx context.Context, lists int, wait, pace time.Duration) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", m.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	m.conn, m.r = conn, bufio.NewReader(conn)
	next := time.Now().Add(wait)
	for e := range m.errands(lists) {
		if !pauseUntil(ctx, next) {
			return nil
		}
		next = next.Add(pace)
		began := time.Now()
		err := m.run(e)
		took := time.Since(began)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", e.method, e.path, err)
		}
		switch {
		case !m.measuring.Load():
		case e.write:
			m.writes = append(m.writes, took)
		default:
			m.reads = append(m.reads, took)
		}
	}
	return nil
}

// run sends one request and reads the whole answer.
func (m *manager) run(e errand) error {
	_, err := io.WriteString(m.conn, e.method+" "+e.path+" HTTP/1.1\r\nHost: "+m.addr+"\r\nAuthorization: Bearer "+adminKey+
		"\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(e.body))+"\r\n\r\n"+e.body)
	if err != nil {
		return fmt.Errorf("send: %w", err)
	}
	h, err := readHead(m.r)
	if err != nil {
		return fmt.Errorf("wait for the answer: %w", noEOF(err))
	}
	var text []byte
	if h.status != 204 {
		if text, err = readWhole(m.r, h); err != nil {
			return err
		}
	}
	if h.status != e.status || h.close {
		return fmt.Errorf("status %d, close %t: %.300s", h.status, h.close, text)
	}
	if e.method == "POST" {
		_, rest, _ := bytes.Cut(text, []byte(`"id":"`))
		id, _, found := bytes.Cut(rest, []byte(`"`))
		if !found {
			return fmt.Errorf("no id in %.300s: %w", text, errShape)
		}
		m.id = string(id)
	}
	return nil
}

func readWhole(r *bufio.Reader, h head) (text []byte, err error) {
	body, err := newBodyReader(r, h)
	for err == nil {
		var piece []byte
		piece, err = body.next()
		text = append(text, piece...)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return text, err
}
