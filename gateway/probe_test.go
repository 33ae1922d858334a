package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/adapters/perplexity"
	"github.com/vel-gateway/vel/gateway/upstream"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
)

const probedKey = "sk-canary-of-the-probed-provider"

// probed is a provider that answers by a handler.
func probed(t *testing.T, a *adapters.Adapter, handler http.HandlerFunc) (*upstream.Pool, *routing.Provider) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	watcher, err := upstream.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	pool := upstream.NewPool(watcher, 1)
	t.Cleanup(func() {
		pool.Close()
		if err := watcher.Close(); err != nil {
			t.Error(err)
		}
	})
	base, err := url.Parse(server.URL + "/v1")
	if err != nil {
		t.Fatal(err)
	}
	return pool, &routing.Provider{
		ID: "provider:p", Name: "p", Base: base, Key: secrets.New(probedKey), AllowPrivate: true, Adapter: a,
		Timeouts: routing.Timeouts{Connect: patience, FirstByte: patience, Idle: patience},
	}
}

func writeAs(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestProbe(t *testing.T) {
	t.Parallel()
	const list = `{"object":"list","data":[]}`
	refuse := func(status int, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			writeAs(w, status, `{"error":{"message":"`+message+`"}}`)
		}
	}
	// A server that lists, and answers the calls that are given.
	serve := func(calls map[string]http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			switch call := calls[r.URL.Path]; {
			case r.Header.Get("Authorization") != "Bearer "+probedKey:
				refuse(401, "who are you")(w, r)
			case r.Method == http.MethodGet:
				writeAs(w, 200, list)
			case call == nil:
				refuse(404, "no model")(w, r)
			default:
				call(w, r)
			}
		}
	}
	chats := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"model":"m \"x\""`) {
			refuse(400, "a strange model")(w, r)
			return
		}
		writeAs(w, 200, completion)
	}
	works := routing.Finding{Verdict: routing.Works, Status: 200, Message: "The provider takes the key."}
	answers := routing.Finding{Verdict: routing.Works, Status: 200, Message: "The provider answers for the model."}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		adapter *adapters.Adapter
		model   string
		want    routing.Trial
	}{
		"a good key":   {handler: serve(nil), want: routing.Trial{Key: works}},
		"a good model": {handler: serve(map[string]http.HandlerFunc{"/v1/chat/completions": chats}), model: `m "x"`, want: routing.Trial{Key: works, Model: answers}},
		"a model that embeds": {handler: serve(map[string]http.HandlerFunc{"/v1/embeddings": func(w http.ResponseWriter, _ *http.Request) {
			writeAs(w, 200, `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}`)
		}}), model: "m", want: routing.Trial{Key: works, Model: answers}},
		"an unknown model": {handler: serve(nil), model: "m", want: routing.Trial{Key: works, Model: routing.Finding{
			Verdict: routing.Fails, Class: adapters.ClassInvalid, Status: 404, Message: meanings[adapters.ClassInvalid], Said: "no model",
		}}},
		"a bad key": {handler: refuse(401, "Incorrect API key: "+probedKey), want: routing.Trial{Key: routing.Finding{
			Verdict: routing.Fails, Class: adapters.ClassCredential, Status: 401, Message: meanings[adapters.ClassCredential], Said: "Incorrect API key: ***",
		}}},
		"a server without a list": {handler: refuse(404, "nothing here"), want: routing.Trial{Key: routing.Finding{
			Verdict: routing.Unproven, Status: 404, Message: "The provider has no list of models. Name a model: a call for it proves the key.",
		}}},
		"a list for everybody": {adapter: perplexity.New(""), handler: serve(nil), want: routing.Trial{Key: routing.Finding{
			Message: "The provider lists its models to everybody. Name a model: a call for it proves the key.",
		}}},
		"a long story": {handler: refuse(500, strings.Repeat("ä", 300)+probedKey), want: routing.Trial{Key: routing.Finding{
			Verdict: routing.Fails, Class: adapters.ClassServer, Status: 500, Message: meanings[adapters.ClassServer], Said: strings.Repeat("ä", 250) + "…",
		}}},
		"nonsense": {
			handler: serve(map[string]http.HandlerFunc{"/v1/chat/completions": func(w http.ResponseWriter, _ *http.Request) { writeAs(w, 200, "<html>") }}),
			model:   "m", want: routing.Trial{Key: works, Model: routing.Finding{
				Verdict: routing.Fails, Class: adapters.ClassGarbage, Status: 200, Message: "The answer is none that a call could be served with.",
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.adapter == nil {
				c.adapter = openai.New("openai", "")
			}
			pool, p := probed(t, c.adapter, c.handler)
			got := Probe(t.Context(), pool, p, c.model)
			if diff := cmp.Diff(c.want, got, cmpopts.IgnoreFields(routing.Finding{}, "Took")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestProbeOfAPrivateAddress: a name is judged by what it leads to, when it is dialled.
func TestProbeOfAPrivateAddress(t *testing.T) {
	t.Parallel()
	pool, p := probed(t, openai.New("openai", ""), func(w http.ResponseWriter, _ *http.Request) { t.Error("it was asked") })
	p.AllowPrivate = false
	for _, host := range []string{"127.0.0.1", "localhost"} {
		p.Base.Host = host + ":" + p.Base.Port()
		f := Probe(t.Context(), pool, p, "").Key
		if f.Verdict != routing.Fails || f.Class != adapters.ClassConnect || !strings.Contains(f.Message, "allow_private") {
			t.Errorf("%s: %+v", host, f)
		}
	}
}

// TestProbeEnds: it does not outlast whoever asked.
func TestProbeEnds(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	pool, p := probed(t, openai.New("openai", ""), func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	f := Probe(ctx, pool, p, "").Key
	if f.Verdict != routing.Fails || f.Class != adapters.ClassGone || f.Took > patience/time.Duration(2) {
		t.Errorf("%+v", f)
	}
}
