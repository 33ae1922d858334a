// Command go runs the checks of openai's Go client against a running Vel. Each check prints one line of JSON: its
// name, whether it held, and why not. It is a module of its own so that the client stays out of every other graph.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/shared"
)

var (
	velURL    = os.Getenv("VEL_URL")
	key       = os.Getenv("VEL_KEY")
	narrowKey = os.Getenv("VEL_NARROW_KEY")
	simURL    = os.Getenv("SIM_URL")
)

func main() {
	checks := []struct {
		name string
		run  func(context.Context) error
	}{
		{"chat", chat},
		{"request_id", requestID},
		{"stream", stream},
		{"include_usage", includeUsage},
		{"tools", tools},
		{"tools_in_stream", toolsInStream},
		{"structured_output", structuredOutput},
		{"responses", respond},
		{"responses_stream", respondStream},
		{"embeddings", embeddings},
		{"moderations", moderations},
		{"speech", speech},
		{"transcription", transcription},
		{"images", images},
		{"files", files},
		{"models", models},
		{"base_url_without_v1", withoutV1},
		{"error_400", failing(400, "", params("hi"), option.WithJSONSet("messages", "no list"))},
		{"error_401", failing(401, "invalid_api_key", params("hi"), option.WithAPIKey("sk-nobody-0123456789"))},
		{"error_403", failing(403, "", params("hi"), option.WithAPIKey(narrowKey))},
		{"error_404", failing(404, "model_not_found", params("hi"), option.WithJSONSet("model", "nobody"))},
		{"error_422", failing(422, "some_code", params("[[status=422 code=some_code]]"))},
		{"error_429", failing(429, "", params("[[status=429 retry_after=3]]"))},
		{"error_502", failing(502, "", params("[[status=401]]"))},
		{"error_500_is_retried", retried},
		{"error_in_stream", errorInStream},
		// The last three share the simulator's counters, so they come one after the other, at the end.
		{"abort_stream", abortStream},
		{"abort_stream_before_first_byte", func(ctx context.Context) error { return abort(ctx, true) }},
		{"abort_before_first_byte", func(ctx context.Context) error { return abort(ctx, false) }},
	}
	out := json.NewEncoder(os.Stdout)
	for _, c := range checks {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		result := map[string]any{"check": c.name, "ok": true}
		if err := c.run(ctx); err != nil {
			result["ok"], result["why"] = false, err.Error()
		}
		cancel()
		if err := out.Encode(result); err != nil {
			os.Exit(1)
		}
	}
	if err := out.Encode(map[string]any{"done": len(checks)}); err != nil {
		os.Exit(1)
	}
}

func client(more ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{
		option.WithAPIKey(key), option.WithBaseURL(velURL + "/v1"), option.WithMaxRetries(0),
	}, more...)...)
}

func params(message string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "sim-echo",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(message)},
	}
}

// say makes a call and returns the text of the answer.
func say(ctx context.Context, p openai.ChatCompletionNewParams, more ...option.RequestOption) (string, error) {
	api := client(more...)
	answer, err := api.Chat.Completions.New(ctx, p)
	if err != nil {
		return "", err
	}
	return answer.Choices[0].Message.Content, nil
}

// want is an error unless the two are equal.
func want[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: got %v, want %v", what, got, want)
	}
	return nil
}

func chat(ctx context.Context) error {
	api := client()
	answer, err := api.Chat.Completions.New(ctx, params("Grüße, 世界"))
	if err != nil {
		return err
	}
	u := answer.Usage
	return errors.Join(
		want("content", answer.Choices[0].Message.Content, "Grüße, 世界"),
		want("total tokens", u.TotalTokens, u.PromptTokens+u.CompletionTokens),
	)
}

func requestID(ctx context.Context) error {
	var res *http.Response
	if _, err := say(ctx, params("hi"), option.WithResponseInto(&res)); err != nil {
		return err
	}
	if res.Header.Get("X-Request-Id") == "" {
		return errors.New("no x-request-id")
	}
	return nil
}

func stream(ctx context.Context) error {
	api := client()
	events := api.Chat.Completions.NewStreaming(ctx, params("one two three four"))
	var all openai.ChatCompletionAccumulator
	chunks := 0
	for events.Next() {
		if len(events.Current().Choices) != 1 {
			return errors.New("a chunk without choices that nobody asked for")
		}
		if !all.AddChunk(events.Current()) {
			return errors.New("the chunks do not belong together")
		}
		chunks++
	}
	if err := errors.Join(events.Err(), want("enough chunks", chunks > 4, true)); err != nil {
		return err
	}
	return errors.Join(
		want("content", all.Choices[0].Message.Content, "one two three four"),
		want("finish reason", all.Choices[0].FinishReason, "stop"),
	)
}

func includeUsage(ctx context.Context) error {
	p := params("one two")
	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	api := client()
	events := api.Chat.Completions.NewStreaming(ctx, p)
	var last openai.ChatCompletionChunk
	for events.Next() {
		last = events.Current()
	}
	return errors.Join(events.Err(),
		want("choices of the last chunk", len(last.Choices), 0),
		want("usage", last.Usage.PromptTokens > 0 && last.Usage.CompletionTokens > 0, true),
	)
}

func tool(name string, properties map[string]any) openai.ChatCompletionToolUnionParam {
	return openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
		Name:       name,
		Parameters: shared.FunctionParameters{"type": "object", "properties": properties},
	})
}

func weather() openai.ChatCompletionToolUnionParam {
	return tool("get_weather", map[string]any{"city": map[string]any{"type": "string"}})
}

