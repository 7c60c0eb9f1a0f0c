"""Inference through OpenAI's Python SDK."""

import asyncio

import typing

import openai
import pydantic
import pytest
from helpers import MODEL, UNKNOWN, WRONG_KEY

HELLO = [{"role": "user", "content": "Hello!"}]
FINISHED = ("stop", "length")
CALLS = {
    "chat": lambda c, model: c.chat.completions.create(model=model, messages=HELLO),
    "streamed chat": lambda c, model: c.chat.completions.create(model=model, messages=HELLO, stream=True),
    "completion": lambda c, model: c.completions.create(model=model, prompt="Once"),
    "streamed completion": lambda c, model: c.completions.create(model=model, prompt="Once", stream=True),
    "embeddings": lambda c, model: c.embeddings.create(model=model, input="Once"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def test_a_chat(client, started):
    for model in (started["id"], started["name"]):
        answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=8)
        assert answer.object == "chat.completion" and answer.model == model
        assert answer.choices[0].message.role == "assistant" and answer.choices[0].finish_reason in FINISHED
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_streamed_chat(client, started):
    stream = client.chat.completions.create(
        model=started["id"], messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    finished = [it for it in chunks if it.choices and it.choices[0].finish_reason]
    assert len(finished) == 1 and finished[0].choices[0].finish_reason in FINISHED
    assert any(it.usage for it in chunks)
    assert "".join(it.choices[0].delta.content or "" for it in chunks if it.choices)


def test_the_helper_that_puts_a_stream_together(client, started):
    with client.chat.completions.stream(model=started["id"], messages=HELLO, temperature=0) as stream:
        answer = stream.get_final_completion()
    assert answer.choices[0].message.content and answer.choices[0].finish_reason == "stop"


def test_the_helpers_message_can_be_sent_back(client, started):
    tool = {
        "type": "function",
        "function": {"name": "set", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}},
    }
    for more in ({}, {"tools": [tool], "tool_choice": "required"}):
        asked = {"model": started["id"], "messages": HELLO, "temperature": 0, "max_tokens": 60, **more}
        with client.chat.completions.stream(**asked) as stream:
            message = stream.get_final_completion().choices[0].message
        assert message.role == "assistant" and "token_id" not in message.model_dump()
        back = [*HELLO, message.model_dump()]
        if more:
            (call,) = message.tool_calls
            assert call.function.name == "set" and call.function.arguments == "{}"
            back.append({"role": "tool", "tool_call_id": call.id, "content": "done"})
        else:
            back.append({"role": "user", "content": "And?"})
        answer = client.chat.completions.create(model=started["id"], messages=back, max_tokens=4)
        assert answer.choices[0].message.role == "assistant"


class Answer(pydantic.BaseModel):
    ok: bool
    word: typing.Literal["red", "blue"]


def test_parse(client, started):
    asked = {"model": started["id"], "messages": HELLO, "response_format": Answer, "max_tokens": 64}
    answer = client.chat.completions.parse(**asked)
    assert isinstance(answer.choices[0].message.parsed, Answer)
    with client.chat.completions.stream(**asked) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Answer)


def test_the_helper_can_not_read_the_numbers_of_a_stream(client, started):
    """A known difference: a stream has Together's number for each token, where OpenAI's has an object, and the helper
    that puts OpenAI's streams together wants the object. Chunks without the helper have the number."""
    asked = {"model": started["id"], "messages": HELLO, "logprobs": True, "max_tokens": 4}
    with pytest.raises(AttributeError, match="'float' object has no attribute 'content'"):
        with client.chat.completions.stream(**asked) as stream:
            stream.get_final_completion()
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert [it.choices[0].logprobs <= 0 for it in chunks if it.choices[0].delta.content] == [True] * 4


def test_an_echo(client, started):
    answer = client.completions.create(model=started["id"], prompt="Once", max_tokens=4, echo=True, logprobs=1)
    (prompt,) = answer.prompt
    assert prompt["text"] == "Once" and len(prompt["logprobs"]["tokens"]) == answer.usage.prompt_tokens
    assert "Once" not in answer.choices[0].text
    echo = {"echo": True}
    answer = client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=4, extra_body=echo)
    assert "Hello!" in answer.prompt[0]["text"]


def test_async(dedi, started):
    async def ask():
        async with openai.AsyncOpenAI(api_key=dedi.key, base_url=dedi.base_url) as client:
            answer = await client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=4)
            stream = await client.chat.completions.create(
                model=started["id"], messages=HELLO, max_tokens=4, stream=True
            )
            models = [it.id async for it in client.models.list()]
            return answer, [it async for it in stream], models

    answer, chunks, models = asyncio.run(ask())
    assert answer.choices and chunks and MODEL in models


def test_a_completion_plain_and_streamed(client, started):
    answer = client.completions.create(model=started["id"], prompt="Once", max_tokens=4)
    assert answer.choices[0].index == 0 and isinstance(answer.choices[0].text, str)
    chunks = list(client.completions.create(model=started["id"], prompt="Once", max_tokens=4, stream=True))
    assert chunks[-1].choices[0].finish_reason in FINISHED
    assert "".join(it.choices[0].text for it in chunks)


def test_models(client, started):
    models = {it.id: it for it in client.models.list()}
    assert models[MODEL].object == "model" and models[MODEL].owned_by == "dedi"
    assert started["name"] in models


def test_one_model(client, started):
    for name in (MODEL, started["name"]):
        one = client.models.retrieve(name)
        assert (one.id, one.object, one.owned_by) == (name, "model", "dedi")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/nothing")


def test_a_call_is_neither_stopped_nor_told_as_text(client, started):
    tool = {"type": "function", "function": {"name": "set", "parameters": {"type": "object", "properties": {}}}}
    asked = {
        "model": started["id"],
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [tool],
        "tool_choice": "required",
    }
    choice = client.chat.completions.create(**asked, stop=["\n", "tool"], max_tokens=200).choices[0]
    assert choice.message.tool_calls[0].function.name == "set" and not choice.message.content
    choice = client.chat.completions.create(**asked, max_tokens=20).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("length", None)
    assert choice.message.tool_calls[0].function.name == "set"


def test_embeddings_of_a_model_that_makes_none(client, started):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=started["id"], input="Once")
    assert "embedding" in refused.value.body["message"].lower()


@every_call
def test_a_wrong_key(dedi, started, call):
    wrong = openai.OpenAI(api_key=WRONG_KEY, base_url=dedi.base_url)
    with pytest.raises(openai.AuthenticationError) as refused:
        call(wrong, started["id"])
    assert refused.value.code == "invalid_api_key"


def test_a_wrong_key_for_the_models(dedi):
    with pytest.raises(openai.PermissionDeniedError) as refused:
        openai.OpenAI(api_key=WRONG_KEY, base_url=dedi.base_url).models.list()
    assert refused.value.code == "invalid_api_key"


@every_call
def test_a_stopped_endpoint(client, own, call):
    with pytest.raises(openai.BadRequestError) as refused:
        call(client, own()["id"])
    assert refused.value.code == "dedicated_endpoint_not_running"


@every_call
def test_a_wrong_model(client, call):
    for unknown in ("nobody/nothing", UNKNOWN):
        with pytest.raises(openai.NotFoundError) as refused:
            call(client, unknown)
        assert refused.value.code == "model_not_available"
    with pytest.raises(openai.BadRequestError) as refused:
        call(client, MODEL)
    assert refused.value.code == "model_not_available", "it could be deployed"
