package simulator

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
)

// form is a multipart request as it came in.
type form struct{ parts []Part }

// Part is one part of a form: a field, or a file when it has a file name.
type Part struct {
	Name     string `json:"name"`
	Filename string `json:"filename,omitempty"`
	Type     string `json:"content_type,omitempty"`
	Length   int    `json:"length"`
	SHA256   string `json:"sha256"`
	data     []byte
	isFile   bool
}

// maxParts bounds the parts of a form.
const maxParts = 1000

// readForm parses a multipart body and notes its parts, with their digests, in the record.
func (c *call) readForm() (*form, *apiError) {
	f, err := parseForm(c.r.Header.Get("Content-Type"), c.body)
	if err != nil {
		return nil, &apiError{status: 400, message: "Could not parse multipart form: " + err.Error() + "."}
	}
	c.server.recorder.noteParts(c.record, f.parts)
	return f, nil
}

func parseForm(contentType string, body []byte) (*form, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "multipart/form-data" {
		return nil, errors.New("the content type is not multipart/form-data")
	}
	if params["boundary"] == "" {
		return nil, errors.New("the content type has no boundary")
	}
	f := &form{}
	// Raw parts, so that a content-transfer-encoding does not change the bytes.
	for r := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return nil, err
		}
		if len(f.parts) == maxParts {
			return nil, errors.New("too many parts")
		}
		data, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		_, disposition, _ := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		_, isFile := disposition["filename"]
		f.parts = append(f.parts, Part{
			Name: p.FormName(), Filename: p.FileName(), Type: p.Header.Get("Content-Type"), Length: len(data), SHA256: digest(data), data: data, isFile: isFile,
		})
	}
}

// value is the first field of that name, or "".
func (f *form) value(name string) string {
	for _, p := range f.parts {
		if p.Name == name && !p.isFile {
			return string(p.data)
		}
	}
	return ""
}

// values are all fields of that name, also written with brackets.
func (f *form) values(name string) []string {
	var out []string
	for _, p := range f.parts {
		if (p.Name == name || p.Name == name+"[]") && !p.isFile {
			out = append(out, string(p.data))
		}
	}
	return out
}

// files are all files of that name, also written with brackets.
func (f *form) files(name string) []Part {
	var out []Part
	for _, p := range f.parts {
		if (p.Name == name || p.Name == name+"[]") && p.isFile {
			out = append(out, p)
		}
	}
	return out
}

// names are the names of all parts in their order.
func (f *form) names() []string {
	out := make([]string, len(f.parts))
	for i, p := range f.parts {
		out[i] = p.Name
	}
	return out
}