func tools(ctx context.Context) error {
	p := params("the weather in Paris")
	p.Tools = []openai.ChatCompletionToolUnionParam{weather()}
	api := client()
	answer, err := api.Chat.Completions.New(ctx, p)
	if err != nil {
		return err
	}
	message := answer.Choices[0].Message
	if len(message.ToolCalls) != 1 {
		return fmt.Errorf("%d tool calls", len(message.ToolCalls))
	}
	p.Messages = append(p.Messages, message.ToParam(), openai.ToolMessage("rain", message.ToolCalls[0].ID))
	_, err = api.Chat.Completions.New(ctx, p)
	return errors.Join(err,
		want("finish reason", answer.Choices[0].FinishReason, "tool_calls"),
		want("arguments", message.ToolCalls[0].Function.Arguments, `{"city":"Paris"}`),
	)
}

func toolsInStream(ctx context.Context) error {
	p := params("get_weather and get_time in Paris")
	p.Tools = []openai.ChatCompletionToolUnionParam{weather(), tool("get_time", map[string]any{"zone": map[string]any{"type": "string"}})}
	api := client()
	events := api.Chat.Completions.NewStreaming(ctx, p)
	var all openai.ChatCompletionAccumulator
	for events.Next() {
		all.AddChunk(events.Current())
	}
	if err := events.Err(); err != nil {
		return err
	}
	calls := all.Choices[0].Message.ToolCalls
	if len(calls) != 2 {
		return fmt.Errorf("%d tool calls, want 2", len(calls))
	}
	return errors.Join(
		want("first", calls[0].Function.Name+calls[0].Function.Arguments, `get_weather{"city":"Paris"}`),
		want("second", calls[1].Function.Name+calls[1].Function.Arguments, `get_time{"zone":"Paris"}`),
		want("ids differ", calls[0].ID != calls[1].ID, true),
	)
}

func structuredOutput(ctx context.Context) error {
	p := params("a thing")
	p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
		Name: "thing", Strict: param.NewOpt(true),
		Schema: json.RawMessage(`{"type":"object","properties":{"zeta":{"type":"string"},"alpha":{"type":"integer"}},"required":["zeta","alpha"],"additionalProperties":false}`),
	}}
	text, err := say(ctx, p)
	return errors.Join(err, want("content", text, `{"zeta":"thing","alpha":1}`))
}

func models(ctx context.Context) error {
	api := client()
	list, err := api.Models.List(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, m := range list.Data {
		found = found || m.ID == "sim-echo"
	}
	one, err := api.Models.Get(ctx, "sim-echo")
	if err != nil {
		return err
	}
	_, err = api.Models.Get(ctx, "nobody")
	return errors.Join(want("listed", found, true), want("id", one.ID, "sim-echo"), wantStatus(err, 404, "model_not_found"))
}

func withoutV1(ctx context.Context) error {
	text, err := say(ctx, params("hi"), option.WithBaseURL(velURL))
	return errors.Join(err, want("content", text, "hi"))
}

// wantStatus checks that err is the API's error with this status and code.
func wantStatus(err error, status int, code string) error {
	var e *openai.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("not an error of the API: %w", err)
	}
	if code != "" && e.Code != code || e.StatusCode != status || e.Message == "" || e.Response.Header.Get("X-Request-Id") == "" {
		return fmt.Errorf("got status %d, code %q, message %q", e.StatusCode, e.Code, e.Message)
	}
	return nil
}

func failing(status int, code string, p openai.ChatCompletionNewParams, more ...option.RequestOption) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := say(ctx, p, more...)
		return wantStatus(err, status, code)
	}
}

func retried(ctx context.Context) error {
	calls := 0
	text, err := say(ctx, params("[[status=500 fail=1 id=go-500]] at last"), option.WithMaxRetries(2),
		option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
			calls++
			return next(r)
		}))
	return errors.Join(err, want("content", text, "at last"), want("requests", calls, 2))
}

func errorInStream(ctx context.Context) error {
	api := client()
	events := api.Chat.Completions.NewStreaming(ctx, params("[[chunks=20 die=5 delay=2ms]] hi"))
	chunks := 0
	for events.Next() {
		chunks++
	}
	return errors.Join(want("an error", events.Err() != nil, true), want("chunks before it", chunks > 0, true))
}

// seen waits until the simulator has counted, and fails if it does not within the time.
func seen(conditions, wait string) error {
	res, err := http.Get(simURL + "/simulator/stats?" + conditions + "&wait=" + wait)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return want("the provider sees "+conditions+" within "+wait, res.StatusCode, http.StatusOK)
}

func reset() error {
	req, err := http.NewRequest(http.MethodDelete, simURL+"/simulator/stats", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

func abortStream(ctx context.Context) error {
	if err := errors.Join(seen("open=0", "5s"), reset()); err != nil {
		return err
	}
	api := client()
	events := api.Chat.Completions.NewStreaming(ctx, params("[[chunks=1000 delay=20ms]] hi"))
	for range 3 {
		if !events.Next() {
			return fmt.Errorf("the stream ended early: %w", events.Err())
		}
	}
	return errors.Join(events.Close(), seen("left=1&open=0", "1s"))
}

// abort cancels a call before its first byte.
func abort(ctx context.Context, streaming bool) error {
	if err := reset(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		api := client()
		p := params("[[latency=1m]] hi")
		if !streaming {
			_, err := api.Chat.Completions.New(ctx, p)
			ended <- err
			return
		}
		events := api.Chat.Completions.NewStreaming(ctx, p)
		events.Next()
		ended <- events.Err()
	}()
	err := seen("open=1", "5s")
	cancel()
	if e := <-ended; !errors.Is(e, context.Canceled) {
		err = errors.Join(err, fmt.Errorf("the call ended with %w", e))
	}
	return errors.Join(err, seen("left_before_first_byte=1&open=0", "1s"))
}
