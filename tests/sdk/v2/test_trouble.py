"""What `together>=2,<3` makes of engines that die, endpoints that are full or asleep, and bodies that are too long."""

import time

import fields
import pytest
import rough
import together


def test_an_engine_that_dies_in_a_stream_raises(mortal, rough_asks):
    endpoint, kill = mortal
    client, seen = rough_asks(endpoint).client, []
    stream = client.chat.completions.create(model=endpoint["id"], messages=fields.HELLO, max_tokens=500, stream=True)
    with pytest.raises(together.APIError, match="replica"):
        for chunk in stream:
            seen.append(chunk.choices[0])
            if seen and seen[-1].delta.content == "Hello":
                kill()
    assert "".join(it.delta.content or "" for it in seen).startswith("Hello"), "what came before is the client's"
    assert all(it.finish_reason is None for it in seen)


def test_a_full_endpoint(full, rough_asks):
    fields.a_full_endpoint(rough_asks(full))


def test_a_full_endpoint_is_asked_again(rough_dedi, rough_asks):
    """The client waits as long as it is told and succeeds once there is a place."""
    with rough.endpoint(rough_dedi, "slow-tokens.100") as made:
        client, asked = rough_asks(made).client, {"model": made["id"], "messages": fields.HELLO}
        busy = client.chat.completions.create(**asked, max_tokens=30, stream=True)
        next(iter(busy))  # it has the only place, for three seconds more
        begun = time.monotonic()
        answer = client.with_options(max_retries=5).chat.completions.create(**asked, max_tokens=1)
        assert answer.choices and 1 <= time.monotonic() - begun < 20
        busy.close()


def test_a_cold_endpoint(cold, rough_asks):
    fields.a_cold_endpoint(rough_asks(cold))


def test_too_long_a_body(mortal, rough_asks):
    fields.too_long_a_body(rough_asks(mortal[0]))
