"""Chat, completions and embeddings through `together>=2,<3`."""

import asyncio
import json
import time

import pytest
import together

HELLO = [{"role": "user", "content": "Hello!"}]
FINISHED = ("stop", "eos", "length")


def test_a_chat(client, started):
    answer = client.chat.completions.create(model=started["name"], messages=HELLO, max_tokens=16)
    assert answer.object == "chat.completion" and answer.id and answer.created
    choice = answer.choices[0]
    assert choice.message.role == "assistant" and isinstance(choice.message.content, str)
    assert choice.finish_reason in FINISHED
    assert 0 < answer.usage.completion_tokens <= 16
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def check_chunks(chunks):
    assert len({it.id for it in chunks}) == 1
    assert all(it.object == "chat.completion.chunk" for it in chunks)
    assert all(it.choices[0].delta.role == "assistant" for it in chunks), "typed as always there"
    *body, last = chunks
    assert all(it.choices[0].finish_reason is None and it.usage is None for it in body)
    assert last.choices[0].finish_reason in FINISHED
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


def test_a_streamed_chat(client, started):
    begun = time.monotonic()
    chunks = list(
        client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=24, stream=True)
    )
    check_chunks(chunks)
    assert time.monotonic() - begun < 30


def test_a_stream_says_what_the_whole_answer_says(client, started):
    asked = {"model": started["id"], "messages": HELLO, "max_tokens": 24, "temperature": 0, "seed": 7}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    pieces = [it.choices[0].delta.content or "" for it in client.chat.completions.create(**asked, stream=True)]
    assert "".join(pieces) == whole


async def test_async_chats_at_once(dedi, started):
    async with together.AsyncTogether(api_key=dedi.key, base_url=dedi.base_url) as client:

        async def streamed():
            stream = await client.chat.completions.create(
                model=started["id"], messages=HELLO, max_tokens=12, stream=True
            )
            return [it async for it in stream]

        plain = client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=12)
        first, second, answer = await asyncio.gather(streamed(), streamed(), plain)
        check_chunks(first)
        check_chunks(second)
        assert answer.choices[0].message.role == "assistant"


def test_stop_and_sampling_options_are_taken(client, started):
    answer = client.chat.completions.create(
        model=started["id"],
        messages=[{"role": "system", "content": "Tell a story."}, *HELLO],
        max_tokens=8,
        stop=["\n\n"],
        temperature=0.7,
        top_p=0.9,
        top_k=40,
        repetition_penalty=1.1,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        seed=1,
    )
    assert answer.choices[0].finish_reason in FINISHED


def test_an_echo(client, started):
    answer = client.chat.completions.create(
        model=started["id"], messages=HELLO, max_tokens=4, echo=True, logprobs=1
    )
    prompt = answer.prompt[0]
    assert "Hello!" in prompt.text and len(prompt.logprobs.tokens) == answer.usage.prompt_tokens
    first, *others = prompt.logprobs.token_logprobs
    assert first is None and all(it <= 0 for it in others)
    answer = client.completions.create(model=started["id"], prompt="Once", max_tokens=4, echo=True)
    assert answer.prompt[0].text == "Once"


def test_a_completion_plain_and_streamed(client, started):
    answer = client.completions.create(model=started["name"], prompt="Once upon a time", max_tokens=8)
    assert answer.object == "text.completion" and isinstance(answer.choices[0].text, str)
    assert answer.usage.completion_tokens <= 8
    chunks = list(client.completions.create(model=started["id"], prompt="Once", max_tokens=8, stream=True))
    assert chunks[-1].choices[0].finish_reason in FINISHED


def test_the_raw_stream_ends_with_the_marker(client, started):
    with client.chat.completions.with_streaming_response.create(
        model=started["id"], messages=HELLO, max_tokens=4, stream=True
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [it for it in response.iter_lines() if it.startswith("data:")]
    assert lines[-1] == "data: [DONE]"
    assert all("role" in json.loads(it[5:])["choices"][0]["delta"] for it in lines[:-1])


def test_a_model_without_an_endpoint(client):
    with pytest.raises((together.BadRequestError, together.NotFoundError)) as refused:
        client.chat.completions.create(model="nobody/nothing", messages=HELLO)
    assert refused.value.body["error"]["code"] == "model_not_available"


def test_a_client_that_leaves_frees_its_place(client, started):
    for _ in range(8):
        stream = client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=400, stream=True)
        next(iter(stream))
        stream.close()
    begun = time.monotonic()
    client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=2)
    assert time.monotonic() - begun < 20
