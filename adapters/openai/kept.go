package openai

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// Kept appends what the provider keeps of an answer.
func (c *codec) Kept(out []adapters.Kept, in *adapters.Content, body []byte) []adapters.Kept {
	if c.kept == nil {
		return out
	}
	return c.kept(out, stringOf(body), in.Stored)
}

// Kept appends what the provider keeps, as an answer about objects says.
func (objects) Kept(out []adapters.Kept, in *adapters.Content, body []byte) []adapters.Kept {
	if in.Method == "DELETE" {
		return out // it is gone
	}
	answer := gjson.Parse(stringOf(body))
	add := func(kind string, ids ...gjson.Result) {
		for _, id := range ids {
			out = appendKept(out, kind, id)
		}
	}
	kind := answer.Get("object").Str
	for _, alone := range plainKinds { // a constant, since kind is a part of the body
		if kind == alone {
			add(alone, answer.Get("id"))
		}
	}
	switch kind {
	case adapters.KindResponse:
		return keptResponse(out, stringOf(body), true)
	case adapters.KindUpload:
		add(adapters.KindFile, answer.Get("file.id"))
	case adapters.KindBatch:
		add(adapters.KindFile, answer.Get("output_file_id"), answer.Get("error_file_id"))
	case adapters.KindTuning:
		add(adapters.KindFile, answer.Get("result_files").Array()...)
		add(adapters.KindModel, answer.Get("fine_tuned_model"))
	case "list":
		add(itemsOf(stringOf(in.Path)), answer.Get("data.#.id").Array()...)
	}
	return out
}

// plainKinds are those whose objects are answered as they are.
var plainKinds = [...]string{
	adapters.KindFile, adapters.KindUpload, adapters.KindPart, adapters.KindBatch, adapters.KindTuning, adapters.KindVectorStore,
	adapters.KindConversation, adapters.KindCompletion,
}

// itemsOf is the kind of what a list below a response or a conversation holds; of other lists nothing is new.
func itemsOf(path string) string {
	switch {
	case strings.HasPrefix(path, "/responses/"):
		return adapters.KindItem
	case strings.HasPrefix(path, "/conversations/"):
		return adapters.KindTurn
	}
	return ""
}

// keptCompletion is a chat completion that was asked to be stored.
func keptCompletion(out []adapters.Kept, completion string, stored bool) []adapters.Kept {
	if !stored {
		return out
	}
	return appendKept(out, adapters.KindCompletion, gjson.Get(completion, "id"))
}

// keptResponse is a response with the items of its output, each of which can be named later. The answer itself says
// whether it is stored; where it does not, the request has. The container of a tool lives on either way.
func keptResponse(out []adapters.Kept, response string, stored bool) []adapters.Kept {
	var id, output gjson.Result
	items := adapters.KindItem
	gjson.Parse(response).ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "id":
			id = value
		case "store":
			stored = value.Type != gjson.False
		case "output":
			output = value
		case "conversation":
			if value.Type != gjson.Null {
				items = adapters.KindTurn // it outlives the response
			}
		}
		return true
	})
	if stored {
		out = appendKept(out, adapters.KindResponse, id)
	}
	output.ForEach(func(_, item gjson.Result) bool {
		item.ForEach(func(key, value gjson.Result) bool {
			switch {
			case key.Str == "id" && stored:
				out = appendKept(out, items, value)
			case key.Str == "container_id":
				out = appendKept(out, adapters.KindContainer, value)
			}
			return true
		})
		return true
	})
	return out
}

func appendKept(out []adapters.Kept, kind string, id gjson.Result) []adapters.Kept {
	if kind == "" || id.Type != gjson.String || id.Str == "" {
		return out
	}
	return append(out, adapters.Kept{Kind: kind, ID: id.Str})
}

// Kept is the completion, if it is stored.
func (s *stream) Kept() []adapters.Kept { return s.kept }

// Kept is the response with what is known of it.
func (s *eventStream) Kept() []adapters.Kept { return s.kept }

// learnKept reads what an event says, and copies it, since the event's bytes go.
func (s *eventStream) learnKept(data []byte) {
	if s.kind.kept == nil {
		return
	}
	s.kept = s.kind.kept(s.kept[:0], stringOf(data), s.stored)
	for i := range s.kept {
		s.kept[i].ID = strings.Clone(s.kept[i].ID)
	}
}

var (
	_ adapters.Keeper     = (*codec)(nil)
	_ adapters.Keeper     = objects{}
	_ adapters.KeptStream = (*stream)(nil)
	_ adapters.KeptStream = (*trimmed)(nil)
	_ adapters.KeptStream = (*eventStream)(nil)
)
