package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/gateway/upstream"
	"github.com/vel-gateway/vel/routing"
	"github.com/vel-gateway/vel/secrets"
)

// probeLimit is how long a trial may take, and longestSaid how many bytes of a provider's words are shown.
const (
	probeLimit  = 10 * time.Second
	longestSaid = 500
)

// Probe tries a provider by a connection of its own: it asks for the list of models, which costs nothing, and, if a model
// is named, for a few words of it. The trial is no call: nothing is held, counted or told to a breaker.
func Probe(ctx context.Context, pool *upstream.Pool, p *routing.Provider, model string) routing.Trial {
	b := probe{pool, p, secrets.NewRedactor(p.Key), time.Now().Add(probeLimit)}
	var t routing.Trial
	if p.Adapter.OpenList {
		t.Key = routing.Finding{Message: "The provider lists its models to everybody. Name a model: a call for it proves the key."}
	} else {
		t.Key = b.list(ctx)
	}
	switch {
	case model == "":
	case t.Key.Verdict == routing.Fails && t.Key.Status == 0:
		t.Model.Message = "The provider was not reached."
	default:
		t.Model = b.call(ctx, adapters.ChatCompletions, `{"model":`+quoted(model)+`,"messages":[{"role":"user","content":"Hi"}],"max_completion_tokens":16}`, model)
		if t.Model.Class == adapters.ClassInvalid { // it may be one that does not chat
			if f := b.call(ctx, adapters.Embeddings, `{"model":`+quoted(model)+`,"input":"Hi"}`, model); f.Verdict == routing.Works {
				t.Model = f
			}
		}
	}
	return t
}

func quoted(text string) string { return string(gjson.AppendJSONString(nil, text)) }

// probe is one trial.
type probe struct {
	pool     *upstream.Pool
	provider *routing.Provider
	redactor *secrets.Redactor
	until    time.Time
}

// list asks which models there are. Who wants no key proves nothing by the answer, and some servers have no list.
func (b *probe) list(ctx context.Context) routing.Finding {
	codec := b.provider.Adapter.Codecs[adapters.ChatCompletions]
	f := b.ask(ctx, &adapters.Request{Method: http.MethodGet, Path: "/models"}, codec, nil)
	switch {
	case f.Status == http.StatusNotFound || f.Status == http.StatusMethodNotAllowed:
		f.Verdict, f.Class, f.Said = routing.Unproven, adapters.ClassNone, ""
		f.Message = "The provider has no list of models. Name a model: a call for it proves the key."
	case f.Verdict == routing.Works:
		f.Message = "The provider takes the key."
	}
	return f
}

// call makes a small call.
func (b *probe) call(ctx context.Context, endpoint adapters.Endpoint, body, model string) routing.Finding {
	codec := b.provider.Adapter.Codecs[endpoint]
	if codec == nil {
		return routing.Finding{}
	}
	in := adapters.Content{Endpoint: endpoint, Method: http.MethodPost, Body: []byte(body)}
	var q adapters.Question
	var r adapters.Request
	err := adapters.Parse(in.Body, &in, &q)
	if err == nil {
		err = codec.EncodeRequest(&r, &in, model)
	}
	if err != nil {
		return b.failed(err)
	}
	r.Header = append(r.Header, adapters.Field{Name: "Content-Type", Value: "application/json"})
	f := b.ask(ctx, &r, codec, &in)
	if f.Verdict == routing.Works {
		f.Message = "The provider answers for the model."
	}
	return f
}

// ask sends a request and judges the answer; of a list, without in, only the head.
func (b *probe) ask(ctx context.Context, r *adapters.Request, codec adapters.Codec, in *adapters.Content) routing.Finding {
	began := time.Now()
	status, err := b.exchange(ctx, r, codec, in)
	f := routing.Finding{Verdict: routing.Works}
	if err != nil {
		f = b.failed(err)
	}
	f.Took = time.Since(began)
	if status != 0 {
		f.Status = status
	}
	return f
}

func (b *probe) exchange(ctx context.Context, r *adapters.Request, codec adapters.Codec, in *adapters.Content) (status int, err error) {
	r.Header = append(r.Header, adapters.Field{Name: "Accept", Value: "*/*"}, adapters.Field{Name: "User-Agent", Value: "vel"})
	if err := b.provider.Adapter.Signer.Sign(r, b.provider.Key, time.Now()); err != nil {
		return 0, &adapters.Error{Class: adapters.ClassCredential, Message: "The key can not be sent.", Cause: err}
	}
	x, err := b.pool.Acquire(b.provider)
	if err != nil {
		return 0, err
	}
	cancelled := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(cancelled); x.Cancel() })
	defer func() {
		if !stop() {
			<-cancelled // the exchange is used again after this
		}
		x.Finish(errProbed)
	}()
	if _, err := x.Open(r, b.provider.Timeouts, b.until); err != nil {
		return 0, err
	}
	status = x.Status()
	good := status >= 200 && status <= 299
	if good && in == nil {
		return status, nil
	}
	body, err := readBelow(x, errorBelow)
	switch {
	case err != nil:
		return status, err
	case !good:
		return status, codec.DecodeError(status, x.Header(), body)
	}
	_, _, err = codec.DecodeResponse(nil, in, x.Header(), body)
	return status, err
}

// errProbed closes the connection of a trial: nobody else is to have it.
var errProbed = errors.New("the trial is over")

// readBelow reads a body, or the beginning of a long one.
func readBelow(x *upstream.Exchange, limit int) (body []byte, err error) {
	for len(body) < limit {
		piece, err := x.Next()
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
		body = append(body, piece...)
	}
	return body, nil
}

// failed says what a failure means, and what the provider said, without its key.
func (b *probe) failed(err error) routing.Finding {
	e := asError(err)
	f := routing.Finding{Verdict: routing.Fails, Class: e.Class, Status: e.Status, Message: meanings[e.Class]}
	switch {
	case errors.Is(err, upstream.ErrPrivateAddress):
		f.Message = "The address is a loopback or private one, and allow_private is not set."
	case f.Message == "":
		f.Message = "The answer is none that a call could be served with."
	}
	if e.Class == adapters.ClassConnect && e.Cause != nil {
		f.Said = b.said(e.Cause.Error()) // of the resolver, the dialer or TLS
	} else if e.Status != 0 {
		f.Said = b.said(e.Message)
	}
	return f
}

func (b *probe) said(text string) string {
	text = b.redactor.Scrub(text)
	if len(text) > longestSaid {
		text = strings.ToValidUTF8(text[:longestSaid], "") + "…"
	}
	return text
}

// meanings are the classes of failure in words for whoever runs the house.
var meanings = map[adapters.Class]string{
	adapters.ClassInvalid:    "The provider does not take the request: the model may not exist, or not be open to this key.",
	adapters.ClassCredential: "The provider refuses the key.",
	adapters.ClassRate:       "The provider limits this account now.",
	adapters.ClassQuota:      "The account at the provider is out of money.",
	adapters.ClassTimeout:    "The provider did not answer in time.",
	adapters.ClassOverloaded: "The provider is overloaded.",
	adapters.ClassServer:     "The provider failed.",
	adapters.ClassConnect:    "The provider can not be reached.",
	adapters.ClassReset:      "The connection was lost before the answer was whole.",
	adapters.ClassGone:       "The trial was ended before its end.",
}
