package tasks

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/tenancy"
)

// Agent is a configuration of chats that has a name: tasks are made of it and what its user says. Every change makes a version, which
// is never edited.
type Agent struct {
	tenancy.Meta
	Config  AgentConfig
	Version int64
	Active  bool
	By      tenancy.Actor // who makes the version that is about to be stored; kept with that
}

// AgentConfig is what an agent says of its chats. Its members are those of a chat, where one has them.
type AgentConfig struct {
	Description    string          `json:"description,omitempty"`
	Model          string          `json:"model"`
	Fallbacks      []string        `json:"fallbacks,omitempty"` // models for the second try, the third and so on
	SystemPrompt   string          `json:"system_prompt,omitempty"`
	Temperature    *float64        `json:"temperature,omitempty"`
	TopP           *float64        `json:"top_p,omitempty"`
	MaxTokens      int64           `json:"max_tokens,omitempty"` // 0: the model's own
	ResponseFormat json.RawMessage `json:"response_format,omitempty"`
	Tools          json.RawMessage `json:"tools,omitempty"`
	TaskTypes      []string        `json:"task_types,omitempty"` // what it is for, for people and for lists
	Attempts       int             `json:"attempts,omitempty"`   // of a task; 0: 3
	Backoff        float64         `json:"backoff_s,omitempty"`  // seconds; 0: 1
	RetryOn        []string        `json:"retry_on,omitempty"`   // classes of failure; empty: those that may pass
	Timeout        float64         `json:"timeout_s,omitempty"`  // seconds from a task's creation to its deadline; 0: none
}

// Bounds of agents.
const (
	longestPrompt    = 64 << 10
	longestModel     = 256
	mostFallbacks    = 8
	mostTools        = 128
	mostOutput       = 10_000_000
	longestTimeout   = 7 * 24 * 3600
	longestAgentText = 1000
)

var toolName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// TaskTypes are what an agent may be for.
func TaskTypes() []string { return []string{"code", "reasoning", "research", "simple"} }

// Validate reports every fault through fault, with the member that it is about.
func (c *AgentConfig) Validate(fault func(field, problem string)) {
	if strings.TrimSpace(c.Model) == "" || len(c.Model) > longestModel {
		fault("model", "must be the name of a model")
	}
	if len(c.Fallbacks) > mostFallbacks || slices.ContainsFunc(c.Fallbacks, func(m string) bool { return m == "" || m == c.Model || len(m) > longestModel }) {
		fault("fallbacks", "must be at most "+strconv.Itoa(mostFallbacks)+" names of other models")
	}
	if len(c.Description) > longestAgentText {
		fault("description", "has more than "+strconv.Itoa(longestAgentText)+" characters")
	}
	if len(c.SystemPrompt) > longestPrompt {
		fault("system_prompt", "has more than 64 KiB")
	}
	if c.Temperature != nil && (*c.Temperature < 0 || *c.Temperature > 2) {
		fault("temperature", "is not between 0 and 2")
	}
	if c.TopP != nil && (*c.TopP < 0 || *c.TopP > 1) {
		fault("top_p", "is not between 0 and 1")
	}
	if c.MaxTokens < 0 || c.MaxTokens > mostOutput {
		fault("max_tokens", "is not between 1 and "+strconv.Itoa(mostOutput))
	}
	c.validateShape(fault)
	c.validateRetry(fault)
}

// validateShape checks what the answer looks like, and what may be called for it.
func (c *AgentConfig) validateShape(fault func(field, problem string)) {
	if len(c.ResponseFormat) > 0 {
		var f struct {
			Type   string `json:"type"`
			Schema *struct {
				Name   string          `json:"name"`
				Schema json.RawMessage `json:"schema"`
			} `json:"json_schema"`
		}
		switch err := json.Unmarshal(c.ResponseFormat, &f); {
		case err != nil || !slices.Contains([]string{"text", "json_object", "json_schema"}, f.Type):
			fault("response_format", `must be {"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": {"name": …, "schema": …}}`)
		case f.Type == "json_schema" && (f.Schema == nil || !toolName.MatchString(f.Schema.Name) || !isObject(f.Schema.Schema)):
			fault("response_format", "json_schema needs a name of letters, digits, '_' and '-', and a schema that is an object")
		}
	}
	if len(c.Tools) == 0 {
		return
	}
	var tools []struct {
		Type     string `json:"type"`
		Function struct {
			Name       string          `json:"name"`
			Parameters json.RawMessage `json:"parameters"`
		} `json:"function"`
	}
	if err := json.Unmarshal(c.Tools, &tools); err != nil || len(tools) > mostTools {
		fault("tools", "must be a list of at most "+strconv.Itoa(mostTools)+" tools")
		return
	}
	for i, t := range tools {
		if t.Type != "function" || !toolName.MatchString(t.Function.Name) || len(t.Function.Parameters) > 0 && !isObject(t.Function.Parameters) {
			fault("tools["+strconv.Itoa(i)+"]", `must be {"type": "function", "function": {"name": …, "parameters": {…}}}`)
		}
	}
}

