package tests

import (
	"net/http"
	"testing"
)

// only is for one revision of an object.
func only(tag string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("If-Match", tag) }
}

// TestChangesOfOneRevision: every change of an object can be made conditional on what was read.
func TestChangesOfOneRevision(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	for _, operation := range o.document.Operations() {
		d := deeds()[operation.ID]
		for _, p := range operation.Parameters {
			if p.Name != "If-Match" {
				continue
			}
			t.Run(operation.ID, func(t *testing.T) {
				t.Parallel()
				e := n.errand(t, operation, d, o.root)
				if operation.ID == "change-organization" { // the tenant's own is changed by others too
					e.id, e.body["name"] = n.fresh(t, "organization"), n.word()
				}
				for _, wrong := range []string{`"2"`, `"0"`, `W/"2"`} {
					e.header.Set("If-Match", wrong)
					e.run(t).problem(t, http.StatusPreconditionFailed, "stale")
				}
				for _, none := range []string{"1", `"one"`, `"1", "2"`} {
					e.header.Set("If-Match", none)
					e.run(t).problem(t, http.StatusUnprocessableEntity, "invalid")
				}
				e.header.Set("If-Match", `"1"`)
				if tag := e.run(t).want(t, d.status).header.Get("ETag"); d.status == http.StatusOK && tag != `"2"` {
					t.Errorf("the next revision is %s", tag)
				}
			})
		}
	}
}

// TestChangesAtTheSameTime: of those that read the same revision one changes it. Those that do not care all do.
func TestChangesAtTheSameTime(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	path := "/api/teams/" + n.team
	won := 0
	for _, a := range together(t, 12, func(int) (answer, error) {
		return n.admin.send(t.Context(), "PUT", path, members{"name": n.word()}, only(`"1"`))
	}) {
		if a.status == http.StatusOK {
			won++
		} else {
			a.problem(t, http.StatusPreconditionFailed, "stale")
		}
	}
	if tag := n.admin.do(t, "GET", path, nil).header.Get("ETag"); won != 1 || tag != `"2"` {
		t.Errorf("%d have changed it, and its revision is %s", won, tag)
	}
	for _, a := range together(t, 12, func(int) (answer, error) {
		return n.admin.send(t.Context(), "PUT", path, members{"name": n.word()})
	}) {
		a.want(t, http.StatusOK)
	}
	if tag := n.admin.do(t, "GET", path, nil).header.Get("ETag"); tag != `"14"` {
		t.Errorf("12 changes have led to the revision %s", tag)
	}
}
