package simulator

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// vectorStore is which files a store has, and when each was attached. The map is replaced, never changed.
type vectorStore map[string]time.Time

// mostAttached bounds the files of one store.
const mostAttached = 500

// storeDoc is a store's document after its files changed.
func storeDoc(doc obj, files vectorStore, bytes int) obj {
	return doc.with(obj{
		"usage_bytes": bytes, "last_active_at": time.Now().Unix(),
		"file_counts": obj{"in_progress": 0, "completed": len(files), "failed": 0, "cancelled": 0, "total": len(files)},
	})
}

// createVectorStore understands POST /v1/vector_stores.
func createVectorStore(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	name, e := m.text("name")
	if e != nil {
		return job{}, e
	}
	var ids []string
	if e := m.read("file_ids", "file_ids", "an array of strings", &ids); e != nil {
		return job{}, e
	}
	metadata, e := m.metadata()
	if e != nil {
		return job{}, e
	}
	words, _ := markers(name)
	return operation(append(words, m.wordsIn()...), func(c *call) (reply, *apiError) {
		t := &thing{account: c.account, kind: "vs", id: "vs_" + randomName(24), created: time.Now()}
		files := vectorStore{}
		bytes := 0
		for _, id := range ids {
			file, ok := c.server.shelf.find(c.account, "file", id)
			if !ok {
				return nil, errNoObject("file", id)
			}
			files[id] = t.created
			bytes += len(file.data)
		}
		t.state = files
		t.doc = storeDoc(obj{
			"id": t.id, "object": "vector_store", "created_at": t.created.Unix(), "name": name, "status": "completed",
			"expires_after": m.orNull("expires_after"), "expires_at": nil, "metadata": metadata,
		}, files, bytes)
		c.server.shelf.put(t)
		return answered(t.doc)
	})
}

func listVectorStores(c *call) (job, *apiError) { return c.listing("vs") }

func getVectorStore(c *call) (job, *apiError) { return c.showing("vs") }

func deleteVectorStore(c *call) (job, *apiError) { return c.dropping("vs", "vector_store.deleted") }

func updateVectorStore(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	more := obj{}
	for _, name := range []string{"name", "metadata", "expires_after"} {
		if value, ok := m.has(name); ok {
			more[name] = value
		}
	}
	return operation(m.wordsIn(), func(c *call) (reply, *apiError) {
		t, e := c.server.shelf.change(c.account, "vs", c.path[0], func(t *thing) *apiError {
			t.doc = t.doc.with(more)
			return nil
		})
		if e != nil {
			return nil, e
		}
		return answered(t.doc)
	})
}

// attachedDoc is a file of a store as the wire shows it.
func attachedDoc(store, id string, at time.Time, size int) obj {
	return obj{
		"id": id, "object": "vector_store.file", "created_at": at.Unix(), "usage_bytes": size, "vector_store_id": store, "status": "completed",
		"last_error": nil, "attributes": obj{},
		"chunking_strategy": obj{"type": "static", "static": obj{"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}},
	}
}

// attachFile understands POST /v1/vector_stores/{id}/files.
func attachFile(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	id, e := m.required("file_id")
	if e != nil {
		return job{}, e
	}
	return operation(nil, func(c *call) (reply, *apiError) {
		file, ok := c.server.shelf.find(c.account, "file", id)
		if !ok {
			return nil, errNoObject("file", id)
		}
		now := time.Now()
		if _, e := c.changeFiles(func(files vectorStore) *apiError {
			if len(files) == mostAttached {
				return errValue("file_id", "This vector store has too many files.")
			}
			files[id] = now
			return nil
		}, len(file.data)); e != nil {
			return nil, e
		}
		return answered(attachedDoc(c.path[0], id, now, len(file.data)))
	})
}

// changeFiles changes the files of the store in the path.
func (c *call) changeFiles(how func(vectorStore) *apiError, bytes int) (thing, *apiError) {
	return c.server.shelf.change(c.account, "vs", c.path[0], func(t *thing) *apiError {
		before, _ := t.state.(vectorStore)
		files := maps.Clone(before)
		if e := how(files); e != nil {
			return e
		}
		used, _ := t.doc["usage_bytes"].(int)
		t.state, t.doc = files, storeDoc(t.doc, files, used+bytes)
		return nil
	})
}

// attached finds the files of the store in the path.
func (c *call) attached() (vectorStore, *apiError) {
	t, ok := c.server.shelf.find(c.account, "vs", c.path[0])
	if !ok {
		return nil, errNoObject("vs", c.path[0])
	}
	files, _ := t.state.(vectorStore)
	return files, nil
}

func (c *call) attachedDocs() ([]obj, *apiError) {
	files, e := c.attached()
	if e != nil {
		return nil, e
	}
	var out []obj
	for _, id := range slices.SortedFunc(maps.Keys(files), func(a, b string) int { return files[a].Compare(files[b]) }) {
		file, _ := c.server.shelf.find(c.account, "file", id) // it may have been deleted
		out = append(out, attachedDoc(c.path[0], id, files[id], len(file.data)))
	}
	return out, nil
}

func attachedFiles(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		found, e := c.attachedDocs()
		if e != nil {
			return nil, e
		}
		return page(c.r.URL.Query(), found)
	})
}

func attachedFile(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		found, e := c.attachedDocs()
		if e != nil {
			return nil, e
		}
		if i := slices.IndexFunc(found, func(d obj) bool { return d["id"] == c.path[1] }); i >= 0 {
			return answered(found[i])
		}
		return nil, errNoObject("file", c.path[1])
	})
}

func detachFile(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		file, _ := c.server.shelf.find(c.account, "file", c.path[1])
		if _, e := c.changeFiles(func(files vectorStore) *apiError {
			if _, ok := files[c.path[1]]; !ok {
				return errNoObject("file", c.path[1])
			}
			delete(files, c.path[1])
			return nil
		}, -len(file.data)); e != nil {
			return nil, e
		}
		return answered(obj{"id": c.path[1], "object": "vector_store.file.deleted", "deleted": true})
	})
}

// searchVectorStore finds the files that have a word of the query.
func searchVectorStore(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	queries, _, e := readPrompts(m, "query")
	if e != nil {
		return job{}, e
	}
	words, query := markers(strings.Join(queries, " "))
	return operation(words, func(c *call) (reply, *apiError) {
		files, e := c.attached()
		if e != nil {
			return nil, e
		}
		found := []obj{}
		for _, id := range slices.Sorted(maps.Keys(files)) {
			file, ok := c.server.shelf.find(c.account, "file", id)
			text := string(file.data)
			if !ok || !slices.ContainsFunc(strings.Fields(strings.ToLower(query)), func(w string) bool { return strings.Contains(strings.ToLower(text), w) }) {
				continue
			}
			found = append(found, obj{
				"file_id": id, "filename": file.doc["filename"], "score": 0.9, "attributes": obj{},
				"content": []obj{{"type": "text", "text": strings.ToValidUTF8(clip(text, 2000), "\ufffd")}},
			})
		}
		return answered(obj{"object": "vector_store.search_results.page", "search_query": []string{query}, "data": found, "has_more": false, "next_page": nil})
	})
}
