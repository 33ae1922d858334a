// The checks of the AI SDK against a running Vel: its model for chat completions, and its default one, which speaks
// the Responses API.
import { createOpenAI } from '@ai-sdk/openai';
import {
  APICallError, embedMany, experimental_generateSpeech, experimental_transcribe, generateImage, generateObject, generateText, stepCountIs,
  streamObject, streamText, tool,
} from 'ai';
import assert from 'node:assert/strict';
import { z } from 'zod';
import { rejected, reset, run, seen } from '../check.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;
const { VEL_URL, VEL_KEY, VEL_NARROW_KEY } = process.env;
const openai = (more = {}) => createOpenAI({ apiKey: VEL_KEY, baseURL: `${VEL_URL}/v1`, ...more });
const kinds = { chat: (name, more) => openai(more).chat(name), responses: (name, more) => openai(more)(name) };
const thing = z.object({ zeta: z.string(), alpha: z.number().int(), mid: z.array(z.string()) });
const sound = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7919) >> 3 & 255);

// weather is a tool that remembers what it was asked.
const weather = () => {
  const asked = [];
  const get_weather = tool({
    description: 'the weather', inputSchema: z.object({ city: z.string(), days: z.number().int() }),
    execute: async (input) => { asked.push(input); return 'heavy rain'; },
  });
  return { asked, tools: { get_weather } };
};

// failing is the error of a stream, which the SDK hands to a listener.
const failing = async (options) => {
  let failure, parts = 0;
  const result = streamText({ maxRetries: 0, onError: ({ error }) => { failure = error; }, ...options });
  for await (const part of result.fullStream) if (part.type === 'text-delta') parts++;
  return { failure, parts };
};

// Each of these runs with both kinds of model.
const both = {
  async text(model) {
    const { text, usage, finishReason } = await generateText({ model: model('sim-echo'), prompt: 'Grüße, 世界', maxRetries: 0 });
    assert.equal(text, 'Grüße, 世界');
    assert.equal(finishReason, 'stop');
    assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
  },
  async stream(model) {
    const result = streamText({ model: model('sim-echo'), prompt: 'one two three four', maxRetries: 0 });
    let text = '', parts = 0;
    for await (const part of result.textStream) { text += part; parts++; }
    assert.equal(text, 'one two three four');
    assert.ok(parts >= 4, `only ${parts} parts`);
    const usage = await result.usage;
    assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0, 'no usage');
    assert.equal(await result.finishReason, 'stop');
  },
  async tools(model) {
    const { asked, tools } = weather();
    const { text, steps } = await generateText({
      model: model('sim-strong'), tools, stopWhen: stepCountIs(3), maxRetries: 0, prompt: '[[latency=1ms delay=0s]] the weather in Paris',
    });
    assert.deepEqual(asked, [{ city: 'Paris', days: 1 }]);
    assert.equal(steps.length, 2);
    assert.match(text, /heavy rain/);
  },
  async tools_in_stream(model) {
    const { asked, tools } = weather();
    const result = streamText({
      model: model('sim-strong'), tools, stopWhen: stepCountIs(3), maxRetries: 0, prompt: '[[latency=1ms delay=0s]] the weather in Paris',
    });
    assert.match(await result.text, /heavy rain/);
    assert.deepEqual(asked, [{ city: 'Paris', days: 1 }]);
  },
  async object(model) {
    const { object } = await generateObject({ model: model('sim-echo'), schema: thing, prompt: 'a thing', maxRetries: 0 });
    assert.deepEqual(Object.keys(object), ['zeta', 'alpha', 'mid']);
  },
  async object_in_stream(model) {
    const result = streamObject({ model: model('sim-echo'), schema: thing, prompt: 'a thing', maxRetries: 0 });
    let partial;
    for await (const part of result.partialObjectStream) partial = part;
    assert.deepEqual(await result.object, partial);
    assert.ok(thing.safeParse(partial).success);
  },
  async error_400(model) {
    const error = await rejected(generateText({ model: model('sim-echo'), prompt: '[[no_such_word]] hi', maxRetries: 0 }));
    assert.ok(APICallError.isInstance(error), String(error));
    assert.equal(error.statusCode, 400);
    assert.equal(error.isRetryable, false);
    assert.match(error.message, /no_such_word/);
  },
  async error_401(model) {
    const error = await rejected(generateText({ model: model('sim-echo', { apiKey: 'sk-nobody-0123456789' }), prompt: 'hi', maxRetries: 0 }));
    assert.equal(error.statusCode, 401);
    assert.equal(error.data.error.code, 'invalid_api_key');
  },
  async error_403(model) {
    const error = await rejected(generateText({ model: model('sim-echo', { apiKey: VEL_NARROW_KEY }), prompt: 'hi', maxRetries: 0 }));
    assert.equal(error.statusCode, 403);
  },
  async error_404(model) {
    const error = await rejected(generateText({ model: model('nobody'), prompt: 'hi', maxRetries: 0 }));
    assert.equal(error.statusCode, 404);
    assert.equal(error.data.error.code, 'model_not_found');
  },
  async error_429(model) {
    const error = await rejected(generateText({ model: model('sim-echo'), prompt: '[[status=429 retry_after=3]] hi', maxRetries: 0 }));
    assert.equal(error.statusCode, 429);
    assert.equal(error.isRetryable, true);
    assert.equal(error.responseHeaders['retry-after'], '3');
  },
  async error_429_is_retried_after_the_time(model, kind) {
    const begun = Date.now();
    const { text } = await generateText({ model: model('sim-echo'), prompt: `[[status=429 retry_after=1 fail=1 id=ai-${kind}-429]] at last` });
    assert.equal(text, 'at last');
    assert.ok(Date.now() - begun >= 900, 'the client did not wait as the provider asked');
  },
  async error_502(model) {
    const error = await rejected(generateText({ model: model('sim-echo'), prompt: '[[status=401]] hi', maxRetries: 0 }));
    assert.equal(error.statusCode, 502);
  },
  async error_in_stream(model) {
    const { failure, parts } = await failing({ model: model('sim-echo'), prompt: '[[chunks=20 die=5 delay=2ms]] hi' });
    assert.ok(failure, 'the stream broke off and nobody said so');
    assert.ok(parts > 0);
  },
  async error_before_stream(model) {
    const { failure, parts } = await failing({ model: model('sim-echo'), prompt: '[[error_first]] hi' });
    assert.ok(APICallError.isInstance(failure), String(failure));
    assert.equal(parts, 0);
  },
};

