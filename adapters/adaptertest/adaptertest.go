// Package adaptertest proves codecs, all with one suite.
//
// It owns what every codec owes its callers: golden answers, the same output however a stream is cut, nothing
// changed in what came in, nothing copied that can pass, and an understanding of errors in every shape that is
// known. It does not own the golden files of an adapter; those lie in the adapter's testdata:
//
//	requests/NAME.json   a client's request      NAME.want   what the provider gets
//	answers/NAME.json    a provider's answer     NAME.want   what the client gets, then the usage or the error
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
}

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Run("requests", s.requests)
	t.Run("answers", s.answers)
	t.Run("streams", s.streams)
	t.Run("errors", s.errors)
}

// Parse reads a chat request as the gateway does.
func Parse(t testing.TB, e adapters.Endpoint, body []byte) *adapters.Content {
	t.Helper()
	c := &adapters.Content{Endpoint: e, Method: "POST", ContentType: []byte("application/json")}
	var q adapters.Question
	if err := adapters.Parse(body, c, &q); err != nil {
		t.Fatal(err)
	}
	return c
}

func (s Suite) requests(t *testing.T) {
	t.Parallel()
	s.each(t, "requests", ".json", func(t *testing.T, in []byte) string {
		content := Parse(t, s.Endpoint, in)
		var first string
		var r adapters.Request
		for range 2 { // every attempt encodes from the original
			r.Reset()
			if err := s.Codec.EncodeRequest(&r, content, s.Model); err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%s %s\n%s", r.Method, r.Path, fields(r.Header)) + "\n" + string(bytes.Join(r.Body, nil))
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("encoded again it is\n%s\nafter\n%s", got, first)
			}
		}
		if s.Passes {
			for _, slice := range r.Body {
				if !within(slice, in) && string(slice) != inQuotes(s.Model) {
					t.Errorf("%.40q… was copied", slice)
				}
			}
		}
		return first
	})
}

func (s Suite) answers(t *testing.T) {
	t.Parallel()
	content := s.question()
	s.each(t, "answers", ".json", func(t *testing.T, in []byte) string {
		out, usage, err := s.Codec.DecodeResponse(nil, content, header{}, in)
		s.checkAliases(t, out, in)
		if err != nil {
			return report(nil, adapters.Usage{}, err)
		}
		return report(out, usage, nil)
	})
}

func (s Suite) streams(t *testing.T) {
	t.Parallel()
	s.each(t, "streams", ".sse", func(t *testing.T, in []byte) string {
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
	st := s.Codec.DecodeStream(s.question(), header{})
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
			s.compare(t, filepath.Join("errors", name), report(nil, adapters.Usage{}, e))
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

// question is a request that asks for one answer.
func (s Suite) question() *adapters.Content {
	body := []byte(`{"model":"m","messages":[],"stream":true}`)
	return &adapters.Content{Endpoint: s.Endpoint, Method: "POST", Body: body, Model: adapters.Span{Start: 9, End: 12}, Stream: true}
}

func (s Suite) each(t *testing.T, kind, ext string, decode func(*testing.T, []byte) string) {
	files, err := filepath.Glob(filepath.Join(s.Dir, kind, "*"+ext))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files for %s: %v", kind, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ext)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(in)
			got := decode(t, in)
			if !bytes.Equal(in, before) {
				t.Error("the input was changed")
			}
			s.compare(t, filepath.Join(kind, name), got)
		})
	}
}

func (s Suite) compare(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join(s.Dir, name+".want")
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

// inQuotes is a name as it stands between the quotes of a JSON string.
func inQuotes(model string) string {
	quoted, _ := json.Marshal(model)
	return string(quoted[1 : len(quoted)-1])
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
