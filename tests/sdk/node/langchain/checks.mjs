// The checks of LangChain for JavaScript against a running Vel, over chat completions and over the Responses API.
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import assert from 'node:assert/strict';
import { z } from 'zod';
import { rejected, reset, run, seen } from '../check.mjs';

const { VEL_URL, VEL_KEY, VEL_NARROW_KEY } = process.env;
const configuration = { baseURL: `${VEL_URL}/v1` };
const kinds = {
  chat: (more) => new ChatOpenAI({ model: 'sim-echo', apiKey: VEL_KEY, maxRetries: 0, configuration, ...more }),
  responses: (more) => new ChatOpenAI({ model: 'sim-echo', apiKey: VEL_KEY, maxRetries: 0, useResponsesApi: true, configuration, ...more }),
};
const thing = z.object({ zeta: z.string(), alpha: z.number().int(), mid: z.array(z.string()) });
const weather = tool(async () => 'heavy rain', {
  name: 'get_weather', description: 'the weather', schema: z.object({ city: z.string(), days: z.number().int() }),
});

// Each of these runs over both APIs.
const both = {
  async chat(model) {
    const answer = await model().invoke('Grüße, 世界');
    assert.equal(answer.text, 'Grüße, 世界');
    assert.ok(answer.usage_metadata.input_tokens > 0 && answer.usage_metadata.output_tokens > 0);
  },
  async stream(model) {
    let all, chunks = 0;
    for await (const chunk of await model().stream('one two three four')) {
      all = all ? all.concat(chunk) : chunk;
      chunks++;
    }
    assert.equal(all.text, 'one two three four');
    assert.ok(chunks >= 4, `only ${chunks} chunks`);
    assert.ok(all.usage_metadata.output_tokens > 0, 'no usage');
  },
  async tools(model) {
    const bound = model({ model: 'sim-strong' }).bindTools([weather]);
    const question = new HumanMessage('[[latency=1ms delay=0s]] the weather in Paris');
    const answer = await bound.invoke([question]);
    const [call] = answer.tool_calls;
    assert.deepEqual([call.name, call.args], ['get_weather', { city: 'Paris', days: 1 }]);
    const next = await bound.invoke([question, answer, new ToolMessage({ tool_call_id: call.id, content: 'heavy rain' })]);
    assert.match(next.text, /heavy rain/);
  },
  async tools_in_stream(model) {
    let all;
    for await (const chunk of await model().bindTools([weather]).stream('the weather in Paris')) all = all ? all.concat(chunk) : chunk;
    assert.deepEqual(all.tool_calls.map((c) => [c.name, c.args]), [['get_weather', { city: 'Paris', days: 1 }]]);
  },
  async structured_output(model) {
    for (const method of ['jsonSchema', 'functionCalling']) {
      const answer = await model().withStructuredOutput(thing, { method, name: 'thing' }).invoke('call thing with a thing');
      assert.deepEqual(Object.keys(answer), ['zeta', 'alpha', 'mid'], method);
    }
  },
  async error_400(model) {
    const error = await rejected(model().invoke('[[no_such_word]] hi'));
    assert.equal(error.status, 400);
    assert.match(error.message, /no_such_word/);
  },
  async error_401(model) {
    const error = await rejected(model({ apiKey: 'sk-nobody-0123456789' }).invoke('hi'));
    assert.deepEqual([error.status, error.code], [401, 'invalid_api_key']);
  },
  async error_403(model) {
    assert.equal((await rejected(model({ apiKey: VEL_NARROW_KEY }).invoke('hi'))).status, 403);
  },
  async error_404(model) {
    const error = await rejected(model({ model: 'nobody' }).invoke('hi'));
    assert.deepEqual([error.status, error.code], [404, 'model_not_found']);
  },
  async error_429(model) {
    const error = await rejected(model().invoke('[[status=429 retry_after=3]] hi'));
    assert.equal(error.status, 429);
    assert.equal(error.headers.get('retry-after'), '3');
  },
  async error_500_is_retried(model, kind) {
    assert.equal((await model({ maxRetries: 2 }).invoke(`[[status=500 fail=1 id=lc-${kind}-500]] at last`)).text, 'at last');
  },
  async error_502(model) {
    assert.equal((await rejected(model().invoke('[[status=401]] hi'))).status, 502);
  },
  async error_in_stream(model) {
    let chunks = 0;
    const error = await rejected((async () => { for await (const _ of await model().stream('[[chunks=20 die=5 delay=2ms]] hi')) chunks++; })());
    assert.ok(error instanceof Error && chunks > 0, `${error} after ${chunks}`);
  },
  async error_before_stream(model) {
    const error = await rejected((async () => { for await (const _ of await model().stream('[[error_first]] hi')); })());
    assert.equal(error.status, 500);
  },
};

// These share the simulator's counters, so they come one after the other, at the end.
const aborts = {
  async abort_stream(model) {
    await seen('open=0', '5s');
    await reset();
    let chunks = 0;
    for await (const _ of await model().stream('[[chunks=1000 delay=20ms]] hi')) if (++chunks === 3) break;
    await seen('left=1&open=0', '1s');
  },
  async abort_before_first_byte(model) {
    await reset();
    const abort = new AbortController();
    const pending = rejected(model().invoke('[[latency=1m]] hi', { signal: abort.signal }));
    await seen('open=1', '5s');
    abort.abort();
    await pending;
    await seen('left_before_first_byte=1&open=0', '1s');
  },
};

const others = {
  async embeddings() {
    const vectors = await new OpenAIEmbeddings({ model: 'sim-echo', apiKey: VEL_KEY, configuration }).embedDocuments(['one', 'two']);
    assert.deepEqual(vectors.map((v) => v.length), [1536, 1536]);
    assert.notDeepEqual(vectors[0], vectors[1]);
  },
};

const checks = { ...others };
for (const group of [both, aborts]) {
  for (const [kind, model] of Object.entries(kinds)) {
    for (const [name, check] of Object.entries(group)) checks[`${name}, ${kind}`] = () => check(model, kind);
  }
}
await run(checks);
