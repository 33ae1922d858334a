// The checks of openai's JavaScript client against a running Vel. The same file serves every version of the client;
// the first argument is the folder that one is installed in. Each check prints one line of JSON: its name, whether
// it held, and why not.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { rejected, reset, run, seen } from './check.mjs';

const require = createRequire(new URL(`./${process.argv[2]}/`, import.meta.url));
const { default: OpenAI, AzureOpenAI, toFile } = require('openai');
const { VEL_URL, VEL_KEY, VEL_NARROW_KEY } = process.env;

const client = (more = {}) => new OpenAI({ apiKey: VEL_KEY, baseURL: `${VEL_URL}/v1`, maxRetries: 0, ...more });
const say = (content, more = {}) => ({ model: 'sim-echo', messages: [{ role: 'user', content }], ...more });

// counting is a fetch that counts the requests that really went out.
const counting = () => {
  const counted = async (...args) => {
    counted.calls++;
    return fetch(...args);
  };
  counted.calls = 0;
  return counted;
};

const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } }, required: ['city', 'days'] },
  },
};
const clock = { type: 'function', function: { name: 'get_time', parameters: { type: 'object', properties: { zone: { type: 'string' } } } } };

// sound is a file that no text is like.
const sound = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) >> 3 & 255));
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const bytesOf = async (response) => Buffer.from(await response.arrayBuffer());

