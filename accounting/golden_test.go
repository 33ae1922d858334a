package accounting_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vel-gateway/vel/accounting"
	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/groq"
	"github.com/vel-gateway/vel/adapters/openai"
	"github.com/vel-gateway/vel/adapters/perplexity"
)

// golden is an answer as a provider sends it, what it says was used, and what that costs.
type golden struct {
	name     string
	at       string // a host
	endpoint adapters.Endpoint
	model    string
	stream   bool
	body     string
	in, out  int64 // the provider's own totals: no token is lost, none counted twice
	usage    map[adapters.Unit]int64
	dollars  string // computed by hand
}

// The prices are those of list.json and overlay.json, in dollars for a million tokens, so that the sums in the comments are
// in millionths of a dollar. They come from the providers' pages:
// https://openai.com/api/pricing, https://groq.com/pricing, https://docs.perplexity.ai/docs/agent-api/models,
// https://api-docs.deepseek.com/quick_start/pricing, https://docs.x.ai/docs/models, https://www.anthropic.com/pricing.
var goldens = []golden{
	{ // the usage is that of https://platform.openai.com/docs/guides/prompt-caching, with reasoning
		"cached, reasoning", "api.openai.com", adapters.ChatCompletions, "gpt-5.4", false,
		chat(cachedReasoning), 2006, 300,
		map[adapters.Unit]int64{adapters.Input: 86, adapters.CacheRead: 1920, adapters.Output: 108, adapters.Reasoning: 192},
		"0.005195", // 86 × 2.5 + 1920 × 0.25 + 300 × 15 = 215 + 480 + 4500
	},
	{
		"cached, reasoning", "api.openai.com", adapters.ChatCompletions, "gpt-5.4-2026-03-05", true,
		chatStream(cachedReasoning), 2006, 300,
		map[adapters.Unit]int64{adapters.Input: 86, adapters.CacheRead: 1920, adapters.Output: 108, adapters.Reasoning: 192},
		"0.005195",
	},
	{
		"tools", "api.openai.com", adapters.ChatCompletions, "gpt-4o", false,
		`{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":82,"completion_tokens":17,"total_tokens":99}}`,
		82, 17,
		map[adapters.Unit]int64{adapters.Input: 82, adapters.Output: 17},
		"0.000375", // 82 × 2.5 + 17 × 10
	},
	{
		"a prompt beyond the tier", "api.openai.com", adapters.ChatCompletions, "gpt-5.4", false,
		chat(`{"prompt_tokens":300000,"completion_tokens":1000,"total_tokens":301000}`), 300_000, 1000,
		map[adapters.Unit]int64{adapters.Input: 300_000, adapters.Output: 1000},
		"1.5225", // 300,000 × 5 + 1000 × 22.5
	},
	{
		"audio", "api.openai.com", adapters.ChatCompletions, "gpt-audio", false,
		chat(`{"prompt_tokens":100,"completion_tokens":60,"total_tokens":160,"prompt_tokens_details":{"cached_tokens":0,"text_tokens":20,"audio_tokens":80},"completion_tokens_details":{"text_tokens":10,"audio_tokens":50,"reasoning_tokens":0}}`),
		100, 60,
		map[adapters.Unit]int64{adapters.Input: 20, adapters.AudioIn: 80, adapters.Output: 10, adapters.AudioOut: 50},
		"0.00591", // 20 × 2.5 + 80 × 32 + 10 × 10 + 50 × 64
	},
	{ // cached sound is in both numbers
		"cached audio", "api.openai.com", adapters.ChatCompletions, "gpt-audio", true,
		chatStream(`{"prompt_tokens":100,"completion_tokens":10,"total_tokens":110,"prompt_tokens_details":{"cached_tokens":64,"text_tokens":20,"audio_tokens":80,"cached_tokens_details":{"text_tokens":4,"audio_tokens":60}}}`),
		100, 10,
		map[adapters.Unit]int64{adapters.Input: 16, adapters.CacheRead: 64, adapters.AudioIn: 20, adapters.Output: 10},
		"0.00094", // (16 + 64) × 2.5 + 20 × 32 + 10 × 10; it has no price of what is cached
	},
	{ // one search; to open a page is none
		"a search", "api.openai.com", adapters.Responses, "gpt-5.4", false,
		response(searched), 328, 52, searchedUsage,
		"0.011312", // 200 × 2.5 + 128 × 0.25 + 52 × 15 = 500 + 32 + 780, and 0.01 for the search
	},
	{
		"a search", "api.openai.com", adapters.Responses, "gpt-5.4", true,
		event("response.created", `{"type":"response.created","response":{"id":"r","object":"response","status":"in_progress","output":[],"usage":null}}`) +
			event("response.completed", `{"type":"response.completed","response":`+response(searched)+`}`),
		328, 52, searchedUsage, "0.011312",
	},
	{
		"embeddings", "api.openai.com", adapters.Embeddings, "text-embedding-3-small", false,
		`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}`,
		8, 0,
		map[adapters.Unit]int64{adapters.Input: 8},
		"0.00000016", // 8 × 0.02
	},
	{
		"completions", "api.openai.com", adapters.Completions, "gpt-3.5-turbo-instruct", true,
		data(`{"id":"c","object":"text_completion","choices":[{"index":0,"text":"x","finish_reason":"stop"}]}`) +
			data(`{"id":"c","object":"text_completion","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`) + data("[DONE]"),
		5, 7,
		map[adapters.Unit]int64{adapters.Input: 5, adapters.Output: 7},
		"0.0000215", // 5 × 1.5 + 7 × 2
	},
	{
		"moderation is free", "api.openai.com", adapters.Moderations, "omni-moderation-latest", false,
		`{"id":"modr","model":"omni-moderation-latest","results":[{"flagged":false}]}`, 0, 0, nil, "0",
	},
	{
		"pictures", "api.openai.com", adapters.ImageEdits, "gpt-image-1", false,
		`{"created":1,"data":[{"b64_json":"AAAA"}],"usage":{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":40}}}`,
		50, 50,
		map[adapters.Unit]int64{adapters.Input: 10, adapters.ImageIn: 40, adapters.ImageOut: 50, adapters.Images: 1},
		"0.00245", // 10 × 5 + 40 × 10 + 50 × 40
	},
	{
		"pictures", "api.openai.com", adapters.ImageGenerations, "gpt-image-1", true,
		event("image_generation.partial_image", `{"type":"image_generation.partial_image","b64_json":"AAAA","partial_image_index":0}`) +
			event("image_generation.completed", `{"type":"image_generation.completed","b64_json":"AAAA","usage":{"total_tokens":60,"input_tokens":10,"output_tokens":50,"input_tokens_details":{"text_tokens":10,"image_tokens":0}}}`),
		10, 50,
		map[adapters.Unit]int64{adapters.Input: 10, adapters.ImageOut: 50, adapters.Images: 1},
		"0.00205", // 10 × 5 + 50 × 40
	},
	{
		"tokens of sound", "api.openai.com", adapters.Transcriptions, "gpt-4o-transcribe", false,
		`{"text":"Hi","usage":` + transcribed + `}`, 14, 45, transcribedUsage,
		"0.00052", // 4 × 2.5 + 10 × 6 + 45 × 10
	},
	{
		"tokens of sound", "api.openai.com", adapters.Transcriptions, "gpt-4o-transcribe", true,
		event("transcript.text.delta", `{"type":"transcript.text.delta","delta":"Hi"}`) +
			event("transcript.text.done", `{"type":"transcript.text.done","text":"Hi","usage":`+transcribed+`}`),
		14, 45, transcribedUsage, "0.00052",
	},
	{
		"seconds of sound", "api.openai.com", adapters.Translations, "whisper-1", false,
		`{"text":"Hi","usage":{"type":"duration","seconds":9}}`, 0, 0,
		map[adapters.Unit]int64{adapters.AudioMillis: 9000},
		"0.0009", // 0.36 an hour × 9 s
	},
	{
		"speech", "api.openai.com", adapters.Speech, "gpt-4o-mini-tts", true,
		event("speech.audio.delta", `{"type":"speech.audio.delta","audio":"AAAA"}`) +
			event("speech.audio.done", `{"type":"speech.audio.done","usage":{"input_tokens":5,"output_tokens":80,"total_tokens":85}}`),
		5, 80,
		map[adapters.Unit]int64{adapters.Input: 5, adapters.AudioOut: 80},
		"0.000963", // 5 × 0.6 + 80 × 12
	},
	{
		"usage in x_groq", "api.groq.com", adapters.ChatCompletions, "llama-3.3-70b-versatile", true,
		data(`{"id":"c","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"x_groq":{"id":"req_1"}}`) +
			data(`{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"queue_time":0.05,"prompt_tokens":24,"prompt_time":0.001,"completion_tokens":3,"completion_time":0.01,"total_tokens":27,"total_time":0.011}}}`) + data("[DONE]"),
		24, 3,
		map[adapters.Unit]int64{adapters.Input: 24, adapters.Output: 3},
		"0.00001653", // 24 × 0.59 + 3 × 0.79
	},
	{ // https://console.groq.com/docs/prompt-caching
		"cached, reasoning", "api.groq.com", adapters.ChatCompletions, "openai/gpt-oss-120b", false,
		chat(`{"queue_time":0.026,"prompt_tokens":4641,"prompt_time":0.009,"completion_tokens":1817,"completion_time":5.5,"total_tokens":6458,"total_time":5.6,"prompt_tokens_details":{"cached_tokens":4608},"completion_tokens_details":{"reasoning_tokens":1000}}`),
		4641, 1817,
		map[adapters.Unit]int64{adapters.Input: 33, adapters.CacheRead: 4608, adapters.Output: 817, adapters.Reasoning: 1000},
		"0.00144075", // 33 × 0.15 + 4608 × 0.075 + 1817 × 0.6
	},
	{
		"responses", "api.groq.com", adapters.Responses, "openai/gpt-oss-20b", false,
		response(`"output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":10},"total_tokens":130}`),
		100, 30,
		map[adapters.Unit]int64{adapters.Input: 60, adapters.CacheRead: 40, adapters.Output: 20, adapters.Reasoning: 10},
		"0.000015", // 60 × 0.075 + 40 × 0.0375 + 30 × 0.3 = 4.5 + 1.5 + 9
	},
	{
		"time of sound", "api.groq.com", adapters.Transcriptions, "whisper-large-v3-turbo", false,
		`{"task":"transcribe","language":"English","duration":8.47,"text":"Hi","segments":[],"x_groq":{"id":"req_1"}}`,
		0, 0,
		map[adapters.Unit]int64{adapters.AudioMillis: 8470},
		"0.000094111", // 0.04 an hour × 8.47 s = 0.0000941111…
	},
	{
		"a search", "api.perplexity.ai", adapters.Responses, "sonar", false, response(sought), 8, 4, soughtUsage,
		"0.005011625", // 6 × 0.25 + 2 × 0.0625 + 4 × 2.5 = 11.625, and 0.005 for the search
	},
	{
		"a search, as a chat", "api.perplexity.ai", adapters.ChatCompletions, "sonar-pro", false, response(sought), 8, 4, soughtUsage, "0.005011625",
	},
	{
		"a search, as a chat", "api.perplexity.ai", adapters.ChatCompletions, "perplexity/sonar", true,
		event("response.created", `{"type":"response.created","response":{"id":"r","object":"response","status":"in_progress","output":[]}}`) +
			event("response.output_text.delta", `{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"x"}`) +
			event("response.completed", `{"type":"response.completed","response":`+response(sought)+`}`),
		8, 4, soughtUsage, "0.005011625",
	},
	{
		"cached beside the details", "api.deepseek.com", adapters.ChatCompletions, "deepseek-v3.1-terminus", false,
		chat(`{"prompt_tokens":100,"completion_tokens":9,"total_tokens":109,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}`),
		100, 9,
		map[adapters.Unit]int64{adapters.Input: 36, adapters.CacheRead: 64, adapters.Output: 9},
		"0.00002659", // 36 × 0.27 + 64 × 0.13 + 9 × 0.95
	},
	{ // its reasoning is not in completion_tokens
		"reasoning beside the sum", "api.x.ai", adapters.ChatCompletions, "grok-4.3", false,
		chat(`{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"prompt_tokens_details":{"text_tokens":32,"audio_tokens":0,"image_tokens":0,"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":94,"audio_tokens":0},"num_sources_used":0}`),
		32, 103,
		map[adapters.Unit]int64{adapters.Input: 32, adapters.Output: 9, adapters.Reasoning: 94},
		"0.0002975", // 32 × 1.25 + 103 × 2.5
	},
	{ // a proxy that counts as Anthropic does
		"cache beside the sum", "api.anthropic.com", adapters.ChatCompletions, "claude-sonnet-4-5", false,
		chat(`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"prompt_tokens_details":{"cached_tokens":90,"cache_creation_input_tokens":10}}`),
		110, 5,
		map[adapters.Unit]int64{adapters.Input: 10, adapters.CacheRead: 90, adapters.CacheWrite: 10, adapters.Output: 5},
		"0.0001695", // 10 × 3 + 90 × 0.3 + 10 × 3.75 + 5 × 15
	},
	{
		"cache beside the sum", "api.anthropic.com", adapters.ChatCompletions, "claude-sonnet-4-5", true,
		chatStream(`{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"prompt_tokens_details":{"cached_tokens":90,"cache_creation_input_tokens":10}}`),
		110, 5,
		map[adapters.Unit]int64{adapters.Input: 10, adapters.CacheRead: 90, adapters.CacheWrite: 10, adapters.Output: 5},
		"0.0001695",
	},
	{
		"tools", "api.openai.com", adapters.ChatCompletions, "gpt-4o", true,
		data(`{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}`) +
			data(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]},"finish_reason":null}]}`) +
			data(`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`) +
			data(`{"choices":[],"usage":{"prompt_tokens":82,"completion_tokens":17,"total_tokens":99}}`) + data("[DONE]"),
		82, 17,
		map[adapters.Unit]int64{adapters.Input: 82, adapters.Output: 17},
		"0.000375",
	},
	{
		"tools", "api.openai.com", adapters.Responses, "gpt-5.4", true,
		event("response.function_call_arguments.delta", `{"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":0,"delta":"{}"}`) +
			event("response.completed", `{"type":"response.completed","response":`+response(`"output":[{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{}"}],`+
				`"usage":{"input_tokens":82,"input_tokens_details":{"cached_tokens":0},"output_tokens":17,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":99}`)+`}`),
		82, 17,
		map[adapters.Unit]int64{adapters.Input: 82, adapters.Output: 17},
		"0.00046", // 82 × 2.5 + 17 × 15
	},
	{
		"audio", "api.openai.com", adapters.ChatCompletions, "gpt-audio", true,
		chatStream(`{"prompt_tokens":100,"completion_tokens":60,"total_tokens":160,"prompt_tokens_details":{"cached_tokens":0,"text_tokens":20,"audio_tokens":80},"completion_tokens_details":{"text_tokens":10,"audio_tokens":50,"reasoning_tokens":0}}`),
		100, 60,
		map[adapters.Unit]int64{adapters.Input: 20, adapters.AudioIn: 80, adapters.Output: 10, adapters.AudioOut: 50},
		"0.00591",
	},
	{
		"completions", "api.openai.com", adapters.Completions, "gpt-3.5-turbo-instruct", false,
		`{"id":"c","object":"text_completion","choices":[{"index":0,"text":"x","finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}`,
		5, 7,
		map[adapters.Unit]int64{adapters.Input: 5, adapters.Output: 7},
		"0.0000215",
	},
	{
		"cached, reasoning", "api.groq.com", adapters.ChatCompletions, "openai/gpt-oss-120b", true,
		data(`{"id":"c","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"x_groq":{"id":"req_1"}}`) +
			data(`{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"prompt_tokens":4641,"completion_tokens":1817,"total_tokens":6458,"prompt_tokens_details":{"cached_tokens":4608},"completion_tokens_details":{"reasoning_tokens":1000}}}}`) + data("[DONE]"),
		4641, 1817,
		map[adapters.Unit]int64{adapters.Input: 33, adapters.CacheRead: 4608, adapters.Output: 817, adapters.Reasoning: 1000},
		"0.00144075",
	},
	{
		"responses", "api.groq.com", adapters.Responses, "openai/gpt-oss-20b", true,
		event("response.completed", `{"type":"response.completed","response":`+
			response(`"output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":10},"total_tokens":130}`)+`}`),
		100, 30,
		map[adapters.Unit]int64{adapters.Input: 60, adapters.CacheRead: 40, adapters.Output: 20, adapters.Reasoning: 10},
		"0.000015",
	},
	{ // what it has counted so far is in every event: the last one holds
		"usage in every event", "api.x.ai", adapters.ChatCompletions, "grok-4.3", true,
		data(`{"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":32,"completion_tokens":1,"total_tokens":127,"completion_tokens_details":{"reasoning_tokens":94}}}`) +
			data(`{"choices":[{"index":0,"delta":{"content":"y"},"finish_reason":"stop"}],"usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,"completion_tokens_details":{"reasoning_tokens":94}}}`) + data("[DONE]"),
		32, 103,
		map[adapters.Unit]int64{adapters.Input: 32, adapters.Output: 9, adapters.Reasoning: 94},
		"0.0002975",
	},
	{
		"cached beside the details", "api.deepseek.com", adapters.ChatCompletions, "deepseek-v3.1-terminus", true,
		chatStream(`{"prompt_tokens":100,"completion_tokens":9,"total_tokens":109,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":36}`),
		100, 9,
		map[adapters.Unit]int64{adapters.Input: 36, adapters.CacheRead: 64, adapters.Output: 9},
		"0.00002659",
	},
}

