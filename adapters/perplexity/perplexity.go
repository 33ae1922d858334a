// Package perplexity speaks to Perplexity, whose models search the web before they answer.
//
// It owns what is Perplexity's own: since its chat completions ended in September 2026 there is only the Agent API, a
// dialect of Responses (https://docs.perplexity.ai/docs/agent-api), so a chat is translated by package responses, and
// this package says which model and preset a Sonar name stands for and where the search options go. The Agent API
// refuses every field that it does not know, so only known ones are sent.
//
// What Sonar had and the Agent API has not (pictures, related questions, penalties, stop) is listed as dropped. The
// model may mark its sources as [web:1] where Sonar wrote [1]; texts are not rewritten.
package perplexity

import (
	"bytes"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/adapters/responses"
	"github.com/vel-gateway/vel/adapters/strictjson"
)

// New is the adapter for the Agent API at a base URL, which ends before "/responses".
func New(baseURL string) *adapters.Adapter {
	a := openai.New("perplexity", baseURL)
	a.OpenList = true
	passing := a.Codecs[adapters.Responses]
	a.Codecs = map[adapters.Endpoint]adapters.Codec{
		adapters.ChatCompletions: responses.Chat(dialect()),
		adapters.Responses:       agent{passing},
		adapters.Embeddings:      a.Codecs[adapters.Embeddings],
	}
	return a
}

// NewChat is the adapter for servers that still speak chat completions as Sonar did, at a base URL which ends before
// "/chat/completions": usage so far in each chunk, chunks without choices, some streams without [DONE].
func NewChat(baseURL string) *adapters.Adapter {
	a := openai.New("perplexity", baseURL)
	a.OpenList = true
	a.Codecs = map[adapters.Endpoint]adapters.Codec{adapters.ChatCompletions: a.Codecs[adapters.ChatCompletions]}
	return a
}

func dialect() responses.Dialect {
	return responses.Dialect{
		Model: func(name string) string {
			slug, preset := resolve(name)
			members := `"model":` + string(gjson.AppendJSONString(nil, slug))
			if preset != "" {
				members += `,"preset":"` + preset + `"`
			}
			return members
		},
		Same: []string{
			"temperature", "top_p", "parallel_tool_calls", "metadata", "language_preference", "max_steps", "max_tool_calls",
		},
		Tool:        webSearch,
		Fields:      append([]string{"web_search_options", "num_search_results"}, filters[:]...),
		FormatOnTop: true, Strict: true, Sources: true,
	}
}

// sonar is the one model of Perplexity's own. A preset alone may stand for a model of somebody else's.
const sonar = "perplexity/sonar"

// resolve says which model and preset a name of Sonar's stands for, by the provider's guide for those who come from
// there (https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar). Other names are models as they are.
func resolve(name string) (slug, preset string) {
	switch name {
	case "sonar", "sonar-pro", sonar:
		return sonar, "fast"
	case "sonar-reasoning", "sonar-reasoning-pro":
		return sonar, "low"
	case "sonar-deep-research":
		return sonar, "high"
	}
	return name, ""
}

// filters are the search options that moved into the search tool under their own names.
var filters = [...]string{
	"search_domain_filter", "search_recency_filter", "search_after_date_filter", "search_before_date_filter",
	"last_updated_after_filter", "last_updated_before_filter",
}

// webSearch makes the search tool with what a chat request says about searching; none if it says nothing, since the
// presets have one.
func webSearch(request gjson.Result) (tool string, dropped []string) {
	var members []byte
	add := func(name, raw string) {
		members = append(append(append(append(members, `,"`...), name...), `":`...), raw...)
	}
	var inside []byte
	for _, name := range filters {
		if v := request.Get(name); v.Exists() && v.Type != gjson.Null {
			inside = append(append(append(append(inside, `,"`...), name...), `":`...), v.Raw...)
		}
	}
	if len(inside) > 0 {
		inside[0] = '{'
		add("filters", string(inside)+"}")
	}
	if v := request.Get("num_search_results"); v.Type == gjson.Number {
		add("max_results", v.Raw)
	}
	request.Get("web_search_options").ForEach(func(key, v gjson.Result) bool {
		switch {
		case v.Type == gjson.Null:
		case key.Str == "search_context_size":
			add(key.Str, v.Raw)
		case key.Str == "user_location":
			if inner := v.Get("approximate"); inner.IsObject() { // as OpenAI has it
				v = inner
			}
			add(key.Str, place(v, &dropped))
		default:
			dropped = append(dropped, "web_search_options."+key.Str)
		}
		return true
	})
	if len(members) == 0 {
		return "", dropped
	}
	return `{"type":"web_search"` + string(members) + "}", dropped
}

// place is where the user is, without what the tool would refuse.
func place(location gjson.Result, dropped *[]string) string {
	out := []byte{'{'}
	location.ForEach(func(key, v gjson.Result) bool {
		switch key.Str {
		case "latitude", "longitude", "country", "region", "city":
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(append(out, key.Raw...), ':'), v.Raw...)
		case "type":
		default:
			*dropped = append(*dropped, "web_search_options.user_location."+key.Str)
		}
		return true
	})
	return string(append(out, '}'))
}

// agent passes Responses calls, with Sonar's names resolved.
type agent struct{ adapters.Codec }

// EncodeRequest passes the body but for the model, and adds the preset that its name stands for.
func (a agent) EncodeRequest(dst *adapters.Request, in *adapters.Content, model string) error {
	slug, preset := resolve(model)
	if err := a.Codec.EncodeRequest(dst, in, slug); err != nil || preset == "" {
		return err
	}
	chosen := false
	err := strictjson.Walk(in.Body, func(key []byte, _, _ int) error {
		chosen = chosen || bytes.Equal(key, []byte("preset"))
		return nil
	})
	if err != nil || chosen {
		return err
	}
	dst.Body = in.Edited(dst.Body[:0], slug, in.Insert(`"preset":"`+preset+`"`))
	return nil
}
