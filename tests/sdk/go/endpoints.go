package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
)

// sound is a file that no text is like, and its digest.
func sound() (file []byte, digest string) {
	file = make([]byte, 100_000)
	for i := range file {
		file[i] = byte(i * 7919 >> 3)
	}
	sum := sha256.Sum256(file)
	return file, hex.EncodeToString(sum[:])
}

func respond(ctx context.Context) error {
	api := client()
	answer, err := api.Responses.New(ctx, question("Grüße, 世界"))
	if err != nil {
		return err
	}
	return errors.Join(
		want("text", answer.OutputText(), "Grüße, 世界"),
		want("usage", answer.Usage.InputTokens > 0 && answer.Usage.OutputTokens > 0, true),
	)
}

func question(input string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: "sim-echo", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(input)}}
}

func respondStream(ctx context.Context) error {
	api := client()
	events := api.Responses.NewStreaming(ctx, question("one two three four"))
	var text strings.Builder
	var last responses.ResponseStreamEventUnion
	for events.Next() {
		if last = events.Current(); last.Type == "response.output_text.delta" {
			text.WriteString(last.Delta)
		}
	}
	return errors.Join(events.Err(),
		want("text", text.String(), "one two three four"), want("last event", last.Type, "response.completed"),
		want("whole", last.Response.OutputText(), text.String()),
	)
}

func embeddings(ctx context.Context) error {
	api := client()
	answer, err := api.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: "sim-echo", Dimensions: openai.Int(8), Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"one", "two"}},
	})
	if err != nil {
		return err
	}
	return errors.Join(want("vectors", len(answer.Data), 2), want("numbers", len(answer.Data[1].Embedding), 8), want("index", answer.Data[1].Index, 1))
}

func moderations(ctx context.Context) error {
	api := client()
	answer, err := api.Moderations.New(ctx, openai.ModerationNewParams{
		Model: "sim-echo", Input: openai.ModerationNewParamsInputUnion{OfStringArray: []string{"a kind word", "kill"}},
	})
	if err != nil {
		return err
	}
	return errors.Join(want("first", answer.Results[0].Flagged, false), want("second", answer.Results[1].Flagged, true))
}

func speech(ctx context.Context) error {
	api := client()
	res, err := api.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{
		Model: "sim-echo", Input: "one two", ResponseFormat: openai.AudioSpeechNewParamsResponseFormatWAV,
		Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: openai.String("alloy")},
	})
	return errors.Join(err, wantBody(res, func(body []byte) error {
		return errors.Join(want("head", string(body[:min(4, len(body))]), "RIFF"), want("type", res.Header.Get("Content-Type"), "audio/wav"))
	}))
}

// wantBody reads an answer that is no JSON.
func wantBody(res *http.Response, check func([]byte) error) error {
	if res == nil {
		return errors.New("no answer")
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return errors.Join(err, check(body))
}

func transcription(ctx context.Context) error {
	api := client()
	file, digest := sound()
	ask := func() openai.AudioTranscriptionNewParams {
		return openai.AudioTranscriptionNewParams{Model: "sim-echo", File: openai.File(bytes.NewReader(file), "a.mp3", "audio/mpeg")}
	}
	answer, err := api.Audio.Transcriptions.New(ctx, ask())
	if err != nil {
		return err
	}
	events := api.Audio.Transcriptions.NewStreaming(ctx, ask())
	var text strings.Builder
	for events.Next() {
		text.WriteString(events.Current().Delta)
	}
	return errors.Join(events.Err(),
		want("the file arrived", strings.Contains(answer.Text, digest), true),
		want("and in the stream", strings.Contains(text.String(), digest), true),
	)
}

func images(ctx context.Context) error {
	api := client()
	file, digest := sound()
	edited, err := api.Images.Edit(ctx, openai.ImageEditParams{
		Model: "sim-echo", Prompt: "a hat", Image: openai.ImageEditParamsImageUnion{OfFile: openai.File(bytes.NewReader(file), "a.png", "image/png")},
	})
	if err != nil {
		return err
	}
	events := api.Images.GenerateStreaming(ctx, openai.ImageGenerateParams{
		Model: "sim-echo", Prompt: "[[size=2000000]] a cat", PartialImages: openai.Int(1),
	})
	pictures := 0
	for events.Next() {
		if len(events.Current().B64JSON) > 2_000_000 {
			pictures++
		}
	}
	return errors.Join(events.Err(),
		want("the file arrived", strings.Contains(edited.Data[0].RevisedPrompt, digest), true), want("pictures", pictures, 2),
	)
}

func files(ctx context.Context) error {
	api := client()
	content, _ := sound()
	file, err := api.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeUserData, File: openai.File(bytes.NewReader(content), "a.bin", "application/octet-stream")})
	if err != nil {
		return err
	}
	res, err := api.Files.Content(ctx, file.ID)
	err = errors.Join(err, wantBody(res, func(body []byte) error { return want("content", bytes.Equal(body, content), true) }))
	if _, gone := api.Files.Delete(ctx, file.ID); gone != nil {
		return errors.Join(err, fmt.Errorf("delete: %w", gone))
	}
	_, missing := api.Files.Get(ctx, file.ID)
	return errors.Join(err, wantStatus(missing, 404, ""))
}