const checks = {
  async chat() {
    const answer = await client().chat.completions.create(say('Grüße, 世界'));
    assert.equal(answer.choices[0].message.content, 'Grüße, 世界');
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  },
  async request_id() {
    const answer = await client().chat.completions.create(say('hi'));
    const { data, response } = await client().chat.completions.create(say('hi')).withResponse();
    assert.ok(answer._request_id, 'no _request_id');
    assert.equal(data._request_id, response.headers.get('x-request-id'));
    assert.notEqual(answer._request_id, data._request_id);
  },
  async stream() {
    const stream = await client().chat.completions.create(say('one two three four', { stream: true }));
    let text = '', finish, id, chunks = 0;
    for await (const chunk of stream) {
      assert.equal(chunk.choices.length, 1, 'a chunk without choices that nobody asked for');
      text += chunk.choices[0].delta.content ?? '';
      finish = chunk.choices[0].finish_reason ?? finish;
      id ??= chunk.id;
      assert.equal(chunk.id, id);
      chunks++;
    }
    assert.equal(text, 'one two three four');
    assert.equal(finish, 'stop');
    assert.ok(chunks > 4, `only ${chunks} chunks`);
  },
  async include_usage() {
    const stream = await client().chat.completions.create(say('one two', { stream: true, stream_options: { include_usage: true } }));
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const last = chunks.pop();
    assert.deepEqual(last.choices, []);
    assert.ok(last.usage.prompt_tokens > 0 && last.usage.completion_tokens > 0);
    for (const chunk of chunks) assert.equal(chunk.usage ?? null, null);
  },
  async tools() {
    const answer = await client().chat.completions.create(say('the weather in Paris', { tools: [weather] }));
    assert.equal(answer.choices[0].finish_reason, 'tool_calls');
    const [call] = answer.choices[0].message.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Paris', days: 1 });
    const next = await client().chat.completions.create({
      model: 'sim-strong',
      messages: [
        { role: 'user', content: '[[latency=1ms]] the weather in Paris' },
        answer.choices[0].message,
        { role: 'tool', tool_call_id: call.id, content: 'rain' },
      ],
      tools: [weather],
    });
    assert.match(next.choices[0].message.content, /rain/);
  },
  async tools_in_stream() {
    const stream = await client().chat.completions.create(say('get_weather and get_time in Paris', { stream: true, tools: [weather, clock] }));
    const calls = [];
    let finish;
    for await (const chunk of stream) {
      for (const delta of chunk.choices[0].delta.tool_calls ?? []) {
        const call = (calls[delta.index] ??= { name: '', arguments: '' });
        call.id ??= delta.id;
        call.name += delta.function?.name ?? '';
        call.arguments += delta.function?.arguments ?? '';
      }
      finish = chunk.choices[0].finish_reason ?? finish;
    }
    assert.deepEqual(calls.map((c) => c.name), ['get_weather', 'get_time']);
    assert.deepEqual(calls.map((c) => JSON.parse(c.arguments)), [{ city: 'Paris', days: 1 }, { zone: 'Paris' }]);
    assert.notEqual(calls[0].id, calls[1].id);
    assert.equal(finish, 'tool_calls');
  },
  async structured_output() {
    const schema = {
      type: 'object',
      properties: { zeta: { type: 'string' }, alpha: { type: 'integer' }, mid: { type: 'array', items: { type: 'string' } } },
      required: ['zeta', 'alpha', 'mid'],
      additionalProperties: false,
    };
    const format = { type: 'json_schema', json_schema: { name: 'thing', strict: true, schema } };
    const answer = await client().chat.completions.create(say('a thing', { response_format: format }));
    assert.deepEqual(Object.keys(JSON.parse(answer.choices[0].message.content)), ['zeta', 'alpha', 'mid']);
    const runner = (client().chat.completions.stream ? client().chat.completions : client().beta.chat.completions)
      .stream(say('a thing', { response_format: format }));
    const final = await runner.finalChatCompletion();
    assert.deepEqual(Object.keys(JSON.parse(final.choices[0].message.content)), ['zeta', 'alpha', 'mid']);
  },
  async responses() {
    const answer = await client().responses.create({ model: 'sim-echo', input: 'Grüße, 世界' });
    assert.equal(answer.output_text, 'Grüße, 世界');
    assert.equal(answer.status, 'completed');
    assert.ok(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0);
    const next = await client().responses.create({ model: 'sim-echo', input: 'and then', previous_response_id: answer.id });
    assert.equal((await client().responses.retrieve(next.id)).previous_response_id, answer.id);
  },
  async responses_stream() {
    const stream = await client().responses.create({ model: 'sim-echo', input: 'one two three four', stream: true });
    const kinds = [];
    let text = '', last;
    for await (const event of stream) {
      assert.equal(event.sequence_number, kinds.push(event.type) - 1);
      if (event.type === 'response.output_text.delta') text += event.delta;
      last = event;
    }
    assert.equal(text, 'one two three four');
    assert.equal(last.type, 'response.completed');
    assert.equal(last.response.output[0].content[0].text, text);
    assert.equal(kinds[0], 'response.created');
  },
  async responses_tools() {
    const tool = { type: 'function', strict: false, ...weather.function };
    const answer = await client().responses.create({ model: 'sim-echo', input: 'the weather in Paris', tools: [tool] });
    const call = answer.output.find((item) => item.type === 'function_call');
    assert.deepEqual(JSON.parse(call.arguments), { city: 'Paris', days: 1 });
    const next = await client().responses.create({
      model: 'sim-strong', tools: [tool],
      input: [{ role: 'user', content: '[[latency=1ms]] the weather in Paris' }, call, { type: 'function_call_output', call_id: call.call_id, output: 'rain' }],
    });
    assert.match(next.output_text, /rain/);
  },
  async responses_broken_stream() {
    const stream = await client().responses.create({ model: 'sim-echo', input: '[[chunks=20 die=5 delay=2ms]] hi', stream: true });
    let events = 0;
    const error = await rejected((async () => { for await (const _ of stream) events++; })());
    assert.ok(error instanceof OpenAI.APIError, String(error));
    assert.ok(events > 0);
  },
  async embeddings() {
    const input = ['one', 'two'];
    const usual = await client().embeddings.create({ model: 'sim-echo', input });
    const floats = await client().embeddings.create({ model: 'sim-echo', input, encoding_format: 'float' });
    assert.deepEqual(usual.data.map((d) => d.index), [0, 1]);
    for (const [i, d] of usual.data.entries()) {
      assert.equal(d.embedding.length, 1536);
      assert.deepEqual(Array.from(d.embedding, Math.fround), Array.from(floats.data[i].embedding, Math.fround));
    }
    const short = await client().embeddings.create({ model: 'sim-echo', input: 'x', dimensions: 8 });
    assert.equal(short.data[0].embedding.length, 8);
  },
  async moderations() {
    const answer = await client().moderations.create({ model: 'sim-echo', input: ['a kind word', 'kill'] });
    assert.deepEqual(answer.results.map((r) => r.flagged), [false, true]);
  },
  async completions() {
    const stream = await client().completions.create({ model: 'sim-echo', prompt: 'one two three', stream: true });
    let text = '';
    for await (const chunk of stream) text += chunk.choices[0].text;
    assert.equal(text, 'one two three');
  },
  async speech() {
    const response = await client().audio.speech.create({ model: 'sim-echo', input: 'one two', voice: 'alloy', response_format: 'wav' });
    assert.equal(response.headers.get('content-type'), 'audio/wav');
    const bytes = await bytesOf(response);
    assert.equal(bytes.subarray(0, 4).toString(), 'RIFF');
    assert.equal(bytes.length, bytes.readUInt32LE(4) + 8);
  },
  async transcription() {
    const ask = async (more) => client().audio.transcriptions.create({ model: 'sim-echo', file: await toFile(sound, 'a.mp3'), ...more });
    assert.ok((await ask({})).text.includes(sha256(sound)));
    const timed = await ask({ response_format: 'verbose_json', timestamp_granularities: ['word', 'segment'] });
    assert.ok(timed.words.length > 0 && timed.segments.length > 0 && timed.duration > 0);
    assert.ok(String(await ask({ response_format: 'vtt' })).startsWith('WEBVTT'));
    assert.ok(String(await ask({ response_format: 'srt' })).startsWith('1\n'));
    let text = '';
    for await (const event of await ask({ stream: true })) text += event.delta ?? '';
    assert.ok(text.includes(sha256(sound)));
    assert.ok((await client().audio.translations.create({ model: 'sim-echo', file: await toFile(sound, 'a.mp3') })).text.includes(sha256(sound)));
  },
  async images() {
    const made = await client().images.generate({ model: 'sim-echo', prompt: 'a cat', n: 2, response_format: 'b64_json' });
    assert.equal(made.data.length, 2);
    assert.equal(Buffer.from(made.data[0].b64_json, 'base64').subarray(1, 4).toString(), 'PNG');
    const edited = await client().images.edit({ model: 'sim-echo', prompt: 'a hat', image: await toFile(sound, 'a.png', { type: 'image/png' }) });
    assert.ok(edited.data[0].revised_prompt.includes(sha256(sound)));
    if (process.argv[2] === '4') return; // it has no streams of images
    const kinds = [];
    for await (const event of await client().images.generate({ model: 'sim-echo', prompt: '[[size=2000000]] a cat', stream: true, partial_images: 1 })) {
      kinds.push(event.type);
      assert.ok(event.b64_json.length > 2_000_000);
    }
    assert.deepEqual(kinds, ['image_generation.partial_image', 'image_generation.completed']);
  },
  async files() {
    const file = await client().files.create({ purpose: 'user_data', file: await toFile(sound, 'a.bin') });
    assert.equal(file.bytes, sound.length);
    assert.equal(sha256(await bytesOf(await client().files.content(file.id))), sha256(sound));
    const ids = [];
    for await (const f of client().files.list()) ids.push(f.id);
    assert.ok(ids.includes(file.id));
    assert.equal((await client().files[client().files.del ? 'del' : 'delete'](file.id)).deleted, true);
    assert.ok((await rejected(client().files.retrieve(file.id))) instanceof OpenAI.NotFoundError);
  },
  async azure() {
    const azure = new AzureOpenAI({ endpoint: VEL_URL, apiKey: VEL_KEY, apiVersion: '2026-08-01', deployment: 'sim-echo', maxRetries: 0 });
    const answer = await azure.chat.completions.create(say('hi'));
    assert.equal(answer.choices[0].message.content, 'hi');
  },
  async models() {
    const ids = [];
    for await (const model of client().models.list()) ids.push(model.id);
    assert.ok(ids.includes('sim-echo') && ids.includes('sim-fast'), ids.join());
    const one = await client().models.retrieve('sim-echo');
    assert.equal(one.id, 'sim-echo');
    assert.equal(one.object, 'model');
    const error = await rejected(client().models.retrieve('nobody'));
    assert.ok(error instanceof OpenAI.NotFoundError);
  },
  async base_url_without_v1() {
    const answer = await client({ baseURL: VEL_URL }).chat.completions.create(say('hi'));
    assert.equal(answer.choices[0].message.content, 'hi');
  },
  async organization_is_harmless() {
    const answer = await client({ organization: 'org-client', project: 'proj-client' }).chat.completions.create(say('hi'));
    assert.equal(answer.choices[0].message.content, 'hi');
  },
  async error_400() {
    const error = await rejected(client().chat.completions.create(say('hi', { messages: 'no list' })));
    assert.ok(error instanceof OpenAI.BadRequestError, String(error));
    assert.equal(error.param, 'messages');
    assert.equal(error.type, 'invalid_request_error');
    assert.ok(error.request_id ?? error.requestID, 'no request id');
  },
  async error_401() {
    const error = await rejected(client({ apiKey: 'sk-nobody-0123456789' }).chat.completions.create(say('hi')));
    assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
    assert.equal(error.code, 'invalid_api_key');
  },
  async error_403() {
    const error = await rejected(client({ apiKey: VEL_NARROW_KEY }).chat.completions.create(say('hi')));
    assert.ok(error instanceof OpenAI.PermissionDeniedError, String(error));
  },
  async error_404() {
    const error = await rejected(client().chat.completions.create(say('hi', { model: 'nobody' })));
    assert.ok(error instanceof OpenAI.NotFoundError, String(error));
    assert.equal(error.code, 'model_not_found');
  },
  async error_422() {
    const error = await rejected(client().chat.completions.create(say('[[status=422 code=some_code]]')));
    assert.ok(error instanceof OpenAI.UnprocessableEntityError, String(error));
    assert.equal(error.code, 'some_code');
  },
  async error_429() {
    const error = await rejected(client().chat.completions.create(say('[[status=429 retry_after=3]]')));
    assert.ok(error instanceof OpenAI.RateLimitError, String(error));
    const after = error.headers.get ? error.headers.get('retry-after') : error.headers['retry-after'];
    assert.equal(after, '3');
  },
  async error_429_is_retried_after_the_time() {
    const fetch = counting();
    const begun = Date.now();
    const answer = await client({ maxRetries: 2, fetch })
      .chat.completions.create(say(`[[status=429 retry_after=1 fail=1 id=node-${process.argv[2]}-429]] at last`));
    assert.equal(answer.choices[0].message.content, 'at last');
    assert.equal(fetch.calls, 2);
    assert.ok(Date.now() - begun >= 900, 'the client did not wait as the provider asked');
  },
  async error_500_is_retried() {
    const fetch = counting();
    const answer = await client({ maxRetries: 2, fetch })
      .chat.completions.create(say(`[[status=500 fail=1 id=node-${process.argv[2]}-500]] at last`));
    assert.equal(answer.choices[0].message.content, 'at last');
    assert.equal(fetch.calls, 2);
  },
  async error_502() {
    const error = await rejected(client().chat.completions.create(say('[[status=401]]')));
    assert.ok(error instanceof OpenAI.InternalServerError, String(error));
    assert.equal(error.status, 502);
  },
  async error_in_stream() {
    const stream = await client().chat.completions.create(say('[[chunks=20 die=5 delay=2ms]] hi', { stream: true }));
    let chunks = 0;
    const error = await rejected((async () => { for await (const _ of stream) chunks++; })());
    assert.ok(error instanceof OpenAI.APIError, String(error));
    assert.ok(chunks > 0);
  },
  async error_before_stream() {
    const error = await rejected(client().chat.completions.create(say('[[error_first]] hi', { stream: true })));
    assert.ok(error instanceof OpenAI.InternalServerError, String(error));
  },
  async timeout() {
    const error = await rejected(client({ timeout: 300 }).chat.completions.create(say('[[latency=1m]] hi')));
    assert.ok(error instanceof OpenAI.APIConnectionTimeoutError, String(error));
  },
  // The last three share the simulator's counters, so they come one after the other, at the end.
  async abort_stream() {
    await seen('open=0', '5s'); // what earlier checks left
    await reset();
    const stream = await client().chat.completions.create(say('[[chunks=1000 delay=20ms]] hi', { stream: true }));
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 3) break;
    await seen('left=1&open=0', '1s');
  },
  async abort_stream_before_first_byte() {
    await reset();
    const abort = new AbortController();
    const pending = rejected(client().chat.completions.create(say('[[latency=1m]] hi', { stream: true }), { signal: abort.signal }));
    await seen('open=1', '5s');
    abort.abort();
    assert.ok((await pending) instanceof OpenAI.APIUserAbortError);
    await seen('left_before_first_byte=1&open=0', '1s');
  },
  async abort_before_first_byte() {
    await reset();
    const abort = new AbortController();
    const pending = rejected(client().chat.completions.create(say('[[latency=1m]] hi'), { signal: abort.signal }));
    await seen('open=1', '5s');
    abort.abort();
    assert.ok((await pending) instanceof OpenAI.APIUserAbortError);
    await seen('left_before_first_byte=1&open=0', '1s');
  },
};

await run(checks);
