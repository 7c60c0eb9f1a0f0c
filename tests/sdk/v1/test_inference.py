"""Inference through `together<2`."""

import asyncio
import time

import together

HELLO = [{"role": "user", "content": "Hello!"}]


def test_a_chat(client, started):
    answer = client.chat.completions.create(model=started["name"], messages=HELLO, max_tokens=8)
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_streamed_chat_ends_with_its_marker(client, started):
    begun = time.monotonic()
    chunks = list(client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=8, stream=True))
    # This client reads to the end of the body: a server that lingers after the marker would cost it here.
    assert time.monotonic() - begun < 20
    assert chunks[-1].choices[0].finish_reason in ("stop", "eos", "length")
    assert chunks[-1].usage.total_tokens > 0


def test_an_echo(client, started):
    answer = client.chat.completions.create(
        model=started["id"], messages=HELLO, max_tokens=4, echo=True, logprobs=1
    )
    assert "Hello!" in answer.prompt[0].text
    assert len(answer.prompt[0].logprobs.tokens) == answer.usage.prompt_tokens
    asked = {"model": started["id"], "messages": HELLO, "max_tokens": 4, "echo": True}
    assert list(client.chat.completions.create(**asked, stream=True))[-1].choices[0].finish_reason
    answer = client.completions.create(model=started["id"], prompt="Once", max_tokens=4, echo=True)
    assert answer.prompt[0].text == "Once"


def test_a_completion(client, started):
    answer = client.completions.create(model=started["id"], prompt="Once", max_tokens=4)
    assert answer.choices[0].index == 0 and isinstance(answer.choices[0].text, str)
    assert list(client.completions.create(model=started["id"], prompt="Once", max_tokens=4, stream=True))


def test_async(dedi, started):
    client = together.AsyncTogether(api_key=dedi.key, base_url=dedi.base_url)

    async def both():
        answer = await client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=4)
        stream = await client.chat.completions.create(model=started["id"], messages=HELLO, max_tokens=4, stream=True)
        return answer, [it async for it in stream]

    answer, chunks = asyncio.run(both())
    assert answer.choices and chunks[-1].choices[0].finish_reason
