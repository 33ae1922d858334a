package admin

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write admin/openapi.json anew")

// The committed document is the one that the code makes: who reads a change of the API reads it there.
func TestDocumentIsCommitted(t *testing.T) {
	t.Parallel()
	got := newWorld(t).Document()
	if *update {
		if err := os.WriteFile("openapi.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("openapi.json is not what the code makes; run go test ./admin -update\n%s", cmp.Diff(string(want), string(got)))
	}
}

// The page works under its policy: it loads its own files, and names no other place and no inline code.
func TestPageLoadsItsOwnFilesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	page := w.do("", "GET", "/api/docs", nil).want(200)
	if page.header.Get("Content-Security-Policy") != pagePolicy || page.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("headers %v", page.header)
	}
	for path, kind := range map[string]string{"/api/docs/docs.css": "text/css", "/api/docs/docs.js": "text/javascript"} {
		if !bytes.Contains(page.body, []byte(`"`+path+`"`)) {
			t.Errorf("the page does not load %s", path)
		}
		file := w.do("", "GET", path, nil).want(200)
		if !strings.HasPrefix(file.header.Get("Content-Type"), kind) {
			t.Errorf("%s is %s", path, file.header.Get("Content-Type"))
		}
		page.body = append(page.body, file.body...)
	}
	for _, wrong := range []string{"http://", "https://", "<style", " style=", "innerHTML", "onclick", "eval("} {
		if bytes.Contains(page.body, []byte(wrong)) {
			t.Errorf("the page has %q", wrong)
		}
	}
}

// Every answer of the document with a body says what it looks like, and every operation has a tag that is described.
func TestDocumentIsWhole(t *testing.T) {
	t.Parallel()
	var doc struct {
		OpenAPI string
		Tags    []struct{ Name, Description string }
		Paths   map[string]map[string]struct {
			Summary   string
			Tags      []string
			Security  *[]map[string][]string
			Responses map[string]struct {
				Ref         string `json:"$ref"`
				Description string
				Content     map[string]struct{ Schema map[string]any }
			}
		}
	}
	if err := json.Unmarshal(newWorld(t).Document(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("version %s", doc.OpenAPI)
	}
	tags := map[string]bool{}
	for _, tag := range doc.Tags {
		tags[tag.Name] = tag.Description != ""
	}
	for path, item := range doc.Paths {
		for method, op := range item {
			if len(op.Tags) != 1 || !tags[op.Tags[0]] || op.Summary == "" || op.Security == nil || len(op.Responses) < 3 {
				t.Errorf("%s %s is not described: %+v", method, path, op)
			}
			for status, r := range op.Responses {
				if r.Ref == "" && r.Description == "" || r.Ref == "" && status != "204" && len(r.Content) == 0 {
					t.Errorf("%s %s: %s has no description or no body", method, path, status)
				}
			}
		}
	}
}

// The room's metrics stand in docs/deployment.md with their labels.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/deployment.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.login("nobody@example.com", password).want(401)
	gathered, err := w.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	if len(gathered) != 3 {
		t.Fatalf("%d metrics", len(gathered))
	}
	for _, metric := range gathered {
		_, row, ok := strings.Cut(string(text), "\n| `"+metric.GetName()+"` |")
		row, _, _ = strings.Cut(row, "\n")
		if !ok {
			t.Fatalf("%s has no row", metric.GetName())
		}
		for _, label := range metric.GetMetric()[0].GetLabel() {
			if !strings.Contains(row, "`"+label.GetName()+"`") {
				t.Errorf("the label %s is not in %s", label.GetName(), row)
			}
		}
	}
}
