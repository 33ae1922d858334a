package replay

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

func nameOf(body string) Name {
	n := Begin()
	n.JSON(body, "model")
	return n.Name()
}

// Requests that mean the same have the same name, and others have not.
func TestName(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		a, b string
		same bool
	}{
		"spaces":             {`{"a":1,"b":[1,2]}`, "{ \"a\" : 1,\n\"b\":[1, 2] }", true},
		"order":              {`{"a":{"x":1,"y":2},"b":3}`, `{"b":3,"a":{"y":2,"x":1}}`, true},
		"escapes":            {`{"a":"A\n\u0041é"}`, `{"\u0061":"A\u000a\u0041\u00e9"}`, true},
		"the model":          {`{"model":"x","a":1}`, `{"a":1,"model":"y"}`, true},
		"an inner model":     {`{"a":{"model":"x"}}`, `{"a":{"model":"y"}}`, false},
		"order of a list":    {`{"a":[1,2]}`, `{"a":[2,1]}`, false},
		"a list in a list":   {`{"a":[[1],2]}`, `{"a":[[1,2]]}`, false},
		"text and number":    {`{"a":"1"}`, `{"a":1}`, false},
		"true and false":     {`{"a":true}`, `{"a":false}`, false},
		"null and none":      {`{"a":null}`, `{}`, false},
		"object and list":    {`{"a":{}}`, `{"a":[]}`, false},
		"where a text ends":  {`{"a":"b","c":"d"}`, `{"a":"bc","":"d"}`, false},
		"the same key twice": {`{"a":{"x":1,"x":2}}`, `{"a":{"x":2,"x":1}}`, false},
		"half a character":   {`{"a":"\ud800"}`, `{"a":"\ud801"}`, false},
		"a real replacement": {`{"a":"\ufffd"}`, `{"a":"\ud800"}`, false},
	} {
		if got := nameOf(c.a) == nameOf(c.b); got != c.same {
			t.Errorf("%s: %s and %s have the same name: %v", what, c.a, c.b, got)
		}
	}
}

// However a value is written down, its name is the same; and no two different values share one.
func TestNameIsOfTheMeaning(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := object(3).Draw(t, "a"), object(3).Draw(t, "b")
		plain, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		other, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		if written := shuffled(a, random); nameOf(string(plain)) != nameOf(written) {
			t.Fatalf("%s and %s have different names", plain, written)
		}
		if same := string(plain) == string(other); same != (nameOf(string(plain)) == nameOf(string(other))) {
			t.Fatalf("%s and %s: the same value %v, the same name %v", plain, other, same, !same)
		}
	})
}

func object(deep int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.SampledFrom([]string{"", "a", "b", "ab", "é"}), value(deep), 0, 4)
}

func value(deep int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.IntRange(-2, 12).AsAny(), rapid.StringN(0, 3, -1).AsAny(),
	}
	if deep > 0 {
		leaves = append(leaves, object(deep-1).AsAny(), rapid.Map(rapid.SliceOfN(value(deep-1), 0, 3), func(v []any) any { return v }))
	}
	return rapid.OneOf(leaves...)
}

// shuffled writes a value with its members in another order and with spaces.
func shuffled(v any, random *rand.Rand) string {
	switch v := v.(type) {
	case map[string]any:
		out, first := "{ ", true
		keys := make([]string, 0, len(v))
		for k := range v { // in no order
			keys = append(keys, k)
		}
		random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, k := range keys {
			if !first {
				out += " ,"
			}
			first = false
			out += encoded(k) + ":\n" + shuffled(v[k], random)
		}
		return out + "}"
	case []any:
		out := "["
		for i, item := range v {
			if i > 0 {
				out += ", "
			}
			out += shuffled(item, random)
		}
		return out + " ]"
	}
	return encoded(v)
}

func encoded(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // these values can always be encoded
	}
	return string(b)
}

func BenchmarkName(b *testing.B) {
	body := `{"model":"m","messages":[`
	for i := range 40 {
		if i > 0 {
			body += ","
		}
		body += `{"role":"user","content":"a sentence of about a hundred bytes, as people write them when they ask a model for something"}`
	}
	body += `]}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		nameOf(body)
	}
}
