package perplexity

import (
	"testing"

	"github.com/vel-gateway/vel/adapters"
	"github.com/vel-gateway/vel/adapters/adaptertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	codecs := New("").Codecs
	for name, s := range map[string]adaptertest.Suite{
		"chat":  {Codec: codecs[adapters.ChatCompletions], Endpoint: adapters.ChatCompletions, Model: "sonar-reasoning-pro"},
		"agent": {Codec: codecs[adapters.Responses], Endpoint: adapters.Responses, Model: "sonar-pro", Passes: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.Dir, s.Errors = "testdata/"+name, "../openai/testdata/chat/errors"
			adaptertest.Run(t, s)
		})
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{
		"sonar": {sonar, "fast"}, "sonar-pro": {sonar, "fast"}, "sonar-reasoning-pro": {sonar, "low"},
		"sonar-deep-research": {sonar, "high"}, "openai/gpt-5.1": {"openai/gpt-5.1", ""},
	} {
		if slug, preset := resolve(name); slug != want[0] || preset != want[1] {
			t.Errorf("%s is %s with preset %q", name, slug, preset)
		}
	}
}

func TestChatIsAllThatCompatibleServersHave(t *testing.T) {
	t.Parallel()
	a := NewChat("http://127.0.0.1")
	var r adapters.Request
	in := adaptertest.Parse(t, adapters.ChatCompletions, []byte(`{"model":"sonar","messages":[],"stream":true,"return_images":true}`))
	if err := a.Codecs[adapters.ChatCompletions].EncodeRequest(&r, in, "sonar"); err != nil || len(a.Codecs) != 1 || r.Path != "/chat/completions" || len(r.Dropped) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
