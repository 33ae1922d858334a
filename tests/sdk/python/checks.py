"""The checks of openai's Python client against a running Vel.

Each check prints one line of JSON: its name, whether it held, and why not.
"""

import asyncio
import hashlib
import json
import os
import time

import httpx2 as httpx
import openai

from check import rejected, reset, run, seen

VEL = os.environ["VEL_URL"]
KEY = os.environ["VEL_KEY"]
NARROW_KEY = os.environ["VEL_NARROW_KEY"]

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}}},
}


def client(**more):
    return openai.OpenAI(**{"api_key": KEY, "base_url": VEL + "/v1", "max_retries": 0, **more})


def say(content, **more):
    return {"model": "sim-echo", "messages": [{"role": "user", "content": content}], **more}


def create(content, api=None, **more):
    return (api or client()).chat.completions.create(**say(content, **more))


def counting():
    """An HTTP client that counts the requests that really went out."""
    calls = []
    return httpx.Client(event_hooks={"request": [calls.append]}), calls


def chat():
    answer = create("Grüße, 世界")
    assert answer.choices[0].message.content == "Grüße, 世界"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def request_id():
    answer, other = create("hi"), client().chat.completions.with_raw_response.create(**say("hi"))
    assert answer._request_id
    assert other.headers["x-request-id"] == other.parse()._request_id != answer._request_id


def stream():
    text, finish, chunks = "", None, 0
    for chunk in create("one two three four", stream=True):
        assert len(chunk.choices) == 1, "a chunk without choices that nobody asked for"
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
        chunks += 1
    assert (text, finish) == ("one two three four", "stop")
    assert chunks > 4


def stream_async():
    async def run():
        api = openai.AsyncOpenAI(api_key=KEY, base_url=VEL + "/v1", max_retries=0)
        text = ""
        async for chunk in await api.chat.completions.create(**say("one two three", stream=True)):
            text += chunk.choices[0].delta.content or ""
        return text

    assert asyncio.run(run()) == "one two three"


def include_usage():
    *chunks, last = create("one two", stream=True, stream_options={"include_usage": True})
    assert last.choices == [] and last.usage.prompt_tokens > 0 and last.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks)


