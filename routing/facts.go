package routing

import (
	"bytes"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/routing/task"
)

// Facts are what planning asked, or may ask another time, of a call, besides who made it, when, and what its record says
// anyway. They are kept with its decision so that it can be planned again without its prompt: no text of the prompt is among
// them, only what was found in it.
type Facts struct {
	Tools, Images, JSONSchema bool
	MaxOutput                 int64 // as Ask's
	Task                      task.Label
	Told                      bool    // the client said what task it is
	Sure                      float32 // how much more spoke for the task than for the others; 0: it was not judged for its record
	Session, Prefix           uint64  // hashes of what calls stick by; 0: there is none, or no route sticks by the prefix
	Holder                    string
	Bound                     bool
	Headers                   map[string]string // the fields that rules of the table name, also those that are not there; not those that are too long
}

// storedFacts are facts as they stand in a record: what a decision's form says holds for theirs too. V tells a reader what
// the writer knew to keep.
type storedFacts struct {
	V       int               `json:"v"`
	Tools   bool              `json:"tools"`
	Images  bool              `json:"images"`
	Schema  bool              `json:"schema"`
	Max     int64             `json:"max"`
	Task    string            `json:"task"`
	Told    bool              `json:"told"`
	Sure    float32           `json:"sure"`
	Session uint64            `json:"session"`
	Prefix  uint64            `json:"prefix"`
	Holder  string            `json:"holder"`
	Bound   bool              `json:"bound"`
	Headers map[string]string `json:"headers"`
}

// factsVersion is what this program keeps.
const factsVersion = 1

// noted is what a plan keeps of its call until the record is written.
type noted struct {
	table   *Table
	facts   Facts // without Headers
	headers []byte
	whole   bool // Note was called
}

// note takes what of the request is gone when the answer begins.
func (n *noted) note(t *Table, a *Ask) {
	n.table = t
	n.facts = Facts{MaxOutput: a.MaxOutput, Session: a.session(), Holder: a.Holder, Bound: a.Bound}
	if a.Header == nil {
		return
	}
	n.facts.Task = task.Named(a.Header.Peek("X-Vel-Task")) // rules look here for it
	n.facts.Told = n.facts.Task != task.None
	for _, name := range t.headers {
		value := a.Header.Peek(name)
		if len(value) > longestHeader {
			continue
		}
		opened := byte(',')
		if len(n.headers) == 0 {
			opened = '{'
		}
		n.headers = gjson.AppendJSONString(append(n.headers, opened), name)
		n.headers = gjson.AppendJSONString(append(n.headers, ':'), view(value))
	}
}

// longestHeader is the longest header field that is kept, in bytes: what a rule would say of a part is not what it says of
// the whole.
const longestHeader = 256

// Note completes what AppendDecision keeps of the call for those who plan it again: input and body are those of the Ask. The
// kind of work is judged only if judge says so, or a rule has asked: that costs as much as all the rest.
func (p *Plan) Note(input, body []byte, judge bool) {
	n := &p.noted
	if n.table == nil {
		return
	}
	f := &n.facts
	n.whole = true
	f.Tools, f.Images, f.JSONSchema = offersTools(body), hasImages(input), wantsSchema(body)
	if n.table.byPrefix {
		f.Prefix = prefix(input)
	}
	switch {
	case f.Told:
	case p.Task != task.None:
		f.Task, f.Told = p.Task, p.Told
	case judge && n.table.judge != nil:
		f.Task, f.Sure = n.table.judge.Judge(input)
	}
}

// Named tells whether fields of the request's header, which are the client's text, are part of what is kept.
func (p *Plan) Named() bool { return p.noted.whole && len(p.noted.headers) > 0 }

