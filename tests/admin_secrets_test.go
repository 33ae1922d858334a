package tests

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretsStayInside follows passwords, tokens and secrets of keys through everything that one can do with them, and
// then looks for them in all that Vel leaves behind: the database's files, the metrics, the log, what it says and its
// errors. A key's secret is in one place: the answer that is kept for an Idempotency-Key, sealed.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	o := openOffice(t, "")
	n := o.tenant(t, "acme")
	for _, operation := range o.document.Operations() {
		d, by := deeds()[operation.ID], n.admin
		if d.ends {
			by = n.signedIn(t, n.person(t, "org_admin"))
		}
		e := n.errand(t, operation, d, by)
		for _, p := range operation.Parameters {
			if p.Name == "Idempotency-Key" {
				e.header.Set(p.Name, n.word())
			}
		}
		for range 2 {
			a := e.run(t)
			if a.status < 300 && len(a.body) > 0 && a.header.Get("Content-Type") == "application/json" {
				o.guardAnswer(t, a)
			}
		}
		e.header.Set("If-Match", "no tag")
		e.run(t) // and as a fault
	}
	for _, secret := range []string{n.secret, n.admin.token, rootKey} { // where none belongs
		o.caller(secret+"x").do(t, "GET", "/api/teams", nil).problem(t, http.StatusUnauthorized, "unauthenticated")
		ask(t, request(t, "POST", o.URL+"/v1/chat/completions", secret, chat("nobody", "x", "")))
		n.admin.do(t, "POST", "/api/auth/login", members{"email": n.email, "password": secret}).problem(t, http.StatusUnauthorized, "unauthenticated")
		n.admin.do(t, "GET", "/api/teams/"+secret, nil).problem(t, http.StatusNotFound, "not-found")
	}
	secrets := o.Guarded()
	if len(secrets) < 20 {
		t.Fatalf("only %d secrets are known", len(secrets))
	}
	places := map[string][]byte{
		"metrics": o.metrics(t),
		"audit":   n.admin.do(t, "GET", "/api/audit/export", nil).want(t, http.StatusOK).body,
	}
	for _, file := range o.files(t) {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a segment of the spool is removed when it is shipped
		}
		if err != nil {
			t.Fatal(err)
		}
		places[filepath.Base(file)] = text
	}
	if len(places["vel.db"])+len(places["vel.db-wal"]) == 0 {
		t.Fatalf("no database among %v", o.files(t))
	}
	for place, text := range places {
		for _, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s has the secret %s", place, secret)
			}
		}
	}
}

// guardAnswer guards what an answer tells once.
func (o *office) guardAnswer(t *testing.T, a answer) {
	t.Helper()
	told := read[members](t, a)
	for _, name := range []string{"secret", "token"} {
		if secret, ok := told[name].(string); ok {
			o.Guard(secret)
		}
	}
}

// files are what Vel keeps, but for the key that it says at every start and the one that seals.
func (o *office) files(t *testing.T) (files []string) {
	t.Helper()
	for _, file := range filesBelow(t, filepath.Join(o.Dir, "data")) {
		if !strings.HasSuffix(file, ".key") {
			files = append(files, file)
		}
	}
	return files
}

// filesBelow are all files in a folder and the folders in it.
func filesBelow(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// metrics is all that /metrics says.
func (o *office) metrics(t *testing.T) []byte {
	t.Helper()
	res, err := http.Get(o.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Contains(text, []byte("vel_admin_seconds")) {
		t.Fatalf("%v\n%s", err, text)
	}
	return text
}
