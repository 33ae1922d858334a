package openai

import (
	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// responses is the codec for the Responses API.
func responses() *codec {
	return &codec{path: "/responses", answer: "a response", marker: "output", events: &responseEvents, more: countSearches, kept: keptResponse}
}

// inputTokens counts what a request would be charged for; it is free itself.
func inputTokens() *codec {
	return &codec{path: "/responses/input_tokens", answer: "a count of tokens", marker: "input_tokens"}
}

// compact shortens a conversation.
func compact() *codec {
	return &codec{path: "/responses/compact", answer: "a compacted response", marker: "output"}
}

// responseEvents are the events of a streamed response. The last one has the whole response in it, and its usage.
var responseEvents = eventKind{
	last:   []string{"response.completed", "response.incomplete", "response.failed", "response.cancelled"},
	failed: []string{"response.failed", "response.cancelled"},
	usage: func(u *adapters.Usage, data string) bool {
		last, counted := ResponseUsage(gjson.Get(data, "response").Raw)
		*u = last
		return counted
	},
	kept: func(out []adapters.Kept, data string, stored bool) []adapters.Kept {
		return keptResponse(out, gjson.Get(data, "response").Raw, stored)
	},
	says: func(t *adapters.Texts, kind string) *adapters.Text {
		switch kind {
		case "response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta",
			"response.custom_tool_call_input.delta", "response.mcp_call_arguments.delta", "response.code_interpreter_call_code.delta":
			return &t.Said
		case "response.reasoning_text.delta", "response.reasoning_summary_text.delta":
			return &t.Thought
		}
		return nil
	},
}

// countSearches counts the searches on the web that stand in a response's output; they have a price of their own. A call
// of the tool that opens a page or looks for something in it is none, and free
// (https://platform.openai.com/docs/guides/tools-web-search). Where the usage says how many there were, that is the number.
func countSearches(u adapters.Usage, response string) adapters.Usage {
	if u[adapters.Searches] > 0 {
		return u
	}
	gjson.Get(response, "output").ForEach(func(_, item gjson.Result) bool {
		if action := item.Get("action.type").Str; item.Get("type").Str == "web_search_call" && (action == "" || action == "search") {
			u[adapters.Searches]++
		}
		return true
	})
	return u
}

// ResponseUsage reads the usage of a response object, and tells whether it has any.
func ResponseUsage(response string) (u adapters.Usage, seen bool) {
	seen = ReadUsage(&u, gjson.Get(response, "usage").Raw)
	u = countSearches(u, response)
	return u, seen
}
