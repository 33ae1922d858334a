package simulator

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patience is how long a test waits for a signal before it gives up; it is never waited out when all is well.
const patience = 20 * time.Second

// start runs a server of the test's own.
func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Stop(ended) // what a test left open is cut
		if open := s.Stats().Connections.Open; open != 0 {
			t.Errorf("%d connections are open after Stop", open)
		}
	})
	return s
}

// ask builds a request body for sim-echo around a prompt; more are members such as `"stream":true`.
func ask(prompt string, more ...string) string {
	quoted, _ := json.Marshal(prompt)
	return `{"model":"sim-echo","messages":[{"role":"user","content":` + string(quoted) + `}]` + strings.Join(append([]string{""}, more...), ",") + `}`
}

const streaming = `"stream":true`

type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body, or of the whole call
}

// post sends a body on a connection of its own and reads the answer as far as it goes.
func post(t *testing.T, s *Server, path, body string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk-test")
	return do(t, r)
}

func do(t *testing.T, r *http.Request) answer {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(got), err}
}

func chat(t *testing.T, s *Server, body string) answer {
	t.Helper()
	return post(t, s, "/v1/chat/completions", body)
}

// events returns the data of all events, by LF, CR LF or CR.
func events(body string) []string {
	var out []string
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(body), "\n") {
		if data, ok := strings.CutPrefix(line, "data:"); ok {
			out = append(out, strings.TrimPrefix(data, " "))
		}
	}
	return out
}

type chunk struct {
	ID, Object, Model string
	Created           int64
	Error             *struct{ Message, Type string }
	Usage             *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	}
	Choices []struct {
		Index  int
		Finish *string `json:"finish_reason"`
		Delta  delta
		// Message is that of a whole answer.
		Message delta
	}
}

type delta struct {
	Role    string
	Content *string
	Calls   []struct {
		Index    int
		ID, Type string
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

func parse(t *testing.T, data string) chunk {
	t.Helper()
	var c chunk
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return c
}

// content joins the content of the choice with that index over all events.
func content(t *testing.T, all []string, index int) string {
	t.Helper()
	var b strings.Builder
	for _, e := range all {
		if e == "[DONE]" {
			continue
		}
		for _, c := range parse(t, e).Choices {
			if c.Index == index && c.Delta.Content != nil {
				b.WriteString(*c.Delta.Content)
			}
		}
	}
	return b.String()
}

// await waits for the counters.
func await(t *testing.T, s *Server, ok func(Stats) bool) Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stats, err := s.Await(ctx, ok)
	if err != nil {
		t.Fatalf("%v: %+v", err, stats)
	}
	return stats
}

// dial opens a raw connection and sends a chat request on it.
func dial(t *testing.T, s *Server, body string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(rawRequest(body)); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func rawRequest(body string) []byte {
	var b bytes.Buffer
	r, _ := http.NewRequest(http.MethodPost, "http://sim/v1/chat/completions", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer sk-test")
	_ = r.Write(&b)
	return b.Bytes()
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
