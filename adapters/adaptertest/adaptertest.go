// Package adaptertest proves codecs, all with one suite.
//
// It owns what every codec owes its callers: golden answers, the same output however a stream is cut, nothing
// changed in what came in, nothing copied that can pass, and an understanding of errors in every shape that is
// known. It does not own the golden files of an adapter; those lie in the adapter's testdata:
//
//	requests/NAME.json   a client's request      NAME.want   what the provider gets, or why it gets nothing
//	requests/NAME.form   the same in parts
//	answers/NAME.json    a provider's answer     NAME.want   what the client gets, then the usage or the error
//	answers/NAME.txt     the same as plain text
//	streams/NAME.sse     a provider's stream     NAME.want   the same
//	errors/                                      NAME.want   what is understood of errors/NAME.http of this package
//
// "go test -run Conformance -update" writes the wanted files anew; read the difference before it is committed.
package adaptertest

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"

	"github.com/vel-gateway/vel/adapters"
)

var update = flag.Bool("update", false, "write the wanted files of the adapters anew")

//go:embed errors/*.http
var foreign embed.FS

// Suite is one codec and its golden files.
type Suite struct {
	Codec    adapters.Codec
	Endpoint adapters.Endpoint
	Dir      string // where the golden files are
	Model    string // the provider's name of the model in all requests
	Passes   bool   // bytes pass: output must alias the input
	Question string // the request that all answers and streams are for
	Errors   string // the folder with what is understood of errors; that of Dir unless set
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Run("requests", s.requests)
	t.Run("answers", s.answers)
	if _, err := os.Stat(filepath.Join(s.Dir, "streams")); err == nil { // not every endpoint has them
		t.Run("streams", s.streams)
	}
	t.Run("errors", s.errors)
}

// Parse reads a request as the gateway does. A body in parts is known by its first line.
func Parse(t testing.TB, e adapters.Endpoint, body []byte) *adapters.Content {
	t.Helper()
	c, err := parse(e, body)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parse(e adapters.Endpoint, body []byte) (*adapters.Content, error) {
	c := &adapters.Content{Endpoint: e, Method: "POST", Path: []byte("/files/file-1/content"), ContentType: []byte("application/json")}
	if rest, ok := bytes.CutPrefix(body, []byte("--")); ok {
		boundary, _, _ := bytes.Cut(rest, []byte("\r\n"))
		c.ContentType = fmt.Appendf(nil, "multipart/form-data; boundary=%q", boundary)
	}
	var q adapters.Question
	return c, adapters.Parse(body, c, &q)
}

func (s Suite) requests(t *testing.T) {
	t.Parallel()
	s.each(t, "requests", []string{".json", ".form"}, func(t *testing.T, _ string, in []byte) string {
		content, err := parse(s.Endpoint, in)
		if err != nil {
			return report(nil, adapters.Usage{}, err)
		}
		var first string
		var r adapters.Request
		for range 2 { // every attempt encodes from the original
			r.Reset()
			if err := s.Codec.EncodeRequest(&r, content, s.Model); err != nil {
				return report(nil, adapters.Usage{}, err)
			}
			got := fmt.Sprintf("%s %s\n%s", r.Method, r.Path, fields(r.Header)) + "\n" + string(bytes.Join(r.Body, nil))
			for _, path := range r.Dropped {
				got += "\ndropped " + path
			}
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("encoded again it is\n%s\nafter\n%s", got, first)
			}
		}
		if s.Passes {
			for _, slice := range r.Body {
				if !within(slice, in) && len(slice) > largestEdit {
					t.Errorf("%.40q… was copied", slice)
				}
			}
		}
		return first
	})
}

// largestEdit is how many new bytes a request that passes may have in one place: a name, a short member.
const largestEdit = 128

func (s Suite) answers(t *testing.T) {
	t.Parallel()
	content := s.question(t)
	s.each(t, "answers", []string{".json", ".txt"}, func(t *testing.T, ext string, in []byte) string {
		h := header{"content-type": "application/json"}
		if ext == ".txt" {
			h["content-type"] = "text/plain; charset=utf-8"
		}
		out, usage, err := s.Codec.DecodeResponse(nil, content, h, in)
		s.checkAliases(t, out, in)
		if err != nil {
			return report(nil, adapters.Usage{}, err)
		}
		return report(out, usage, nil)
	})
}

func (s Suite) streams(t *testing.T) {
	t.Parallel()
	s.each(t, "streams", []string{".sse"}, func(t *testing.T, _ string, in []byte) string {
		want := s.stream(t, in)
		for i := range in {
			if got := s.stream(t, in[:i], in[i:]); got != want {
				t.Fatalf("cut at %d it gives\n%s\nand in one piece\n%s", i, got, want)
			}
		}
		bytewise := make([][]byte, len(in))
		for i := range in {
			bytewise[i] = in[i : i+1]
		}
		if got := s.stream(t, bytewise...); got != want {
			t.Fatalf("byte by byte it gives\n%s\nand in one piece\n%s", got, want)
		}
		return want
	})
}

// stream decodes a stream from memory that is overwritten as soon as the codec may not use it any more.
func (s Suite) stream(t *testing.T, pieces ...[]byte) string {
	t.Helper()
	st := s.Codec.DecodeStream(s.question(t), header{})
	var all []byte
	take := func(out [][]byte, err error) error {
		all = append(all, bytes.Join(out, nil)...)
		return err
	}
	for _, piece := range pieces {
		p := bytes.Clone(piece)
		out, err := st.Feed(nil, p)
		if len(all) > 0 {
			s.checkAliases(t, out, p)
		}
		if take(out, err) != nil {
			return report([][]byte{all}, adapters.Usage{}, err)
		}
		for i := range p {
			p[i] = '#'
		}
	}
	out, err := st.End(nil)
	var truncated *adapters.Error
	if errors.As(err, &truncated) && truncated.Class == adapters.ClassTruncated && len(out) > 0 {
		t.Errorf("a truncated stream was completed with %q", out)
	}
	_ = take(out, err)
	usage, seen := st.Usage()
	if !seen && usage != (adapters.Usage{}) {
		t.Error("there is usage that was not seen")
	}
	return report([][]byte{all}, usage, err)
}