// These share the simulator's counters, so they come one after the other, at the end.
const aborts = {
  async abort_stream(model) {
    await seen('open=0', '5s');
    await reset();
    const abort = new AbortController();
    const result = streamText({ model: model('sim-echo'), prompt: '[[chunks=1000 delay=20ms]] hi', abortSignal: abort.signal, onError() {} });
    let parts = 0;
    for await (const part of result.fullStream) if (part.type === 'text-delta' && ++parts === 3) abort.abort();
    await seen('left=1&open=0', '1s');
  },
  async abort_before_first_byte(model) {
    await reset();
    const abort = new AbortController();
    const pending = rejected(generateText({ model: model('sim-echo'), prompt: '[[latency=1m]] hi', abortSignal: abort.signal }));
    await seen('open=1', '5s');
    abort.abort();
    assert.equal((await pending).name, 'AbortError');
    await seen('left_before_first_byte=1&open=0', '1s');
  },
};

const others = {
  async embeddings() {
    const { embeddings, usage } = await embedMany({ model: openai().embedding('sim-echo'), values: ['one', 'two'] });
    assert.deepEqual(embeddings.map((e) => e.length), [1536, 1536]);
    assert.ok(usage.tokens > 0);
  },
  async image() {
    const { image } = await generateImage({ model: openai().image('sim-echo'), prompt: 'a cat' });
    assert.equal(Buffer.from(image.uint8Array).subarray(1, 4).toString(), 'PNG');
  },
  async speech() {
    const { audio } = await experimental_generateSpeech({ model: openai().speech('sim-echo'), text: 'one two', voice: 'alloy', outputFormat: 'wav' });
    assert.equal(Buffer.from(audio.uint8Array).subarray(0, 4).toString(), 'RIFF');
  },
  async transcription() {
    const { text } = await experimental_transcribe({ model: openai().transcription('sim-echo'), audio: sound });
    assert.match(text, /100000 bytes/);
  },
};

const checks = { ...others };
for (const group of [both, aborts]) {
  for (const [kind, model] of Object.entries(kinds)) {
    for (const [name, check] of Object.entries(group)) checks[`${name}, ${kind}`] = () => check(model, kind);
  }
}
await run(checks);
