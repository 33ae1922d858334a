package simulator

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// purposes are what a file may be uploaded for.
var purposes = []string{"assistants", "batch", "fine-tune", "vision", "user_data", "evals"}

// fileDoc is a file as the wire shows it.
func fileDoc(id, name, purpose string, size int, created time.Time) obj {
	return obj{
		"id": id, "object": "file", "bytes": size, "created_at": created.Unix(), "expires_at": nil, "filename": name, "purpose": purpose,
		"status": "processed", "status_details": nil,
	}
}

// keepFile stores a file of an account.
func (s *Server) keepFile(account, name, purpose string, data []byte) obj {
	t := &thing{account: account, kind: "file", id: "file-" + randomName(24), created: time.Now(), data: data}
	t.doc = fileDoc(t.id, name, purpose, len(data), t.created)
	s.shelf.put(t)
	return t.doc
}

// createFile understands POST /v1/files, a form. Fault words stand in the file's name.
func createFile(c *call) (job, *apiError) {
	f, e := c.readForm()
	if e != nil {
		return job{}, e
	}
	purpose, files := f.value("purpose"), f.files("file")
	switch {
	case len(files) != 1:
		return job{}, errMissing("file")
	case purpose == "":
		return job{}, errMissing("purpose")
	case !slices.Contains(purposes, purpose):
		return job{}, errValue("purpose", "'"+purpose+"' is not one of ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] - 'purpose'")
	}
	words, _ := markers(files[0].Filename)
	return operation(words, func(c *call) (reply, *apiError) {
		return answered(c.server.keepFile(c.account, files[0].Filename, purpose, files[0].data))
	})
}

func listFiles(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		query := c.r.URL.Query()
		found := docs(c.server.shelf.list(c.account, "file"))
		if purpose := query.Get("purpose"); purpose != "" {
			found = slices.DeleteFunc(found, func(d obj) bool { return d["purpose"] != purpose })
		}
		if query.Get("limit") == "" {
			query.Set("limit", "10000")
		}
		return page(query, found)
	})
}

func getFile(c *call) (job, *apiError) { return c.showing("file") }

func deleteFile(c *call) (job, *apiError) { return c.dropping("file", "file") }

// fileContent answers with a file's bytes.
func fileContent(*call) (job, *apiError) {
	j, e := operation(nil, func(c *call) (reply, *apiError) {
		t, ok := c.server.shelf.find(c.account, "file", c.path[0])
		if !ok {
			return nil, errNoObject("file", c.path[0])
		}
		name, _ := t.doc["filename"].(string)
		c.w.Header().Set("Content-Disposition", "attachment; filename="+strconv.Quote(name))
		return &fixed{body: t.data}, nil
	})
	j.kind = "application/octet-stream"
	return j, e
}

// uploadLife is how long an upload may take.
const uploadLife = time.Hour

// uploadState is what an upload is put together from.
type uploadState struct {
	parts map[string][]byte // by id; the map is replaced, never changed
	size  int
}

// createUpload understands POST /v1/uploads.
func createUpload(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	fields := map[string]string{}
	for _, name := range []string{"filename", "purpose", "mime_type"} {
		if fields[name], e = m.required(name); e != nil {
			return job{}, e
		}
	}
	if _, ok := m.has("bytes"); !ok {
		return job{}, errMissing("bytes")
	}
	size := 0
	if e := m.read("bytes", "bytes", "an integer", &size); e != nil {
		return job{}, e
	}
	words, _ := markers(fields["filename"])
	return operation(words, func(c *call) (reply, *apiError) {
		t := &thing{account: c.account, kind: "upload", id: "upload_" + randomName(24), created: time.Now(), state: uploadState{size: size}}
		t.doc = obj{
			"id": t.id, "object": "upload", "bytes": size, "created_at": t.created.Unix(), "expires_at": t.created.Add(uploadLife).Unix(),
			"filename": fields["filename"], "purpose": fields["purpose"], "status": "pending", "file": nil,
		}
		c.server.shelf.put(t)
		return answered(t.doc)
	})
}

// pending refuses to go on with an upload that has ended.
func pending(t *thing) *apiError {
	if t.doc["status"] != "pending" {
		status, _ := t.doc["status"].(string)
		return &apiError{status: http.StatusBadRequest, message: "Upload " + t.id + " is already " + status + "."}
	}
	return nil
}

// addPart understands POST /v1/uploads/{id}/parts, a form.
func addPart(c *call) (job, *apiError) {
	f, e := c.readForm()
	if e != nil {
		return job{}, e
	}
	data := f.files("data")
	if len(data) != 1 {
		return job{}, errMissing("data")
	}
	return operation(nil, func(c *call) (reply, *apiError) {
		id := "part_" + randomName(24)
		_, e := c.server.shelf.change(c.account, "upload", c.path[0], func(t *thing) *apiError {
			if e := pending(t); e != nil {
				return e
			}
			state, _ := t.state.(uploadState)
			parts := map[string][]byte{id: data[0].data}
			for other, bytes := range state.parts {
				parts[other] = bytes
			}
			t.state = uploadState{parts, state.size}
			t.data = append(t.data, data[0].data...) // counted against the shelf's bound
			return nil
		})
		if e != nil {
			return nil, e
		}
		return answered(obj{"id": id, "object": "upload.part", "created_at": time.Now().Unix(), "upload_id": c.path[0]})
	})
}

// completeUpload understands POST /v1/uploads/{id}/complete.
func completeUpload(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	var ids []string
	if e := m.read("part_ids", "part_ids", "an array of strings", &ids); e != nil {
		return job{}, e
	}
	return operation(nil, func(c *call) (reply, *apiError) {
		t, ok := c.server.shelf.find(c.account, "upload", c.path[0])
		if !ok {
			return nil, errNoObject("upload", c.path[0])
		}
		state, _ := t.state.(uploadState)
		var data []byte
		for _, id := range ids {
			part, ok := state.parts[id]
			if !ok {
				return nil, errValue("part_ids", "No part "+id+" in this upload.")
			}
			data = append(data, part...)
		}
		if len(data) != state.size {
			return nil, errValue("part_ids", "The total size of the parts does not match the upload's bytes.")
		}
		return c.finishUpload(data)
	})
}

func (c *call) finishUpload(data []byte) (reply, *apiError) {
	t, e := c.server.shelf.change(c.account, "upload", c.path[0], func(t *thing) *apiError {
		if e := pending(t); e != nil {
			return e
		}
		t.doc, t.data, t.state = t.doc.with(obj{"status": "completed"}), nil, uploadState{}
		return nil
	})
	if e != nil {
		return nil, e
	}
	name, _ := t.doc["filename"].(string)
	purpose, _ := t.doc["purpose"].(string)
	file := c.server.keepFile(c.account, name, purpose, data)
	t, e = c.server.shelf.change(c.account, "upload", c.path[0], func(t *thing) *apiError {
		t.doc = t.doc.with(obj{"file": file})
		return nil
	})
	if e != nil {
		return nil, e
	}
	return answered(t.doc)
}

// cancelUpload understands POST /v1/uploads/{id}/cancel.
func cancelUpload(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		t, e := c.server.shelf.change(c.account, "upload", c.path[0], func(t *thing) *apiError {
			if e := pending(t); e != nil {
				return e
			}
			t.doc, t.data, t.state = t.doc.with(obj{"status": "cancelled"}), nil, uploadState{}
			return nil
		})
		if e != nil {
			return nil, e
		}
		return answered(t.doc)
	})
}
