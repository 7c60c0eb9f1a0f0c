"""Engines that die, endpoints that are full or asleep, and bodies that are too long, as they go over the wire."""

import json
import subprocess

import fields

PARTIAL_FILE = 18


def test_an_engine_that_dies_in_a_stream_ends_it_with_an_error(mortal, rough_dedi):
    """The error is the last event, `[DONE]` does not come, and the body is cut before its end."""
    endpoint, kill = mortal
    body = json.dumps({"model": endpoint["id"], "messages": fields.HELLO, "max_tokens": 500, "stream": True})
    line = """exec curl -sSN --noproxy '*' "$BASE/chat/completions" -H "Authorization: Bearer $KEY" \\
        -H "Content-Type: application/json" -d "$BODY" """
    env = rough_dedi.env(BASE=rough_dedi.base_url, KEY=rough_dedi.key, BODY=body)
    curl = subprocess.Popen(["bash", "-c", line], stdout=subprocess.PIPE, text=True, env=env)
    head = ""
    while '"content":"Hello"' not in head:
        assert (part := curl.stdout.readline()), head
        head += part
    kill()
    text = head + curl.stdout.read()
    assert curl.wait(60) == PARTIAL_FILE
    assert "[DONE]" not in text
    found = [it for it in text.split("\n\n") if it and not it.startswith(":")]
    *chunks, last = [json.loads(it.removeprefix("data: ")) for it in found]
    assert fields.joined(chunks).startswith("Hello") and not any(it["choices"][0]["finish_reason"] for it in chunks)
    assert last["error"]["type"] == "server_error" and "replica" in last["error"]["message"]


def test_a_full_endpoint(full, rough_asks):
    fields.a_full_endpoint(rough_asks(full))


def test_a_cold_endpoint(cold, rough_asks):
    fields.a_cold_endpoint(rough_asks(cold))


def test_too_long_a_body(mortal, rough_asks):
    fields.too_long_a_body(rough_asks(mortal[0]))
