package admin

import (
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
)

// Units is what was used, in classes that do not overlap.
type Units struct {
	Input       int64 `json:"input" doc:"Tokens that were sent and are in no other class."`
	CachedInput int64 `json:"cached_input" doc:"Tokens that were sent and that the provider had in its cache."`
	CacheWrite  int64 `json:"cache_write" doc:"Tokens that were sent and that it put there."`
	Output      int64 `json:"output" doc:"Tokens that came back and are in no other class."`
	Reasoning   int64 `json:"reasoning" doc:"Tokens of reasoning."`
	AudioInput  int64 `json:"audio_input" doc:"Tokens of sound that was sent."`
	AudioOutput int64 `json:"audio_output" doc:"Tokens of sound that came back."`
	ImageInput  int64 `json:"image_input" doc:"Tokens of pictures that were sent."`
	ImageOutput int64 `json:"image_output" doc:"Tokens of pictures that came back."`
	AudioMillis int64 `json:"audio_ms" doc:"Milliseconds of sound, where the provider tells them instead of tokens."`
	Images      int64 `json:"images" doc:"Pictures that were made."`
	Searches    int64 `json:"searches" doc:"Searches on the web."`
}

func viewUnits(u *adapters.Usage) Units {
	return Units{
		u[adapters.Input], u[adapters.CacheRead], u[adapters.CacheWrite], u[adapters.Output], u[adapters.Reasoning], u[adapters.AudioIn], u[adapters.AudioOut],
		u[adapters.ImageIn], u[adapters.ImageOut], u[adapters.AudioMillis], u[adapters.Images], u[adapters.Searches],
	}
}

// millis is a time as the API shows it.
func millis(d time.Duration) float64 { return float64(d/time.Microsecond) / 1000 }

// orNone is one that may be missing.
func orNone(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	ms := millis(d)
	return &ms
}

func stateOf(s accounting.State) string {
	switch s {
	case accounting.Begun:
		return "begun"
	case accounting.Interrupted:
		return "interrupted"
	}
	return "ended"
}

func viewLine(r *accounting.Record, names *namer) CallLine {
	in, out := r.Usage.Tokens()
	v := CallLine{
		ID: r.ID, Organization: r.Who.Org, Begun: r.Begun.UTC(), State: stateOf(r.State),
		Team: names.team(r.Who.Org, r.Who.Team), User: names.user(r.Who.Org, r.Who.User), Key: names.key(r.Who.Org, r.Who.Key),
		Route: r.Route, Provider: r.Provider, Model: r.Model, Endpoint: r.Endpoint.String(), Stream: r.Stream,
		Status: r.Status, Class: r.Class.String(), Error: textOf(r.Error), Waiting: millis(r.Waiting), FirstToken: orNone(r.FirstToken), Total: millis(r.Total),
		Usage: viewUnits(&r.Usage), TokensIn: in, TokensOut: out, Estimated: r.Estimated, Cost: r.Cost.String(), Unpriced: textOf(r.Unpriced),
		Tags: make(map[string]string, len(r.Tags)), Task: idOf(r.Task), Run: idOf(r.Run), Cache: textOf(r.Cache), Saved: r.Saved.String(),
	}
	for _, t := range r.Tags {
		v.Tags[t.Key] = t.Value
	}
	return v
}

func viewCall(r *accounting.Record, names *namer) Call {
	v := Call{
		CallLine: viewLine(r, names), Attempts: make([]Attempt, 0, len(r.Attempts)), Estimate: r.Estimate.String(),
		Dropped: append([]string{}, r.Dropped...), Agent: textOf(r.Agent), Kept: len(r.Prompt)+len(r.Answer) > 0, Mirror: viewMirror(&r.Mirror),
	}
	for i := range r.Attempts {
		v.Attempts = append(v.Attempts, viewAttempt(&r.Attempts[i]))
	}
	return v
}

func viewAttempt(a *accounting.Attempt) Attempt {
	v := Attempt{
		Provider: a.Provider, Model: a.Model, Began: millis(a.Began), FirstByte: orNone(a.FirstByte), Total: millis(a.Total), Class: a.Class.String(),
		Executed: a.Executed, Usage: viewUnits(&a.Usage), Estimated: a.Estimated, Cost: a.Cost.String(), Unpriced: textOf(a.Unpriced), Price: textOf(a.Price),
	}
	if a.Status != 0 {
		v.Status = &a.Status
	}
	return v
}
