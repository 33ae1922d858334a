package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"strconv"
	"strings"
	"time"
)

const (
	mostImages     = 10
	mostPartials   = 3
	imageTokens    = 272 // of a square image of low quality, as OpenAI counts
	imageBytes     = 20_000
	imageSide      = 64
	pngEnd         = 12 // bytes of the last chunk
	imageLifeHours = 2
)

// imageRequest is what the simulator reads of any request for images.
type imageRequest struct {
	event    string // image_generation or image_edit
	model    string
	prompt   string
	words    []string
	n        int
	size     string
	quality  string
	output   string // png, jpeg or webp
	url      bool
	stream   bool
	partials int
	sources  []Part
	tokens   int
}

// imageFields reads what is the same in JSON and in a form: text by its name.
func imageFields(event string, field func(string) string) (*imageRequest, *apiError) {
	q := &imageRequest{
		event: event, model: field("model"), n: 1, size: "1024x1024", quality: "medium", output: "png",
		url: field("response_format") == "url", stream: field("stream") == "true",
	}
	for name, to := range map[string]*string{"size": &q.size, "quality": &q.quality, "output_format": &q.output} {
		if v := field(name); v != "" && v != "auto" {
			*to = v
		}
	}
	for name, to := range map[string]*int{"n": &q.n, "partial_images": &q.partials} {
		if v := field(name); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				return nil, errType(name, "an integer", "a string")
			}
			*to = n
		}
	}
	if q.n < 1 || q.n > mostImages {
		return nil, bounded("n", "out of range", "integer_above_max_value", "from 1 to 10", q.n)
	}
	if q.partials < 0 || q.partials > mostPartials {
		return nil, bounded("partial_images", "out of range", "integer_above_max_value", "from 0 to 3", q.partials)
	}
	q.words, q.prompt = markers(field("prompt"))
	if given, _ := markers(field("user")); len(given) > 0 {
		q.words = append(q.words, given...) // variations have no prompt
	}
	q.tokens = countTokens(q.prompt)
	return q, nil
}

// readGeneration understands POST /v1/images/generations.
func readGeneration(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	q, e := imageFields("image_generation", func(name string) string {
		value, ok := m.has(name)
		var text string
		if ok && json.Unmarshal(value, &text) != nil {
			return string(value)
		}
		return text
	})
	if e != nil {
		return job{}, e
	}
	if q.prompt == "" && len(q.words) == 0 {
		return job{}, errMissing("prompt")
	}
	return c.imageJob(q)
}

// readEdit understands POST /v1/images/edits, a form.
func readEdit(c *call) (job, *apiError) { return c.imageForm("image_edit", true) }

// readVariation understands POST /v1/images/variations, a form.
func readVariation(c *call) (job, *apiError) { return c.imageForm("image_variation", false) }

func (c *call) imageForm(event string, prompted bool) (job, *apiError) {
	f, e := c.readForm()
	if e != nil {
		return job{}, e
	}
	q, e := imageFields(event, f.value)
	if e != nil {
		return job{}, e
	}
	if q.sources = f.files("image"); len(q.sources) == 0 {
		return job{}, errMissing("image")
	}
	q.sources = append(q.sources, f.files("mask")...)
	if prompted && q.prompt == "" && len(q.words) == 0 {
		return job{}, errMissing("prompt")
	}
	q.tokens += imageTokens * len(q.sources)
	return c.imageJob(q)
}

func (c *call) imageJob(q *imageRequest) (job, *apiError) {
	if q.model == "" {
		q.model = c.server.provider.Profiles[0].Model // it has a default
	}
	return job{
		model: q.model, words: q.words, param: "prompt", tokens: q.tokens, stream: q.stream,
		make: func(c *call) (reply, *apiError) {
			return &imageReply{q: q, created: time.Now().Unix(), bytes: c.faults.size.or(imageBytes), host: c.server.Addr(), usage: c.faults.usage != "none"}, nil
		},
	}, nil
}