const (
	cachedReasoning = `{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":192,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`
	searched        = `"output":[{"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"q"}},{"type":"web_search_call","id":"ws_2","status":"completed","action":{"type":"open_page","url":"https://a.example"}}],` +
		`"usage":{"input_tokens":328,"input_tokens_details":{"cached_tokens":128},"output_tokens":52,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":380}`
	transcribed = `{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":4,"audio_tokens":10},"output_tokens":45,"total_tokens":59}`
	sought      = `"output":[{"type":"search_results","queries":["q"],"results":[{"id":1,"url":"https://a.example","title":"A","snippet":"s"}]},{"type":"message","id":"m","role":"assistant","status":"completed","content":[{"type":"output_text","text":"x","annotations":[]}]}],` +
		`"usage":{"input_tokens":8,"output_tokens":4,"total_tokens":12,"input_tokens_details":{"cache_read_input_tokens":2},"tool_calls_details":{"search_web":{"invocation":1}},"cost":{"currency":"USD","total_cost":0.005011625}}`
)

var (
	searchedUsage    = map[adapters.Unit]int64{adapters.Input: 200, adapters.CacheRead: 128, adapters.Output: 32, adapters.Reasoning: 20, adapters.Searches: 1}
	transcribedUsage = map[adapters.Unit]int64{adapters.Input: 4, adapters.AudioIn: 10, adapters.Output: 45}
	soughtUsage      = map[adapters.Unit]int64{adapters.Input: 6, adapters.CacheRead: 2, adapters.Output: 4, adapters.Searches: 1}
)

