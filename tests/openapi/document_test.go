package openapi

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

const document = `{
  "openapi": "3.1.0",
  "paths": {
    "/things/{id}": {
      "put": {
        "operationId": "change-thing", "x-vel-permission": "manage_things",
        "parameters": [{"name": "id", "in": "path"}],
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Change"}}}},
        "responses": {
          "200": {
            "headers": {"ETag": {"schema": {"type": "string", "pattern": "^\"[0-9]+\"$"}}},
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
          },
          "204": {"description": "nothing"},
          "404": {"$ref": "#/components/responses/404"}
        }
      }
    },
    "/things/mine": {"put": {"operationId": "change-mine", "responses": {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}}}}
  },
  "components": {
    "responses": {"404": {"content": {"application/problem+json": {"schema": {"type": "object", "additionalProperties": false}}}}},
    "schemas": {
      "Change": {"type": "object", "properties": {"name": {}, "made": {}}},
      "Thing": {
        "type": "object", "additionalProperties": false, "required": ["name"],
        "properties": {"name": {"type": "string"}, "made": {"type": ["string", "null"], "format": "date-time"}}
      }
    }
  }
}`

func read(t *testing.T) *Document {
	t.Helper()
	d, err := Read([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOperations(t *testing.T) {
	t.Parallel()
	d := read(t)
	o := d.Find("PUT", "/things/7")
	if o != d.Operation("change-thing") || o.Permission != "manage_things" || !slices.Equal(o.Body, []string{"made", "name"}) ||
		!slices.Equal(o.Parameters, []Parameter{{"id", "path"}}) {
		t.Errorf("%+v", o)
	}
	if o := d.Find("PUT", "/things/mine"); o == nil || o.ID != "change-mine" {
		t.Errorf("%+v", o)
	}
	for _, lost := range []string{"/things", "/things/7/8"} {
		if o := d.Find("PUT", lost); o != nil {
			t.Errorf("%s leads to %s", lost, o.ID)
		}
	}
	if open := d.Operation("change-thing").Open(); open != nil {
		t.Errorf("open: %v", open)
	}
	if open := d.Operation("change-mine").Open(); !slices.Equal(open, []string{"change-mine 200 application/json"}) {
		t.Errorf("open: %v", open)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	o := read(t).Operation("change-thing")
	const plain, problem = "application/json", "application/problem+json"
	for name, c := range map[string]struct {
		status           int
		kind, etag, body string
		wrong            string // a word of the complaint; empty: there is none
	}{
		"right":         {200, plain, `"7"`, `{"name":"n","made":null}`, ""},
		"with charset":  {200, plain + "; charset=utf-8", "", `{"name":"n","made":"2027-01-01T00:00:00Z"}`, ""},
		"nothing":       {204, "", "", "", ""},
		"by reference":  {404, problem, "", "{}", ""},
		"status":        {201, plain, "", `{"name":"n"}`, "201"},
		"content type":  {200, problem, "", `{"name":"n"}`, "not promised"},
		"no type":       {200, "", "", `{"name":"n"}`, "content type"},
		"header":        {200, plain, "7", `{"name":"n"}`, "ETag"},
		"missing":       {200, plain, "", `{}`, "name"},
		"unknown":       {200, plain, "", `{"name":"n","more":1}`, "more"},
		"type":          {200, plain, "", `{"name":7}`, "name"},
		"format":        {200, plain, "", `{"name":"n","made":"yesterday"}`, "made"},
		"no JSON":       {200, plain, "", `{`, "body"},
		"body too many": {204, "", "", "x", "none is promised"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			header.Set("Content-Type", c.kind)
			header.Set("ETag", c.etag)
			err := o.Check(c.status, header, []byte(c.body))
			if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%v, want a word of %q", err, c.wrong)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"{", `{"paths": []}`, "{}", strings.Replace(document, "components/responses/404", "nowhere", 1)} {
		if _, err := Read([]byte(broken)); err == nil {
			t.Errorf("read %.40s", broken)
		}
	}
}
