"""Inference through OpenAI's Python SDK."""

import asyncio

import openai
import pytest

HELLO = [{"role": "user", "content": "Hello!"}]


@pytest.fixture(scope="session")
def client(dedi):
    return openai.OpenAI(api_key=dedi.key, base_url=dedi.base_url, max_retries=0)


def test_a_chat(client, started):
    answer = client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=8)
    assert answer.choices[0].message.role == "assistant" and answer.usage.total_tokens > 0


def test_a_streamed_chat(client, started):
    stream = client.chat.completions.create(
        model=started["id"], messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    finished = [it for it in chunks if it.choices and it.choices[0].finish_reason]
    assert len(finished) == 1 and finished[0].choices[0].finish_reason in ("stop", "length")
    assert any(it.usage for it in chunks)


def test_async(dedi, started):
    async def ask():
        async with openai.AsyncOpenAI(api_key=dedi.key, base_url=dedi.base_url) as client:
            return await client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=4)

    assert asyncio.run(ask()).choices


def test_a_completion(client, started):
    assert isinstance(client.completions.create(model=started["id"], prompt="Once", max_tokens=4).choices[0].text, str)


def test_errors_are_the_classes_that_programs_catch(dedi, client, own):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=own()["id"], messages=HELLO)
    assert refused.value.code == "dedicated_endpoint_not_running"
    wrong = openai.OpenAI(api_key="dedi_wrong", base_url=dedi.base_url, max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        wrong.chat.completions.create(model="anything", messages=HELLO)
