package tests

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/vel-gateway/vel/tests/vel"
)

// TestBatchIsUploadedWhole: the items of a batch come in one request that is larger than a call may be, on the port of the calls and
// on one of its own; what is larger than a file may be is refused and says so.
func TestBatchIsUploadedWhole(t *testing.T) {
	t.Parallel()
	const items, most = 12_000, 3 << 20 // bytes: the file of openUploads says so
	var lines strings.Builder
	for i := range items {
		fmt.Fprintf(&lines, `{"custom_id":"%d","body":{"model":"sim-echo","messages":[{"role":"user","content":"say %d, and then the word of the day"}]}}`+"\n", i, i)
	}
	if lines.Len() < 1<<20 || lines.Len() > most {
		t.Fatalf("the file has %d bytes", lines.Len())
	}
	for name, own := range map[string]bool{"the port of the calls": false, "a port of its own": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := openUploads(t, own).tenant(t, "acme")
			path := "/api/batches/" + n.admin.create(t, "/api/batches", members{"name": "whole"})["id"].(string)
			typed := func(r *http.Request) { r.Header.Set("Content-Type", "application/x-ndjson") }
			a := read[members](t, n.admin.do(t, "POST", path+"/items", lines.String(), typed).want(t, http.StatusOK))
			if a["total"] != float64(items) || a["state"] != "draft" {
				t.Errorf("%v", a)
			}
			n.admin.do(t, "POST", path+"/items?from="+strconv.Itoa(items), strings.Repeat(" ", most+1), typed).want(t, http.StatusRequestEntityTooLarge)
			n.admin.do(t, "POST", path+"/items?from="+strconv.Itoa(items), "", typed).problem(t, http.StatusBadRequest, "malformed")
		})
	}
}

// openUploads starts a Vel whose calls may have 1 MiB and whose files three.
func openUploads(t *testing.T, own bool) *office {
	t.Helper()
	yaml := "server: {max_body: 1MiB, max_upload: 3MiB, max_body_in_flight: 16MiB}\n"
	if !own {
		return openOffice(t, yaml)
	}
	port, err := vel.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	how := options(yaml + fmt.Sprintf("admin: {listen: 127.0.0.1:%d}\n", port))
	how.Env = append(how.Env, "VEL_ADMIN_KEY="+rootKey)
	p := vel.Start(t, how)
	p.URL = fmt.Sprintf("http://127.0.0.1:%d", port)
	return enter(t, p)
}