func chat(usage string) string {
	return `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":` + usage + `}`
}

func chatStream(usage string) string {
	return data(`{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}],"usage":null}`) +
		data(`{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`) +
		data(`{"id":"c","object":"chat.completion.chunk","choices":[],"usage":`+usage+`}`) + data("[DONE]")
}

func response(members string) string {
	return `{"id":"r","object":"response","created_at":1,"status":"completed","model":"m",` + members + `}`
}

func data(text string) string        { return "data: " + text + "\n\n" }
func event(kind, text string) string { return "event: " + kind + "\n" + data(text) }

// header is the head of an answer.
type header string

func (h header) Peek(name string) []byte {
	if strings.EqualFold(name, "Content-Type") {
		return []byte(h)
	}
	return nil
}

// Each answer is understood as it says, its classes add up to the provider's own totals, and the cost is exact.
func TestGoldenCosts(t *testing.T) {
	t.Parallel()
	book, err := accounting.NewPriceBook()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]*adapters.Adapter{
		"api.groq.com": groq.New("https://api.groq.com/openai/v1"), "api.perplexity.ai": perplexity.New("https://api.perplexity.ai/v1"),
	}
	compatible := openai.New("openai", "https://api.openai.com/v1", openai.AskUsage())
	for _, g := range goldens {
		name := strings.Join([]string{g.at, g.endpoint.String(), g.name}, " ")
		if g.stream {
			name += ", streamed"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, ok := served[g.at]
			if !ok {
				a = compatible
			}
			usage := g.read(t, a.Codecs[g.endpoint])
			var want adapters.Usage
			for unit, n := range g.usage {
				want[unit] = n
			}
			if usage != want {
				t.Errorf("usage %v, want %v", usage, want)
			}
			if in, out := usage.Tokens(); in != g.in || out != g.out {
				t.Errorf("%d tokens in and %d out, but the provider has %d and %d", in, out, g.in, g.out)
			}
			usage[adapters.Requests] = 1
			at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
			cost, whole := book.Find(accounting.Account{Name: "p", Kind: a.Kind, Host: g.at}, g.model).Cost(&usage, at)
			if cost.String() != g.dollars || !whole {
				t.Errorf("it costs %s, whole %v; want %s", cost, whole, g.dollars)
			}
		})
	}
}

// read lets the codec read the answer.
func (g *golden) read(t *testing.T, codec adapters.Codec) (usage adapters.Usage) {
	t.Helper()
	in := &adapters.Content{Endpoint: g.endpoint, Method: "POST", Stream: g.stream}
	if !g.stream {
		_, usage, err := codec.DecodeResponse(nil, in, header("application/json"), []byte(g.body))
		if err != nil {
			t.Fatal(err)
		}
		return usage
	}
	s := codec.DecodeStream(in, header("text/event-stream"))
	if _, err := s.Feed(nil, []byte(g.body)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.End(nil); err != nil {
		t.Fatal(err)
	}
	usage, seen := s.Usage()
	if !seen {
		t.Error("the stream's usage was not seen")
	}
	return usage
}
