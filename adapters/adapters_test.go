package adapters

import "testing"

func TestClasses(t *testing.T) {
	t.Parallel()
	for class, want := range map[Class]struct {
		name                                            string
		elsewhere, again, notExecuted, againstTheTarget bool
	}{
		ClassNone:       {"none", false, false, false, false},
		ClassInvalid:    {"invalid", false, false, true, false},
		ClassCredential: {"credential", true, false, true, true},
		ClassRate:       {"rate_limit", true, true, true, false},
		ClassQuota:      {"quota", true, false, true, true},
		ClassTimeout:    {"timeout", true, true, false, true},
		ClassOverloaded: {"overloaded", true, true, true, true},
		ClassServer:     {"server", true, true, false, true},
		ClassConnect:    {"connect", true, true, true, true},
		ClassReset:      {"reset", true, true, false, true},
		ClassGarbage:    {"garbage", true, true, false, true},
		ClassTruncated:  {"truncated", true, true, false, true},
		ClassGone:       {"client_gone", false, false, false, false},
		ClassDraining:   {"draining", false, false, false, false},
		ClassInternal:   {"internal", false, false, false, false},
		classes:         {"unknown", true, true, false, true},
	} {
		if class.String() != want.name || class.Elsewhere() != want.elsewhere || class.Again() != want.again ||
			class.NotExecuted() != want.notExecuted || class.AgainstTarget() != want.againstTheTarget {
			t.Errorf("%v: elsewhere %t, again %t, not executed %t, against the target %t", class,
				class.Elsewhere(), class.Again(), class.NotExecuted(), class.AgainstTarget())
		}
	}
}

func TestTokensCountsEachClassOnce(t *testing.T) {
	t.Parallel()
	u := Usage{Input: 1, CacheRead: 10, CacheWrite: 100, AudioIn: 1000, ImageIn: 10000, Output: 2, Reasoning: 20, AudioOut: 200, ImageOut: 2000, Images: 7, Requests: 9}
	if in, out := u.Tokens(); in != 11111 || out != 2222 {
		t.Errorf("in %d, out %d", in, out)
	}
}

func TestResetForgetsTheLastRequest(t *testing.T) {
	t.Parallel()
	r := Request{Method: "POST", Path: "/x", Header: []Field{{"A", "b"}}, Body: [][]byte{[]byte("secret")}}
	body := r.Body
	r.Reset()
	if r.Method != "" || r.Path != "" || len(r.Header) != 0 || len(r.Body) != 0 || cap(r.Body) == 0 || body[0] != nil {
		t.Errorf("%+v keeps %q", r, body)
	}
}

func TestEndpointNames(t *testing.T) {
	t.Parallel()
	if ChatCompletions.String() != "chat/completions" || Endpoint(0).String() != "unknown" || Objects.String() != "objects" || endpoints.String() != "unknown" {
		t.Errorf("%v, %v, %v, %v", ChatCompletions, Endpoint(0), Objects, endpoints)
	}
}