// imageReply is an answer with images on its way.
type imageReply struct {
	q       *imageRequest
	created int64
	bytes   int // of one image; size=N asks for others
	host    string
	made    int
	usage   bool
}

func (r *imageReply) units() (input, output int) { return r.q.tokens, r.made }

// told says what was asked, with the digests of the images that came with it.
func (r *imageReply) told() string {
	text := r.q.prompt
	for _, p := range r.q.sources {
		text += fmt.Sprintf(" [%s %q, %d bytes, SHA-256 %s]", p.Name, p.Filename, p.Length, p.SHA256)
	}
	return strings.TrimSpace(text)
}

func (r *imageReply) whole(*faults) (body []byte, pieces int) {
	data := make([]obj, r.q.n)
	for i := range data {
		data[i] = obj{"revised_prompt": r.told()}
		r.made += imageTokens
		if r.q.url {
			data[i]["url"] = fmt.Sprintf("http://%s/images/%s.png?expires=%d", r.host, digest([]byte(r.told()))[:24], r.created+imageLifeHours*3600)
		} else {
			data[i]["b64_json"] = r.image(i)
		}
	}
	doc := r.described()
	doc["created"], doc["data"] = r.created, data
	return encode(doc), r.q.n
}

// described are the members that tell how an image was made.
func (r *imageReply) described() obj {
	doc := obj{"background": "opaque", "output_format": r.q.output, "quality": r.q.quality, "size": r.q.size}
	if r.usage {
		text := countTokens(r.q.prompt)
		doc["usage"] = obj{
			"input_tokens": r.q.tokens, "output_tokens": r.made, "total_tokens": r.q.tokens + r.made,
			"input_tokens_details": obj{"text_tokens": text, "image_tokens": r.q.tokens - text},
		}
	}
	return doc
}

// events sends partial images, growing, and then the whole one.
func (r *imageReply) events(s *stream) error {
	s.total = r.q.partials + 1
	for i := range s.total {
		if err := s.before(); err != nil {
			return err
		}
		s.sent++
		kind := r.q.event + ".partial_image"
		if i == r.q.partials {
			kind = r.q.event + ".completed"
			r.made += imageTokens
		}
		doc := r.described()
		if i < r.q.partials {
			delete(doc, "usage")
			doc["partial_image_index"] = i
		}
		doc["type"], doc["created_at"], doc["b64_json"] = kind, r.created, r.image(i)
		if err := s.piece(append(s.named(kind), encode(doc)...)); err != nil {
			return err
		}
	}
	return s.strike(true)
}

// image draws the i-th picture, base64 of PNG whatever format was asked for, of r.bytes bytes if that is
// more than the drawing needs.
func (r *imageReply) image(i int) string {
	seed := digest([]byte(r.q.prompt + strconv.Itoa(i)))
	drawn := image.NewNRGBA(image.Rect(0, 0, imageSide, imageSide))
	for p := range imageSide * imageSide {
		at := seed[p%len(seed)]
		drawn.SetNRGBA(p%imageSide, p/imageSide, color.NRGBA{at, byte(p), seed[(p/imageSide)%len(seed)], 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, drawn); err != nil {
		panic("encode a picture in memory: " + err.Error())
	}
	return base64.StdEncoding.EncodeToString(padded(b.Bytes(), r.bytes))
}

// padded brings a PNG to a size with a chunk that readers pass over.
func padded(picture []byte, size int) []byte {
	missing := size - len(picture) - pngEnd // a chunk has twelve bytes around its data
	if missing < 0 {
		return picture
	}
	body := append([]byte("siMu"), bytes.Repeat([]byte("pixels"), missing/6+1)[:missing]...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(missing))
	chunk = binary.BigEndian.AppendUint32(append(chunk, body...), crc32.ChecksumIEEE(body))
	end := len(picture) - pngEnd
	return append(append(append(make([]byte, 0, size), picture[:end]...), chunk...), picture[end:]...)
}
