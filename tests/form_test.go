package tests

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"testing"
)

// form is a multipart body under way. Its boundary is fixed, so that the bytes can be compared.
type form struct {
	bytes.Buffer
	parts *multipart.Writer
}

// newForm begins a form with these fields, each a name and a value.
func newForm(t *testing.T, fields ...string) *form {
	t.Helper()
	f := &form{}
	f.parts = multipart.NewWriter(&f.Buffer)
	if err := f.parts.SetBoundary("----odd'boundary+of_a.client"); err != nil {
		t.Fatal(err)
	}
	return f.with(t, fields...)
}

// with adds fields.
func (f *form) with(t *testing.T, fields ...string) *form {
	t.Helper()
	for i := 0; i < len(fields); i += 2 {
		if err := f.parts.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// file adds a file.
func (f *form) file(t *testing.T, name, filename string, content []byte) *form {
	t.Helper()
	part, err := f.parts.CreateFormFile(name, filename)
	if err == nil {
		_, err = part.Write(content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// post is the request that carries the form.
func (f *form) post(t *testing.T, url, key string, edits ...func(*http.Request)) *http.Request {
	t.Helper()
	if err := f.parts.Close(); err != nil {
		t.Fatal(err)
	}
	kind := func(r *http.Request) { r.Header.Set("Content-Type", f.parts.FormDataContentType()) }
	return request(t, http.MethodPost, url, key, f.String(), append([]func(*http.Request){kind}, edits...)...)
}

// noise is n bytes that look like no text, with the bytes that end lines and parts among them.
func noise(n int) []byte {
	b := make([]byte, n)
	state := uint32(1)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = byte(state >> 24)
	}
	copy(b[n/2:], "\r\n------odd'boundary+of_a.clienT\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nanother\r\n")
	return b
}
