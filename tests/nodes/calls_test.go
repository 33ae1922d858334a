package nodes

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/vel-gateway/vel/tests/vel"
)

// What one node is told of an organization's content and prices holds for the calls of the other within two seconds.
func TestCallsAcrossNodes(t *testing.T) {
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			sim := simulate(t)
			o := options(sim, "", w.env(server.Database(t))...)
			p := &pair{start(t, o), start(t, o)}
			org := p.a.newOrg(t, "acme")
			k := p.a.newKey(t, org, "key", nil)
			settings := object{"name": "priced", "kind": "openai", "base_url": sim.URL() + "/v1", "api_key": simKey, "allow_private": true}
			prices := func(request string) object {
				free := object{"input": "0", "output": "0", "request": "0.5"}
				if request != "" {
					free["organizations"] = object{org: object{"input": "0", "output": "0", "request": request}}
				}
				return object{"sim-echo": free}
			}
			settings["prices"] = prices("")
			id := p.a.must(t, http.StatusCreated, "POST", "/api/providers", settings).field("id")
			p.a.must(t, http.StatusCreated, "POST", "/api/routes", object{"name": "echo", "targets": []object{{"provider": "priced", "model": "sim-echo"}}})
			cost := func() string {
				a, err := p.b.chat(t.Context(), k.secret, "echo", false)
				if err != nil {
					t.Fatal(err)
				}
				return a.header.Get("X-Vel-Cost")
			}
			becomes(t, "a price on the other node", func() bool { return cost() == "0.5" })
			for _, agreed := range []string{"0.25", "0.125"} {
				settings["prices"] = prices(agreed)
				p.a.must(t, http.StatusOK, "PUT", "/api/providers/"+id, settings)
				becomes(t, "the price that is agreed with the organization", func() bool { return cost() == agreed })
			}

			p.a.must(t, http.StatusOK, "PUT", "/api/organizations/"+org, object{"name": "acme", "keep_content": true})
			changed, id := time.Now(), ""
			call := func() bool {
				a, err := p.b.chat(t.Context(), k.secret, "echo", false)
				if err != nil {
					t.Fatal(err)
				}
				id = a.header.Get("X-Request-Id")
				return time.Since(changed) > heard
			}
			eventually(t, "the time in which a node hears of a change", call)
			call() // its record takes its own time to the database
			eventually(t, "the content of a call of the other node", func() bool { return p.keeps(t, org, []string{id}) })
		})
	}
}

// eventually waits for something, however long it takes within patience.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := vel.Poll(ctx, what, func() (bool, error) { return is(), nil }); err != nil {
		t.Fatal(err)
	}
}

// keeps tells whether the content of one of some calls of the second node is read on the first one.
func (p *pair) keeps(t *testing.T, org string, ids []string) bool {
	t.Helper()
	for _, id := range ids {
		a := p.a.ask(t, "GET", "/api/calls/"+id+"?content=true&organization="+org, nil)
		if a.status == http.StatusNotFound {
			continue // it is under way to the database
		}
		var call struct {
			Content *struct{ Prompt, Answer string }
		}
		if err := json.Unmarshal(a.body, &call); err != nil || a.status != http.StatusOK {
			t.Fatalf("%v: %s", err, a)
		}
		if call.Content != nil && call.Content.Prompt != "" && call.Content.Answer != "" {
			return true
		}
	}
	return false
}
