package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/admin/issuer"
)

// signIns are the tries to sign in that were counted, by way and result.
func (w *world) signIns() map[string]float64 {
	w.t.Helper()
	gathered, err := w.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range gathered {
		if family.GetName() == "vel_sign_ins_total" {
			for _, m := range family.GetMetric() {
				found[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return found
}

// Every try to sign in is counted once and has its line in the log, whichever way it is made and however it ends. The
// line has no address: who is not known may have typed a password there.
func TestSignInsAreCounted(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	w.withPassword("viewer")
	at.Person(ada("staff"))
	b := w.browser()
	w.login("viewer@example.com", password).want(200)
	w.login("canary@example.com", password).want(401)
	b.cookieIn("viewer").want(200)
	b.cookieIn("viewer", "Sec-Fetch-Site", "cross-site").want(403)
	b.signOn(at, "").want(http.StatusSeeOther)
	b.do("GET", CallbackPath, nil).want(403)
	at.Break("/token", http.StatusBadGateway)
	b.signOn(at, "").want(503)
	want := map[string]float64{"password ok": 2, "password refused": 2, "issuer ok": 1, "issuer refused": 1, "issuer failed": 1}
	if got := w.signIns(); !maps.Equal(got, want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	log := w.log.String()
	if n := strings.Count(log, `"msg":"sign-in"`); n != 7 || strings.Contains(log, "canary@") {
		t.Errorf("%d lines in\n%s", n, log)
	}
	for _, line := range []string{
		`"how":"password","result":"ok","why":"","org":"org_acme","user":"user_viewer","client":"192.0.2.1"`,
		`"how":"password","result":"refused","why":"urn:vel:problem:unauthenticated","org":"","user":""`,
		fmt.Sprintf(`"how":"issuer","result":"failed","why":"urn:vel:problem:%s"`, unavailable.word),
	} {
		if !strings.Contains(log, line) {
			t.Errorf("no line has %s", line)
		}
	}
}

// What a program fetches is one sign-in: the browser's half is not another.
func TestSignInOfAProgramIsOne(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	at.Person(ada("staff"))
	verifier := issuer.NewFlow().Verifier
	to, err := url.Parse(w.browser().signOn(at, "?port=5000&challenge="+issuer.Challenge(verifier)).header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.signIns(); len(got) > 0 {
		t.Errorf("counted %v before the program has its token", got)
	}
	w.do("", "POST", "/api/auth/oidc/token", map[string]any{"code": to.Query().Get("code"), "verifier": verifier}).want(200)
	if got := w.signIns(); !maps.Equal(got, map[string]float64{"issuer ok": 1}) {
		t.Errorf("counted %v", got)
	}
}
