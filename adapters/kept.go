package adapters

// The kinds of what a provider keeps, in OpenAI's words for them where it has one.
const (
	KindFile         = "file"
	KindUpload       = "upload"
	KindPart         = "upload.part"
	KindBatch        = "batch"
	KindTuning       = "fine_tuning.job"
	KindModel        = "model" // one that a fine-tuning job has made
	KindVectorStore  = "vector_store"
	KindConversation = "conversation"
	KindTurn         = "conversation.item"
	KindResponse     = "response"
	KindItem         = "response.item" // of a response's input or output
	KindContainer    = "container"     // where a tool of a response runs code
	KindCompletion   = "chat.completion"
)

// Kept is something that a provider keeps under an id. Its kind is one of the constants.
type Kept struct{ Kind, ID string }

// Keeper is a codec at whose provider something stays that answers speak of. A codec that translates is none: what it
// makes up lies nowhere.
type Keeper interface {
	// Kept appends what the provider keeps, as a whole answer or the beginning of a large one says. The ids alias body.
	Kept(out []Kept, in *Content, body []byte) []Kept
}

// KeptStream is the stream of such a codec.
type KeptStream interface {
	// Kept is what has been seen so far. The strings are their own.
	Kept() []Kept
}

// Keeps tells whether an answer may speak of something that stays at the provider.
func (c *Content) Keeps() bool { return c.Stored || c.Endpoint == Responses || c.Endpoint == Objects }
