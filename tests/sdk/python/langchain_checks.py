"""The checks of LangChain for Python against a running Vel, over chat completions and over the Responses API."""

import asyncio
import functools
import os

import openai
import pydantic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from check import rejected, reset, run, seen

VEL = os.environ["VEL_URL"]
KEY = os.environ["VEL_KEY"]
NARROW_KEY = os.environ["VEL_NARROW_KEY"]


def chat_model(**more):
    return ChatOpenAI(**{"model": "sim-echo", "api_key": KEY, "base_url": VEL + "/v1", "max_retries": 0, **more})


def responses_model(**more):
    return chat_model(use_responses_api=True, **more)


# LangChain keeps its connections for the next model, and they belong to the loop that made them: all share one.
LOOP = asyncio.Runner()

KINDS = {"chat": chat_model, "responses": responses_model}


@tool
def get_weather(city: str, days: int) -> str:
    """The weather."""
    return "heavy rain"


class Thing(pydantic.BaseModel):
    """A thing."""

    zeta: str
    alpha: int
    mid: list[str]


def joined(chunks):
    return functools.reduce(lambda a, b: a + b, chunks)


def chat(model):
    answer = model().invoke("Grüße, 世界")
    assert answer.text == "Grüße, 世界", answer
    assert answer.usage_metadata["input_tokens"] > 0 and answer.usage_metadata["output_tokens"] > 0


def stream(model):
    chunks = list(model(stream_usage=True).stream("one two three four"))
    answer = joined(chunks)
    assert answer.text == "one two three four" and len(chunks) >= 4
    assert answer.usage_metadata["output_tokens"] > 0


def stream_async(model):
    async def texts():
        return [chunk.text async for chunk in model().astream("one two three")]

    assert "".join(LOOP.run(texts())) == "one two three"


def tools(model):
    bound = model(model="sim-strong").bind_tools([get_weather])
    question = HumanMessage("[[latency=1ms delay=0s]] the weather in Paris")
    answer = bound.invoke([question])
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris", "days": 1})
    following = bound.invoke([question, answer, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])])
    assert "heavy rain" in following.text


def tools_in_stream(model):
    answer = joined(model().bind_tools([get_weather]).stream("the weather in Paris"))
    assert [(c["name"], c["args"]) for c in answer.tool_calls] == [("get_weather", {"city": "Paris", "days": 1})]


def structured_output(model):
    for method in ("json_schema", "function_calling"):
        answer = model().with_structured_output(Thing, method=method).invoke("call Thing with a thing")
        assert isinstance(answer, Thing), (method, answer)


def error_400(model):
    error = rejected(openai.BadRequestError, lambda: model().invoke("[[no_such_word]] hi"))
    assert "no_such_word" in str(error)


def error_401(model):
    error = rejected(openai.AuthenticationError, lambda: model(api_key="sk-nobody-0123456789").invoke("hi"))
    assert error.code == "invalid_api_key"


def error_403(model):
    rejected(openai.PermissionDeniedError, lambda: model(api_key=NARROW_KEY).invoke("hi"))


def error_404(model):
    error = rejected(openai.NotFoundError, lambda: model(model="nobody").invoke("hi"))
    assert error.code == "model_not_found"


def error_429(model):
    error = rejected(openai.RateLimitError, lambda: model().invoke("[[status=429 retry_after=3]] hi"))
    assert error.response.headers["retry-after"] == "3"


def error_500_is_retried(model):
    name = model.__name__.replace("_", "-")
    assert model(max_retries=2).invoke(f"[[status=500 fail=1 id=lc-{name}]] at last").text == "at last"


def error_502(model):
    assert rejected(openai.InternalServerError, lambda: model().invoke("[[status=401]] hi")).status_code == 502


def error_in_stream(model):
    chunks = []
    rejected(Exception, lambda: chunks.extend(model().stream("[[chunks=20 die=5 delay=2ms]] hi")))
    assert chunks


def error_before_stream(model):
    rejected(openai.InternalServerError, lambda: list(model().stream("[[error_first]] hi")))


# The last two share the simulator's counters, so they come one after the other, at the end.


def abort_stream(model):
    seen("open=0", "5s")
    reset()
    chunks = model().stream("[[chunks=1000 delay=20ms]] hi")
    for _ in range(3):
        next(chunks)
    chunks.close()
    seen("left=1&open=0", "1s")


def abort_before_first_byte(model):
    async def cancelled():
        pending = asyncio.create_task(model().ainvoke("[[latency=1m]] hi"))
        await asyncio.to_thread(seen, "open=1", "5s")
        pending.cancel()
        try:
            await pending
        except asyncio.CancelledError:
            pass
        await asyncio.to_thread(seen, "left_before_first_byte=1&open=0", "1s")

    reset()
    LOOP.run(cancelled())


def embeddings():
    # Whether texts fit is counted with a list of tokens from elsewhere, unless told not to.
    api = OpenAIEmbeddings(model="sim-echo", api_key=KEY, base_url=VEL + "/v1", check_embedding_ctx_length=False)
    vectors = api.embed_documents(["one", "two"])
    assert [len(v) for v in vectors] == [1536, 1536] and vectors[0] != vectors[1]


BOTH = [
    chat, stream, stream_async, tools, tools_in_stream, structured_output, error_400, error_401, error_403, error_404, error_429,
    error_500_is_retried, error_502, error_in_stream, error_before_stream, abort_stream, abort_before_first_byte,
]  # fmt: skip


def over(kind, check):
    """The check of one API, under a name of its own."""
    named = functools.partial(check, KINDS[kind])
    named.__name__ = f"{check.__name__}, {kind}"
    return named


run([embeddings] + [over(kind, check) for kind in KINDS for check in BOTH])
