"""Engines that die, endpoints that are full or asleep, and bodies that are too long, as they go over the wire."""

import json
import subprocess

import fields

PARTIAL_FILE = 18


def test_an_engine_that_dies_in_a_stream_ends_it_with_an_error(crashing, rough_dedi):
    """The error is the last event, `[DONE]` does not come, and the body is cut before its end."""
    body = json.dumps({"model": crashing["id"], "messages": fields.HELLO, "stream": True})
    line = """curl -sSN --noproxy '*' "$BASE/chat/completions" -H "Authorization: Bearer $KEY" \\
        -H "Content-Type: application/json" -d "$BODY" """
    env = rough_dedi.env(BASE=rough_dedi.base_url, KEY=rough_dedi.key, BODY=body)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == PARTIAL_FILE, done
    assert "[DONE]" not in done.stdout
    found = [it for it in done.stdout.split("\n\n") if it and not it.startswith(":")]
    *chunks, last = [json.loads(it.removeprefix("data: ")) for it in found]
    assert fields.joined(chunks) and not any(it["choices"][0]["finish_reason"] for it in chunks)
    assert set(last) >= {"error"} and last["error"]["type"] == "server_error" and last["error"]["message"]


def test_a_full_endpoint(full, rough_asks):
    fields.a_full_endpoint(rough_asks(full))


def test_a_cold_endpoint(cold, rough_asks):
    fields.a_cold_endpoint(rough_asks(cold))


def test_too_long_a_body(crashing, rough_asks):
    fields.too_long_a_body(rough_asks(crashing))