// append appends them as JSON. What is zero is left out.
func (n *noted) append(b []byte) []byte {
	f := &n.facts
	b = strconv.AppendInt(append(b, `,"facts":{"v":`...), factsVersion, 10)
	for _, m := range []struct {
		name string
		is   bool
	}{
		{`,"tools":true`, f.Tools}, {`,"images":true`, f.Images}, {`,"schema":true`, f.JSONSchema}, {`,"told":true`, f.Told}, {`,"bound":true`, f.Bound},
	} {
		if m.is {
			b = append(b, m.name...)
		}
	}
	for _, m := range []struct {
		name string
		n    uint64
	}{{`,"max":`, uint64(max(0, f.MaxOutput))}, {`,"session":`, f.Session}, {`,"prefix":`, f.Prefix}} {
		if m.n != 0 {
			b = strconv.AppendUint(append(b, m.name...), m.n, 10)
		}
	}
	if f.Task != task.None {
		b = append(append(append(b, `,"task":"`...), f.Task.String()...), '"')
	}
	if f.Sure != 0 {
		b = strconv.AppendFloat(append(b, `,"sure":`...), float64(f.Sure), 'f', 2, 32)
	}
	if f.Holder != "" {
		b = gjson.AppendJSONString(append(b, `,"holder":`...), f.Holder)
	}
	if len(n.headers) > 0 {
		b = append(append(append(b, `,"headers":`...), n.headers...), '}')
	}
	return append(b, '}')
}

// read are the facts that were kept; nil: none were.
func (s *storedFacts) read() *Facts {
	if s == nil {
		return nil
	}
	return &Facts{
		Tools: s.Tools, Images: s.Images, JSONSchema: s.Schema, MaxOutput: s.Max, Task: task.Named([]byte(s.Task)), Told: s.Told, Sure: s.Sure,
		Session: s.Session, Prefix: s.Prefix, Holder: s.Holder, Bound: s.Bound, Headers: s.Headers,
	}
}

// session is a hash of what the client says that its calls have in common; 0: nothing.
func (a *Ask) session() uint64 {
	switch {
	case a.facts != nil:
		return a.facts.Session
	case len(a.Session) == 0:
		return 0
	}
	return hashOf(a.Session)
}

// prefix is a hash of the beginning of a conversation; 0: there is none.
func (a *Ask) prefix() uint64 {
	if a.facts != nil {
		return a.facts.Prefix
	}
	return prefix(a.Input)
}

func prefix(input []byte) uint64 {
	if len(input) == 0 {
		return 0
	}
	return hashOf(beginning(input))
}

// tools tells whether tools are offered.
func (a *Ask) tools() bool {
	if a.facts != nil {
		return a.facts.Tools
	}
	return offersTools(a.Body)
}

// images tells whether a picture is sent.
func (a *Ask) images() bool {
	if a.facts != nil {
		return a.facts.Images
	}
	return hasImages(a.Input)
}

// schema tells whether the answer has to follow a JSON schema.
func (a *Ask) schema() bool {
	if a.facts != nil {
		return a.facts.JSONSchema
	}
	return wantsSchema(a.Body)
}

// offersTools tells whether a body has tools.
func offersTools(body []byte) bool {
	return mayHave(body, `"tools"`) && gjson.Get(view(body), "tools.0").Exists()
}

// hasImages tells whether a picture is among what is asked, in chat's parts or in those of Responses.
func hasImages(input []byte) bool {
	return bytes.Contains(input, []byte(`"image_url"`)) || bytes.Contains(input, []byte(`"input_image"`))
}

// wantsSchema tells whether the answer has to follow a JSON schema, in the words of chat or of Responses.
func wantsSchema(body []byte) bool {
	if !mayHave(body, `"json_schema"`) {
		return false
	}
	text := view(body)
	return gjson.Get(text, "response_format.type").Str == "json_schema" || gjson.Get(text, "text.format.type").Str == "json_schema"
}

// mayHave tells whether a body may have a word in quotes: most have not, and finding that out is quick. One with escapes may
// have any.
func mayHave(body []byte, quoted string) bool {
	return bytes.Contains(body, []byte(quoted)) || bytes.Contains(body, []byte(`\u`))
}
