package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"strconv"
)

const (
	usualDimensions = 1536
	mostDimensions  = 3072
	mostInputs      = 2048
)

// readEmbeddings understands POST /v1/embeddings.
func readEmbeddings(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	model, e := m.required("model")
	if e != nil {
		return job{}, e
	}
	texts, tokens, e := readPrompts(m, "input")
	if e != nil {
		return job{}, e
	}
	if len(texts) > mostInputs {
		return job{}, &apiError{status: 400, param: "input", code: "array_above_max_length", message: "Invalid 'input': maximum array length is 2048."}
	}
	var words []string
	for i, text := range texts {
		if text == "" {
			return job{}, errValue("input", "Invalid 'input': input cannot be an empty string.")
		}
		given, rest := markers(text)
		words, texts[i] = append(words, given...), rest
	}
	format := "float"
	if e := m.read("encoding_format", "encoding_format", "a string", &format); e != nil {
		return job{}, e
	}
	if format != "float" && format != "base64" {
		return job{}, errValue("encoding_format", "Invalid value: '"+format+"'. Supported values are: 'float' and 'base64'.")
	}
	dimensions := 0
	if e := m.read("dimensions", "dimensions", "an integer", &dimensions); e != nil {
		return job{}, e
	}
	if _, ok := m.has("dimensions"); ok && (dimensions < 1 || dimensions > mostDimensions) {
		return job{}, errValue("dimensions", "Invalid value for 'dimensions': expected a value from 1 to 3072.")
	}
	_, asked := m.has("encoding_format")
	return job{model: model, words: words, param: "input", tokens: tokens, make: func(c *call) (reply, *apiError) {
		p := c.profile
		if asked && p.EncodingFormat == EncodingRefused {
			return nil, &apiError{status: 400, param: "encoding_format", code: "unsupported_parameter", message: "Unsupported parameter: 'encoding_format'."}
		}
		if p.EncodingFormat == EncodingIgnored {
			format = "float"
		}
		if dimensions == 0 {
			if dimensions = p.Dimensions; dimensions == 0 {
				dimensions = usualDimensions
			}
		}
		return &fixed{body: appendEmbeddings(nil, p.Model, texts, dimensions, format == "base64", tokens, c.faults.usage != "none"), input: tokens}, nil
	}}, nil
}

func appendEmbeddings(b []byte, model string, texts []string, dimensions int, packed bool, tokens int, usage bool) []byte {
	b = append(b, `{"object":"list","data":[`...)
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"object":"embedding","index":`...), int64(i), 10)
		b = append(b, `,"embedding":`...)
		vector := embed(text, dimensions)
		if packed {
			bytes := make([]byte, 0, 4*len(vector))
			for _, v := range vector {
				bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(v))
			}
			b = append(append(b, '"'), base64.StdEncoding.EncodeToString(bytes)...)
			b = append(b, `"}`...)
			continue
		}
		for j, v := range vector {
			sep := byte(',')
			if j == 0 {
				sep = '['
			}
			b = strconv.AppendFloat(append(b, sep), float64(v), 'g', -1, 32)
		}
		b = append(b, "]}"...)
	}
	b = appendString(append(b, `],"model":`...), model)
	if usage {
		b = strconv.AppendInt(append(b, `,"usage":{"prompt_tokens":`...), int64(tokens), 10)
		b = append(appendInt(b, "total_tokens", tokens), '}')
	}
	return append(b, '}')
}

// embed makes a text's vector of length 1: always the same for the same text, and of no meaning.
func embed(text string, dimensions int) []float32 {
	seed := sha256.Sum256([]byte(text))
	draw := rand.New(rand.NewChaCha8(seed))
	vector, sum := make([]float64, dimensions), 0.0
	for i := range vector {
		vector[i] = draw.NormFloat64()
		sum += vector[i] * vector[i]
	}
	out := make([]float32, dimensions)
	for i, v := range vector {
		out[i] = float32(v / math.Sqrt(sum))
	}
	return out
}
