package gateway

import (
	"bytes"
	"context"
	"log/slog"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/gateway/replay"
)

// CacheOptions say where answers are kept, and which.
type CacheOptions struct {
	Shelf   replay.Shelf
	Longest Size // of the bodies that are kept
}

// KeepAnswers makes the pipeline keep the answers of routes that want it, and give them to equal calls of the same
// organization. It is called before the first call; without it nothing is kept.
func (p *Pipeline) KeepAnswers(o CacheOptions) { p.cache = &o }

// What a record and the field x-vel-cache say.
const (
	cacheHit  = "hit"
	cacheMiss = "miss"

	cacheReplay = "replay" // of a record alone: the call repeats one with the same Idempotency-Key
)

// cacheable are the endpoints whose answers say all that there is to say.
var cacheable = map[adapters.Endpoint]bool{
	adapters.ChatCompletions: true, adapters.Completions: true, adapters.Responses: true, adapters.Embeddings: true, adapters.Moderations: true,
}

// recall looks for an answer that an equal call got. If there is one the call needs no provider; if not, its own is to be
// kept.
func (p *Pipeline) recall(c *Call) error {
	r := c.plan.Route
	if p.cache == nil || r == nil || r.KeepFor == 0 || c.kept != nil || !c.repeatable() {
		return nil
	}
	asks := c.cacheControl()
	if asks.noStore {
		p.metrics.recalled(r.Name, "bypassed")
		return nil
	}
	c.name = c.nameIt()
	c.record.Cache = cacheMiss
	if c.tape == nil {
		c.tape = &tape{limit: int(p.cache.Longest)}
	}
	if asks.noCache {
		p.metrics.recalled(r.Name, "bypassed")
		return nil
	}
	found, err := p.cache.Shelf.Get(context.Background(), c.name)
	switch {
	case err != nil:
		p.metrics.recalled(r.Name, "failed")
		p.log.Debug("cache", slog.String("id", c.ID), slog.Any("reason", err))
	case found == nil:
		p.metrics.recalled(r.Name, cacheMiss)
	default:
		c.kept = found
		c.record.Cache, c.record.Saved = cacheHit, found.Cost
		p.metrics.recalled(r.Name, cacheHit)
		p.metrics.saved.WithLabelValues(r.Name).Add(found.Cost.Dollars())
	}
	return nil
}

// repeatable tells whether an equal call would be answered the same, and would leave nothing behind at a provider.
func (c *Call) repeatable() bool {
	q := &c.question
	return cacheable[c.Content.Endpoint] && c.Content.Boundary == nil && c.Account == "" &&
		!c.Content.Stored && !q.Names && !q.Background && q.PreviousResponse == "" && q.Conversation == ""
}

// cacheControl is what a client wants: no-cache is an answer of its own, no-store is also that it is not kept.
type cacheControl struct{ noCache, noStore bool }

func (c *Call) cacheControl() (asks cacheControl) {
	if c.Header == nil {
		return asks
	}
	for word := range bytes.SplitSeq(c.Header.Peek("Cache-Control"), []byte(",")) {
		switch word = bytes.TrimSpace(word); {
		case bytes.EqualFold(word, valueNoCache):
			asks.noCache = true
		case bytes.EqualFold(word, valueNoStore):
			asks.noStore = true
		}
	}
	return asks
}

// nameIt names what the call asks, and of whom. What it is made for and who of the organization makes it is no part of it.
func (c *Call) nameIt() replay.Name {
	n := replay.Begin()
	r := c.plan.Route
	for _, text := range [...]string{string(c.Who.Org), r.Name, r.Recipe, c.Content.Endpoint.String(), view(c.Content.Query)} {
		n.Text(text)
	}
	for _, f := range c.Passed {
		if f.Name == "Openai-Beta" { // the others say nothing to a model
			n.Text(f.Value)
		}
	}
	n.JSON(view(c.Content.Body), "model")
	return n.Name()
}

// keepForOthers puts the answer of a call that went well on the shelf.
func (p *Pipeline) keepForOthers(c *Call, class adapters.Class) {
	if p.cache == nil || c.record.Cache != cacheMiss || class != adapters.ClassNone || !c.ended || c.tape == nil || c.tape.torn {
		return
	}
	a := c.toKeep()
	a.Until = a.Kept.Add(c.plan.Route.KeepFor)
	if err := p.cache.Shelf.Put(context.Background(), c.name, a); err != nil {
		p.metrics.recalled(a.Route, "failed")
		p.log.Debug("cache", slog.String("id", c.ID), slog.Any("reason", err))
	}
}

// toKeep is what is kept of the answer that the client got. Nothing in it belongs to the call.
func (c *Call) toKeep() *replay.Answer {
	t := c.tape
	a := &replay.Answer{
		Org: c.Who.Org, Route: c.plan.Route.Name, Kept: time.Now(), Status: t.status, Type: t.kind, Stream: t.stream,
		Provider: t.provider, Model: t.model, Cost: c.record.Cost, Body: t.bytes,
	}
	for _, tag := range c.record.Tags {
		a.Tags = append(a.Tags, tag.Key+"="+tag.Value)
	}
	return a
}

// relayKept brings an answer that was kept, or that another call is getting.
func (c *Call) relayKept() error {
	if c.follows != nil {
		return c.relayFollowed()
	}
	n, err := c.to.Write(c.kept.Body)
	if c.written += int64(n); err != nil {
		c.failed = endedError(adapters.ClassGone)
		return err
	}
	c.ended = true
	return nil
}
