package openai

import "github.com/vel-gateway/vel/adapters"

// chat is the codec for chat completions.
func chat(o *options) *codec {
	return &codec{path: "/chat/completions", answer: "a chat completion", marker: "choices", asks: o.askUsage, kept: keptCompletion}
}

// completions is the codec for the older endpoint that continues a text. Its streams are like chat's.
func completions(o *options) *codec {
	return &codec{path: "/completions", answer: "a completion", marker: "choices", asks: o.askUsage}
}

// moderations is the codec for judging texts and pictures. It is free of charge and counts nothing.
func moderations() *codec {
	return &codec{path: "/moderations", answer: "a moderation", marker: "results"}
}

var (
	_ adapters.Codec       = (*codec)(nil)
	_ adapters.TailDecoder = (*codec)(nil)
)
