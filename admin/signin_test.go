package admin

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/vel-gateway/vel/admin/issuer"
	"github.com/vel-gateway/vel/tenancy"
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

// TestSignOnsAreRecorded: the audit log knows who signed on, what that made of their user, and who was not let in.
func TestSignOnsAreRecorded(t *testing.T) {
	t.Parallel()
	w, at := signOnWorld(t, nil)
	var makers []tenancy.Actor
	w.db.users.by = func(by tenancy.Actor) { makers = append(makers, by) }
	at.Person(ada("staff"))
	w.browser().signOn(at, "").want(http.StatusSeeOther)
	at.Person(ada("admins"))
	w.browser().signOn(at, "").want(http.StatusSeeOther)
	if len(makers) != 2 {
		t.Fatalf("%d changes of users", len(makers))
	}
	for _, by := range makers {
		if by.Org != tenancy.Platform || by.User != "" || by.Name != "single sign-on" || by.Address == "" || by.Request == "" {
			t.Errorf("a user is changed by %+v", by)
		}
	}
	if list := w.recorded(); len(list) > 0 {
		t.Errorf("what is recorded with its session is recorded again: %+v", list)
	}

	u := w.who("ada@example.com", acme)
	at.Person(ada())
	w.browser().signOn(at, "").want(403)
	u.Disabled = true
	w.db.users.rows[u.ID] = *u
	at.Person(ada("staff"))
	w.browser().signOn(at, "").want(403)
	w.browser().do("GET", CallbackPath, nil).want(403)
	w.do("", "POST", "/api/auth/oidc/token", map[string]any{"code": "x", "verifier": issuer.NewFlow().Verifier}).want(401)
	at.Break("/token", http.StatusBadGateway)
	w.browser().signOn(at, "").want(503)
	for range 3 { // two are refused, and then it is too often
		w.browser().do("GET", CallbackPath, nil)
	}
	var got []string
	for _, e := range w.recorded() {
		if e.By.Org != "" || e.By.User != "" || e.By.Address == "" || e.By.Request == "" || e.Object.Kind != "user" || e.Action != tenancy.ActionLoginFailed || e.Count != 1 {
			t.Errorf("%+v", e)
		}
		got = append(got, fmt.Sprintf("%s %s %q %q %s", e.Org, e.Outcome, e.Object.ID, e.By.Email, e.Reason))
	}
	const expired = "This sign-on has expired, or began in another browser. Begin again."
	want := []string{
		`org_acme failed "" "ada@example.com" None of your groups has a role here. Ask whoever runs this house.`,
		fmt.Sprintf(`org_acme failed %q "ada@example.com" Your user is disabled.`, u.ID),
		`platform failed "" "" ` + expired,
		`platform failed "" "" The code is not valid, or not any more.`,
		`platform failed "" "" ` + expired,
		`platform failed "" "" ` + expired,
		`platform refused "" "" Too many sign-ons have failed. Wait, then try again.`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
