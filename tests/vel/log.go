package vel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// Log keeps every line that a process printed. One writer, any number of readers.
type Log struct {
	mu    sync.Mutex
	lines []string
	part  []byte        // a line whose end has not come yet
	more  chan struct{} // closed and replaced when lines grew
	ended bool
}

func newLog() *Log { return &Log{more: make(chan struct{})} }

// Write takes what the process printed.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		i := bytes.IndexByte(l.part, '\n')
		if i < 0 {
			break
		}
		l.lines = append(l.lines, string(l.part[:i]))
		l.part = l.part[i+1:]
	}
	close(l.more)
	l.more = make(chan struct{})
	return len(b), nil
}

// end says that no more will come.
func (l *Log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.lines = append(l.lines, string(l.part))
	}
	l.ended = true
	close(l.more)
	l.more = make(chan struct{})
}

// Lines are all lines so far.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines[:len(l.lines):len(l.lines)]
}

// Tail is the last n lines as one text.
func (l *Log) Tail(n int) string {
	lines := l.Lines()
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Wait returns the first line that match accepts, from the start of the log on.
func (l *Log) Wait(ctx context.Context, what string, match func(line string) bool) (string, error) {
	for seen := 0; ; {
		l.mu.Lock()
		lines, more, ended := l.lines, l.more, l.ended
		l.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if match(lines[seen]) {
				return lines[seen], nil
			}
		}
		if ended {
			return "", fmt.Errorf("the log ended without %s", what)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return "", fmt.Errorf("wait for %s in the log: %w", what, ctx.Err())
		}
	}
}

// Record is one access-log line.
type Record struct {
	Msg          string   `json:"msg"`
	ID           string   `json:"id"`
	Route        string   `json:"route"`
	Provider     string   `json:"provider"`
	Model        string   `json:"model"`
	Status       int      `json:"status"`
	Stream       bool     `json:"stream"`
	Attempts     int      `json:"attempts"`
	FirstTokenMS *float64 `json:"first_token_ms"`
	TotalMS      *float64 `json:"total_ms"`
	TokensIn     int64    `json:"tokens_in"`
	TokensOut    int64    `json:"tokens_out"`
	CostUSD      string   `json:"cost_usd"`
	Unpriced     string   `json:"unpriced"`
	Key          string   `json:"key"`
	Org          string   `json:"org"`
	Class        string   `json:"class"`
	Client       string   `json:"client"`
}

// Call waits for the access-log line of the call with this x-request-id.
func (l *Log) Call(ctx context.Context, id string) (Record, error) {
	var r Record
	_, err := l.Wait(ctx, "the access line of call "+id, func(line string) bool {
		r = Record{}
		return strings.Contains(line, id) && json.Unmarshal([]byte(line), &r) == nil && r.Msg == "call" && r.ID == id
	})
	return r, err
}

// holds is the first line with one of the secrets in it, or "".
func (l *Log) holds(secrets []string) string {
	for _, line := range l.Lines() {
		for _, s := range secrets {
			if s != "" && strings.Contains(line, s) {
				return line
			}
		}
	}
	return ""
}
