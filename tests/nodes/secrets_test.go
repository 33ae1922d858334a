package nodes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/collector"
)

// What must not be found where it does not belong. The other secrets are those of all tests here.
const (
	keptKey      = "sk-vel-canary-nodes-kept-0123456789abcdefghijklm"
	unknownKey   = "sk-vel-canary-nodes-unknown-0123456789abcdefghij"
	canaryHeader = "canary-header-0123456789"
	canaryPrompt = "canary-prompt-0123456789"
	canaryAnswer = "canary-answer-0123456789"
	canaryMember = "canary-member-0123456789" // a client sees it, in the error of its own call
	canaryDenied = "canary-denied-0123456789" // the operator sees it, in the log: what a provider says of its key
)

// telltale is a provider that tells everything it knows in its errors.
func telltale(t *testing.T) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		var q struct {
			Stream   bool
			Messages []struct{ Content string }
		}
		if json.Unmarshal(text, &q) != nil || len(q.Messages) == 0 {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		what, _, _ := strings.Cut(q.Messages[0].Content, " ")
		status, fails := failing[what]
		told := fmt.Sprintf("You sent %v", r.Header)
		if status == http.StatusUnauthorized {
			told += canaryDenied
		}
		text, _ = json.Marshal(told)
		failure := `{"error":{"message":` + string(text) + `,"type":"server_error","param":null,"code":null,"debug":"` + canaryMember + `"}}`
		const head = `{"id":"chatcmpl-1","created":1,"model":"sim-echo","object":"chat.completion`
		piece := "data: " + head + `.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"` + canaryAnswer + `"},"finish_reason":null}]}` + "\n\n"
		if fails {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, failure)
			return
		}
		switch {
		case what == "garbage":
			_, _ = fmt.Fprint(w, "no JSON: ", failure)
		case what == "cut" && q.Stream:
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, piece+"data: "+failure+"\n\n")
		case q.Stream:
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, piece+"data: "+head+`.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, head+`","choices":[{"index":0,"message":{"role":"assistant","content":"`+canaryAnswer+`"},"finish_reason":"stop"}]}`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// failing are the words by which the telltale fails, and how.
var failing = map[string]int{"refuse": 400, "deny": 401, "limit": 429, "break": 500, "overload": 503}

// TestRecordsKeepSecrets: what a client and a provider say in confidence, and every key, is looked for in all that recording
// leaves behind: log, metrics, traces, the database, the spool and what was put aside in it, and error answers. Prompts and
// answers of an organization that keeps them are in the database, sealed, without keys.
func TestRecordsKeepSecrets(t *testing.T) {
	t.Parallel()
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			to := collector.Start(t)
			o := optionsAt(telltale(t), `otel: {endpoint: "`+to.URL+`", sample: 1}`, "KEPT_KEY="+keptKey)
			o.Config += "  kept: {keep_content: true, keys: {kept: {key: env:KEPT_KEY}}}\n"
			o.Canaries = append(o.Canaries, keptKey, unknownKey, canaryHeader, canaryPrompt, canaryAnswer, canaryMember)
			tables, dead := func() []byte { return nil }, 0
			if engine == "postgres" {
				db := server.Database(t)
				o.Env = append(o.Env, "DATABASE_URL="+db.URL)
				tables = func() []byte { return dump(t, db.Name) }
				n := launch(t, t.TempDir(), o) // makes the tables
				if err := n.Stop(); err != nil {
					t.Fatal(err)
				}
				server.SQL(t, db.Name, `alter table calls add constraint never check (tags not like '%never%')`)
				dead = 3
			}
			c := &confidant{node: start(t, o)}
			kept := c.everything(t)
			c.ships(t, patience)
			soon(t, patience, "all calls to be there", func() bool { return len(c.recorded(t)) == c.calls-dead })
			soon(t, patience, "the traces to come", func() bool { return len(to.Spans()) > c.calls })
			places := files(t, filepath.Join(c.Dir, "data"))
			if found := len(places); found < 3 || dead > 0 != strings.Contains(fmt.Sprint(slices.Collect(maps.Keys(places))), "/dead/") {
				t.Errorf("%d files, %d records were put aside: %v", found, dead, slices.Collect(maps.Keys(places)))
			}
			places["tables"], places["traces"] = tables(), bytes.Join(to.Bodies(), nil)
			places["metrics"], places["errors"] = c.ask(t, "GET", "/metrics", nil).body, c.errors.Bytes()
			places["export"] = c.ask(t, "GET", "/api/calls/export", nil).body
			for place, text := range places {
				for _, secret := range append(c.Guarded(), canaryDenied) {
					if at := bytes.Index(text, []byte(secret)); at >= 0 && (secret != canaryMember || place != "errors") {
						t.Errorf("%s has %s: %.300q", place, secret, text[max(0, at-200):])
					}
				}
			}
			for _, place := range []string{"metrics", "traces", "export"} {
				if !bytes.Contains(places[place], []byte("sim-echo")) {
					t.Errorf("%s has nothing", place)
				}
			}
			c.keeps(t, kept)
		})
	}
}

