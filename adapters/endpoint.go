package adapters

// Endpoint is one path of the OpenAI API, or one family of paths that are treated alike.
type Endpoint uint8

// The endpoints that Vel serves. All but Objects name a model and can go to any provider that has it.
const (
	ChatCompletions Endpoint = iota + 1
	Responses
	ResponsesInputTokens
	ResponsesCompact
	Embeddings
	Completions
	Moderations
	ImageGenerations
	ImageEdits
	ImageVariations
	Speech
	Transcriptions
	Translations

	// Objects are calls on what a provider keeps under an id: files, uploads, batches, fine_tuning, vector_stores,
	// conversations, and what is stored of responses and chat completions. An id means something to one account
	// only, so such a call goes where the object is, and passes with method, path, query and body untouched.
	Objects

	endpoints
)

var endpointNames = [endpoints]string{
	"unknown", "chat/completions", "responses", "responses/input_tokens", "responses/compact", "embeddings", "completions",
	"moderations", "images/generations", "images/edits", "images/variations", "audio/speech", "audio/transcriptions",
	"audio/translations", "objects",
}

// Charged tells whether a provider charges for a call as such. A count of tokens is free, and what a call on objects
// starts (a batch, a fine-tuning) is not told by its answer.
func (e Endpoint) Charged() bool { return e != ResponsesInputTokens && e != Objects }

// String is the path below /v1, as it stands in logs, metrics and records; "objects" for Objects.
func (e Endpoint) String() string {
	if e < endpoints {
		return endpointNames[e]
	}
	return endpointNames[0]
}
