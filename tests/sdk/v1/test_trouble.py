"""What `together<2` makes of engines that die, endpoints that are full or asleep, and bodies that are too long."""

import fields
import pytest
from requests.exceptions import RequestException
from together.error import TogetherException


def test_an_engine_that_dies_in_a_stream_raises(mortal, rough_asks):
    """This client does not read the error's event; the connection that is cut after it is what raises."""
    endpoint, kill = mortal
    client, seen = rough_asks(endpoint).client, []
    stream = client.chat.completions.create(model=endpoint["id"], messages=fields.HELLO, max_tokens=500, stream=True)
    with pytest.raises((TogetherException, RequestException)):
        for chunk in stream:
            seen.extend(chunk.choices or [])
            if seen and seen[-1].delta.content == "Hello":
                kill()
    assert "".join(it.delta.content or "" for it in seen).startswith("Hello"), "what came before is the client's"
    assert all(it.finish_reason is None for it in seen)


def test_a_full_endpoint(full, rough_asks):
    fields.a_full_endpoint(rough_asks(full))


def test_a_cold_endpoint(cold, rough_asks):
    fields.a_cold_endpoint(rough_asks(cold), has_body=False)


def test_too_long_a_body(mortal, rough_asks):
    fields.too_long_a_body(rough_asks(mortal[0]))