// confidant makes calls with secrets in them.
type confidant struct {
	*node
	calls  int // that leave a record
	errors bytes.Buffer
}

// everything makes all calls, and gives the id of one of which the content is kept.
func (c *confidant) everything(t *testing.T) (kept string) {
	t.Helper()
	made := c.newKey(t, c.newOrg(t, "acme"), "made", nil).secret // of which Vel keeps only a hash
	c.Guard(made)
	soon(t, heard, "the new key to open", func() bool { return c.metric(t, "vel_keys") == 3 })
	for _, key := range []string{made, fileKey, keptKey} {
		for _, what := range []string{"refuse", "deny", "limit", "break", "overload", "garbage", "cut"} {
			c.say(t, key, "sim-echo", what, false)
			c.say(t, key, "sim-echo", what, true)
		}
		c.say(t, key, key, "fine", false) // a client that has mixed up two variables
		c.say(t, key, "sim-echo", "never", true)
		kept = c.say(t, key, "sim-echo", "fine", false).header.Get("X-Request-Id")
	}
	c.say(t, unknownKey, "sim-echo", "fine", false)
	c.calls-- // nobody's
	return kept
}

func (c *confidant) say(t *testing.T, key, model, what string, stream bool) answer {
	t.Helper()
	c.calls++
	prompt := strings.Join([]string{what, canaryPrompt, key, simKey}, " ")
	content := object{"model": model, "stream": stream, "messages": []object{{"role": "user", "content": prompt}}}
	a, err := c.do(t.Context(), key, "POST", "/v1/chat/completions?token="+canaryHeader, content, "X-Canary: "+canaryHeader, "Cookie: session="+canaryHeader, "x-vel-tags: what="+what)
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK {
		fmt.Fprintf(&c.errors, "%v\n%s\n", a.header, a.body)
	}
	return a
}

// keeps wants what was said in a call to be there for who may read it, without keys.
func (c *confidant) keeps(t *testing.T, call string) {
	t.Helper()
	a := c.must(t, http.StatusOK, "GET", "/api/calls/"+call+"?content=true&organization=org:kept", nil)
	for text, want := range map[string]bool{canaryPrompt: true, canaryAnswer: true, "***": true, keptKey: false, simKey: false, canaryHeader: false} {
		if strings.Contains(string(a.body), text) != want {
			t.Errorf("what was said has %q: %t, want %t\n%s", text, !want, want, a.body)
		}
	}
}

// files are what a node keeps, but for the key that seals.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".key") {
			return err
		}
		text, err := os.ReadFile(path)
		found[strings.TrimPrefix(path, dir)] = append(text, letters(text)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// letters are the records in a file of those that were put aside.
func letters(text []byte) (records []byte) {
	for line := range bytes.Lines(text) {
		var letter struct{ Record []byte }
		if json.Unmarshal(line, &letter) == nil {
			records = append(records, letter.Record...)
		}
	}
	return records
}

// dump is all that a database has, as text.
func dump(t *testing.T, database string) []byte {
	t.Helper()
	var all strings.Builder
	for table := range strings.Lines(server.SQL(t, database, `select tablename from pg_tables where schemaname = current_schema()`)) {
		all.WriteString(server.SQL(t, database, "set bytea_output to escape; select * from "+strings.TrimSpace(table)))
	}
	return []byte(all.String())
}