def tools():
    answer = create("the weather in Paris", tools=[WEATHER])
    assert answer.choices[0].finish_reason == "tool_calls"
    call = answer.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Paris", "days": 1}
    history = [
        {"role": "user", "content": "[[latency=1ms]] the weather in Paris"},
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    following = client().chat.completions.create(model="sim-strong", messages=history, tools=[WEATHER])
    assert "rain" in following.choices[0].message.content


def tools_in_stream():
    calls = {}
    for chunk in create("get_weather and get_time in Paris", stream=True, tools=[WEATHER, CLOCK]):
        for delta in chunk.choices[0].delta.tool_calls or []:
            name, arguments = calls.get(delta.index, ("", ""))
            calls[delta.index] = (name + (delta.function.name or ""), arguments + (delta.function.arguments or ""))
    assert [calls[i][0] for i in (0, 1)] == ["get_weather", "get_time"]
    assert [json.loads(calls[i][1]) for i in (0, 1)] == [{"city": "Paris", "days": 1}, {"zone": "Paris"}]


def structured_output():
    import pydantic

    class Thing(pydantic.BaseModel):
        zeta: str
        alpha: int
        mid: list[str]

    answer = client().chat.completions.parse(**say("a thing", response_format=Thing))
    assert isinstance(answer.choices[0].message.parsed, Thing)
    assert list(json.loads(answer.choices[0].message.content)) == ["zeta", "alpha", "mid"]
    with client().chat.completions.stream(**say("a thing", response_format=Thing)) as events:
        for _ in events:
            pass
        assert isinstance(events.get_final_completion().choices[0].message.parsed, Thing)


def responses():
    answer = client().responses.create(model="sim-echo", input="Grüße, 世界")
    assert (answer.output_text, answer.status) == ("Grüße, 世界", "completed")
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    following = client().responses.create(model="sim-echo", input="and then", previous_response_id=answer.id)
    assert client().responses.retrieve(following.id).previous_response_id == answer.id


def responses_stream():
    events = list(client().responses.create(model="sim-echo", input="one two three four", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert (text, events[-1].type) == ("one two three four", "response.completed")
    assert events[-1].response.output_text == text
    with client().responses.stream(model="sim-echo", input="one two") as helper:
        for _ in helper:
            pass
        assert helper.get_final_response().output_text == "one two"


def responses_tools():
    tool = {"type": "function", "strict": False, **WEATHER["function"]}
    answer = client().responses.create(model="sim-echo", input="the weather in Paris", tools=[tool])
    call = next(item for item in answer.output if item.type == "function_call")
    assert json.loads(call.arguments) == {"city": "Paris", "days": 1}


def responses_structured_output():
    import pydantic

    class Thing(pydantic.BaseModel):
        zeta: str
        alpha: int

    answer = client().responses.parse(model="sim-echo", input="a thing", text_format=Thing)
    assert isinstance(answer.output_parsed, Thing)


def responses_broken_stream():
    words = "[[chunks=20 die=5 delay=2ms]] hi"
    events = []
    stream = client().responses.create(model="sim-echo", input=words, stream=True)
    try:
        events.extend(stream)
    except openai.APIError:
        return
    # The client hands the error event out like any other; then the gateway's must be the last one.
    assert events[-1].type == "error", events[-1]


def embeddings():
    texts = ["one", "two"]
    usual = client().embeddings.create(model="sim-echo", input=texts)
    floats = client().embeddings.create(model="sim-echo", input=texts, encoding_format="float")
    for a, b in zip(usual.data, floats.data, strict=True):
        assert len(a.embedding) == 1536 and a.index == b.index
        assert max(abs(x - y) for x, y in zip(a.embedding, b.embedding, strict=True)) < 1e-6
    assert len(client().embeddings.create(model="sim-echo", input="x", dimensions=8).data[0].embedding) == 8


def moderations():
    answer = client().moderations.create(model="sim-echo", input=["a kind word", "kill"])
    assert [r.flagged for r in answer.results] == [False, True]


def completions():
    chunks = client().completions.create(model="sim-echo", prompt="one two three", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "one two three"


SOUND = bytes((i * 7919) >> 3 & 255 for i in range(100_000))
DIGEST = hashlib.sha256(SOUND).hexdigest()


def speech():
    said = {"model": "sim-echo", "input": "one two", "voice": "alloy", "response_format": "wav"}
    whole = client().audio.speech.create(**said)
    assert whole.response.headers["content-type"] == "audio/wav" and whole.content[:4] == b"RIFF"
    with client().audio.speech.with_streaming_response.create(**said) as response:
        assert b"".join(response.iter_bytes()) == whole.content


def transcription():
    def ask(**more):
        return client().audio.transcriptions.create(model="sim-echo", file=("a.mp3", SOUND), **more)

    assert DIGEST in ask().text
    timed = ask(response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert timed.words and timed.segments and timed.duration
    assert ask(response_format="vtt").startswith("WEBVTT") and ask(response_format="srt").startswith("1\n")
    assert DIGEST in "".join(getattr(event, "delta", "") for event in ask(stream=True))
    assert DIGEST in client().audio.translations.create(model="sim-echo", file=("a.mp3", SOUND)).text


def images():
    made = client().images.generate(model="sim-echo", prompt="a cat", n=2)
    assert len(made.data) == 2 and made.data[0].b64_json
    edited = client().images.edit(model="sim-echo", prompt="a hat", image=("a.png", SOUND, "image/png"))
    assert DIGEST in edited.data[0].revised_prompt
    events = list(client().images.generate(model="sim-echo", prompt="[[size=2000000]] a cat", stream=True, partial_images=1))
    assert [e.type for e in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert all(len(e.b64_json) > 2_000_000 for e in events)


def files():
    api = client()
    file = api.files.create(purpose="user_data", file=("a.bin", SOUND))
    assert file.bytes == len(SOUND)
    assert api.files.content(file.id).content == SOUND
    assert file.id in [f.id for f in api.files.list()]
    assert api.files.delete(file.id).deleted
    rejected(openai.NotFoundError, lambda: api.files.retrieve(file.id))


def azure():
    api = openai.AzureOpenAI(azure_endpoint=VEL, api_key=KEY, api_version="2026-08-01", azure_deployment="sim-echo", max_retries=0)
    assert create("hi", api).choices[0].message.content == "hi"


def models():
    names = [m.id for m in client().models.list()]
    assert "sim-echo" in names and "sim-fast" in names, names
    one = client().models.retrieve("sim-echo")
    assert (one.id, one.object) == ("sim-echo", "model")
    rejected(openai.NotFoundError, lambda: client().models.retrieve("nobody"))


def base_url_without_v1():
    assert create("hi", client(base_url=VEL)).choices[0].message.content == "hi"


def organization_is_harmless():
    api = client(organization="org-client", project="proj-client")
    assert create("hi", api).choices[0].message.content == "hi"


def error_400():
    error = rejected(openai.BadRequestError, lambda: create("hi", messages="no list"))
    assert (error.param, error.type) == ("messages", "invalid_request_error")
    assert error.request_id


def error_401():
    error = rejected(openai.AuthenticationError, lambda: create("hi", client(api_key="sk-nobody-0123456789")))
    assert error.code == "invalid_api_key"


def error_403():
    rejected(openai.PermissionDeniedError, lambda: create("hi", client(api_key=NARROW_KEY)))


def error_404():
    assert rejected(openai.NotFoundError, lambda: create("hi", model="nobody")).code == "model_not_found"


def error_422():
    error = rejected(openai.UnprocessableEntityError, lambda: create("[[status=422 code=some_code]]"))
    assert error.code == "some_code"


def error_429():
    error = rejected(openai.RateLimitError, lambda: create("[[status=429 retry_after=3]]"))
    assert error.response.headers["retry-after"] == "3"


def error_429_is_retried_after_the_time():
    http, calls = counting()
    begun = time.monotonic()
    answer = create("[[status=429 retry_after=1 fail=1 id=python-429]] at last", client(max_retries=2, http_client=http))
    assert answer.choices[0].message.content == "at last"
    assert len(calls) == 2
    assert time.monotonic() - begun >= 0.9, "the client did not wait as the provider asked"


def error_500_is_retried():
    http, calls = counting()
    answer = create("[[status=500 fail=1 id=python-500]] at last", client(max_retries=2, http_client=http))
    assert answer.choices[0].message.content == "at last"
    assert len(calls) == 2


def error_502():
    assert rejected(openai.InternalServerError, lambda: create("[[status=401]]")).status_code == 502


def error_in_stream():
    chunks = []
    rejected(openai.APIError, lambda: chunks.extend(create("[[chunks=20 die=5 delay=2ms]] hi", stream=True)))


def error_before_stream():
    rejected(openai.InternalServerError, lambda: create("[[error_first]] hi", stream=True))


def timeout():
    rejected(openai.APITimeoutError, lambda: create("[[latency=1m]] hi", client(timeout=0.3)))


# The last three share the simulator's counters, so they come one after the other, at the end.


def abort_stream():
    seen("open=0", "5s")  # what earlier checks left
    reset()
    api = client()
    chunks = create("[[chunks=1000 delay=20ms]] hi", api, stream=True)
    for _ in range(3):
        next(chunks)
    chunks.close()
    seen("left=1&open=0", "1s")


def abort(**more):
    async def run():
        api = openai.AsyncOpenAI(api_key=KEY, base_url=VEL + "/v1", max_retries=0)
        pending = asyncio.create_task(api.chat.completions.create(**say("[[latency=1m]] hi", **more)))
        await asyncio.to_thread(seen, "open=1", "5s")
        pending.cancel()
        try:
            await pending
        except asyncio.CancelledError:
            pass
        await asyncio.to_thread(seen, "left_before_first_byte=1&open=0", "1s")

    reset()
    asyncio.run(run())


def abort_stream_before_first_byte():
    abort(stream=True)


def abort_before_first_byte():
    abort()


CHECKS = [
    chat, request_id, stream, stream_async, include_usage, tools, tools_in_stream, structured_output,
    responses, responses_stream, responses_tools, responses_structured_output, responses_broken_stream, embeddings, moderations,
    completions, speech, transcription, images, files, azure, models,
    base_url_without_v1, organization_is_harmless, error_400, error_401, error_403, error_404, error_422, error_429,
    error_429_is_retried_after_the_time, error_500_is_retried, error_502, error_in_stream, error_before_stream, timeout,
    abort_stream, abort_stream_before_first_byte, abort_before_first_byte,
]  # fmt: skip

run(CHECKS)