func (s Suite) errors(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(foreign, "errors/*.http")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := foreign.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			status, h, body := answer(t, raw)
			e := s.Codec.DecodeError(status, h, body)
			if e == nil {
				t.Fatal("there is no error")
			}
			CheckError(t, e)
			dir := s.Errors
			if dir == "" {
				dir = filepath.Join(s.Dir, "errors")
			}
			s.compare(t, filepath.Join(dir, name), report(nil, adapters.Usage{}, e))
		})
	}
}

// CheckError checks what every decoded error owes to whoever writes it to a client.
func CheckError(t testing.TB, e *adapters.Error) {
	t.Helper()
	switch {
	case e.Class == adapters.ClassNone:
		t.Error("the error has no class")
	case e.Message == "" || e.Type == "":
		t.Errorf("message %q and type %q must both be there", e.Message, e.Type)
	case !utf8.ValidString(e.Message + e.Type + e.Code + e.Param):
		t.Errorf("%q is not UTF-8", e.Message)
	case e.RetryAfter < 0:
		t.Errorf("retry after %v", e.RetryAfter)
	}
	if e.Body == nil {
		return
	}
	var wire struct {
		Error map[string]any `json:"error"`
	}
	if err := json.Unmarshal(e.Body, &wire); err != nil {
		t.Fatalf("%s: %v", e.Body, err)
	}
	for key, nullable := range map[string]bool{"message": false, "type": false, "param": true, "code": true} {
		value, there := wire.Error[key]
		if _, text := value.(string); !there || !text && (value != nil || !nullable) {
			t.Errorf("%s: %s is %v", e.Body, key, value)
		}
	}
}

// question is the request that is answered: one that asks for one answer, unless the suite has its own.
func (s Suite) question(t *testing.T) *adapters.Content {
	body := s.Question
	if body == "" {
		body = `{"model":"m","messages":[],"input":"x","prompt":"x","stream":true}`
	}
	return Parse(t, s.Endpoint, []byte(body))
}

func (s Suite) each(t *testing.T, kind string, exts []string, decode func(t *testing.T, ext string, in []byte) string) {
	files, err := os.ReadDir(filepath.Join(s.Dir, kind))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, file := range files {
		ext := filepath.Ext(file.Name())
		if !slices.Contains(exts, ext) {
			continue
		}
		found = true
		name := strings.TrimSuffix(file.Name(), ext)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(filepath.Join(s.Dir, kind, file.Name()))
			if err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(in)
			got := decode(t, ext, in)
			if !bytes.Equal(in, before) {
				t.Error("the input was changed")
			}
			s.compare(t, filepath.Join(s.Dir, kind, name), got)
		})
	}
	if !found {
		t.Fatalf("no golden files for %s", kind)
	}
}

func (s Suite) compare(t *testing.T, name, got string) {
	t.Helper()
	path := name + ".want"
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func (s Suite) checkAliases(t *testing.T, out [][]byte, in []byte) {
	t.Helper()
	for _, slice := range out {
		if s.Passes && !within(slice, in) {
			t.Errorf("%.40q… was copied", slice)
		}
	}
}

// within tells whether the slice lies in the memory of whole.
func within(slice, whole []byte) bool {
	if len(slice) == 0 {
		return true
	}
	start := uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	at := uintptr(unsafe.Pointer(unsafe.SliceData(slice)))
	return start <= at && at+uintptr(len(slice)) <= start+uintptr(len(whole))
}

// units names the classes of usage, in their order.
var units = []string{"input", "cache read", "cache write", "output", "reasoning", "audio in", "audio out", "image in", "image out", "audio ms", "images", "searches", "requests"}

// report is what the golden files hold: the bytes, then what was understood.
func report(out [][]byte, usage adapters.Usage, err error) string {
	var b strings.Builder
	b.Write(bytes.Join(out, nil))
	b.WriteString("\n-----\n")
	for unit, n := range usage {
		if n != 0 {
			fmt.Fprintf(&b, "%s %d\n", units[unit], n)
		}
	}
	var e *adapters.Error
	switch {
	case errors.As(err, &e):
		fmt.Fprintf(&b, "class %v\nstatus %d\ntype %s\ncode %s\nparam %s\n", e.Class, e.Status, e.Type, e.Code, e.Param)
		fmt.Fprintf(&b, "message %s\nretry after %v\ntold %t\nbody %s\n", e.Message, e.RetryAfter, e.Told, e.Body)
	case err != nil:
		fmt.Fprintf(&b, "an error of another type: %v\n", err)
	}
	return b.String()
}

func fields(list []adapters.Field) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}

// header is the head of an answer.
type header map[string]string

// Peek reads one field.
func (h header) Peek(name string) []byte { return []byte(h[strings.ToLower(name)]) }

// answer reads a stored answer: a status line, fields, an empty line, and the body without its last line end.
func answer(t *testing.T, raw []byte) (status int, h header, body []byte) {
	t.Helper()
	head, body, ok := bytes.Cut(raw, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	status, err := strconv.Atoi(lines[0])
	if err != nil || !ok {
		t.Fatalf("not a stored answer: %q", raw)
	}
	h = header{}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ": ")
		h[strings.ToLower(name)] = value
	}
	return status, h, bytes.TrimSuffix(slices.Clip(body), []byte("\n"))
}