func (c *AgentConfig) validateRetry(fault func(field, problem string)) {
	for _, kind := range c.TaskTypes {
		if !slices.Contains(TaskTypes(), kind) {
			fault("task_types", "are "+strings.Join(TaskTypes(), ", "))
		}
	}
	if c.Attempts < 0 || c.Attempts > MostAttempts {
		fault("attempts", "is not between 1 and "+strconv.Itoa(MostAttempts))
	}
	if c.Backoff < 0 || c.Backoff > longestBackoff.Seconds() {
		fault("backoff_s", "is not between 0.1 and 3600")
	}
	if c.Timeout < 0 || c.Timeout > longestTimeout {
		fault("timeout_s", "is not between 1 and "+strconv.Itoa(longestTimeout))
	}
	for _, name := range c.RetryOn {
		if !slices.ContainsFunc(Retryable(), func(class adapters.Class) bool { return class.String() == name }) {
			fault("retry_on", "are classes of failure that may pass: rate_limit, timeout, overloaded, server, connect, reset, garbage, truncated")
		}
	}
}

func isObject(text json.RawMessage) bool { return len(text) > 0 && bytes.TrimSpace(text)[0] == '{' }

// Body is the request of a chat of the agent: its configuration, then what is said.
func (c *AgentConfig) Body(messages json.RawMessage) ([]byte, error) {
	var said []json.RawMessage
	if err := json.Unmarshal(messages, &said); err != nil || len(said) == 0 {
		return nil, fault("messages", "expected a list of messages")
	}
	if c.SystemPrompt != "" {
		system, err := json.Marshal(map[string]string{"role": "system", "content": c.SystemPrompt})
		if err != nil {
			return nil, err
		}
		said = append([]json.RawMessage{system}, said...)
	}
	return json.Marshal(struct {
		Model          string            `json:"model"`
		Messages       []json.RawMessage `json:"messages"`
		Temperature    *float64          `json:"temperature,omitempty"`
		TopP           *float64          `json:"top_p,omitempty"`
		MaxTokens      int64             `json:"max_tokens,omitempty"`
		ResponseFormat json.RawMessage   `json:"response_format,omitempty"`
		Tools          json.RawMessage   `json:"tools,omitempty"`
	}{c.Model, said, c.Temperature, c.TopP, c.MaxTokens, c.ResponseFormat, c.Tools})
}

// UserSays is a conversation of one message.
func UserSays(text string) json.RawMessage {
	return asJSON([]map[string]string{{"role": "user", "content": text}})
}

// Retry is the policy of the agent's tasks.
func (c *AgentConfig) Retry() Retry {
	r := DefaultRetry()
	if c.Attempts > 0 {
		r.Attempts = c.Attempts
	}
	if c.Backoff > 0 {
		r.Backoff = time.Duration(c.Backoff * float64(time.Second))
	}
	for _, class := range Retryable() {
		if slices.Contains(c.RetryOn, class.String()) {
			r.On = append(r.On, class)
		}
	}
	return r
}

// AgentVersion is an agent as it was.
type AgentVersion struct {
	Number int64
	At     time.Time
	By     tenancy.ID // the user or the key
	Name   string     // of whoever made it
	Config AgentConfig
}

// Difference is one member in which two versions differ.
type Difference struct {
	Field    string
	From, To json.RawMessage // null: it is not there
}

// Diff lists the members in which two configurations differ, by name.
func Diff(from, to *AgentConfig) (list []Difference) {
	a, b := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	_ = json.Unmarshal(asJSON(from), &a) // they were JSON a moment ago
	_ = json.Unmarshal(asJSON(to), &b)
	names := map[string]bool{}
	for name := range a {
		names[name] = true
	}
	for name := range b {
		names[name] = true
	}
	for name := range names {
		if !bytes.Equal(a[name], b[name]) {
			list = append(list, Difference{name, orNull(a[name]), orNull(b[name])})
		}
	}
	slices.SortFunc(list, func(x, y Difference) int { return strings.Compare(x.Field, y.Field) })
	return list
}

func orNull(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return json.RawMessage("null")
	}
	return text
}
