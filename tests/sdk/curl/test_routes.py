"""The routes that the API pages have no curl sample for, and streams as they come over the wire."""

import json
import subprocess

from helpers import MODEL

KEY = '-H "Authorization: Bearer $TOGETHER_API_KEY"'
JSON = '-H "Content-Type: application/json"'


def test_zones(shell):
    status, _, body = shell(f'curl "$BASE/clusters/availability-zones" {KEY}')
    assert (status, body) == (200, {"avzones": ["local"]})


def test_models(shell, started):
    status, _, models = shell(f'curl "$BASE/models" {KEY}')
    assert status == 200 and isinstance(models, list), "a bare array"
    assert {MODEL, started["name"]} <= {it["id"] for it in models}
    for it in models:
        assert it["object"] == "model" and isinstance(it["created"], int) and isinstance(it["pricing"], dict)
    dedicated = shell(f'curl "$BASE/models?dedicated=true" {KEY}')[2]
    assert [it["id"] for it in dedicated] == [MODEL]
    assert shell(f'curl "$BASE/autoscale/models" {KEY}')[2] == [{"name": MODEL}]


def test_whoami(shell):
    status, _, body = shell(f'curl "${{BASE%/v1}}/v3/whoami" {KEY}')
    assert status == 200 and body["type"] == "project_api_key" and body["project"]["id"]
    status, _, body = shell(f'curl "$BASE/whoami" {KEY}')
    assert status == 200 and body["api_key_id"] and body["user_id"] is None


def test_a_list_with_filters(shell, started):
    for query, is_there in [
        ("mine=true", True),
        ("mine=True", True),
        ("mine=FALSE", True),
        ("type=dedicated&usage_type=on-demand&mine=True", True),
        ("type=serverless", False),
        ("usage_type=reserved", False),
    ]:
        status, _, body = shell(f'curl "$BASE/endpoints?{query}" {KEY}')
        assert status == 200
        assert (started["id"] in [it["id"] for it in body["data"]]) == is_there, query


def test_usage(shell, started):
    query = f"from=2020-01-01&endpoint={started['id']}"
    status, _, body = shell(f'curl "$BASE/usage?{query}" {KEY}')
    assert status == 200 and body["object"] == "list" and body["from"] == "2020-01-01T00:00:00.000Z"
    [item] = body["data"]
    assert (item["object"], item["endpoint"], item["name"]) == ("usage", started["id"], started["name"])
    assert item["running"] and item["replicas"] >= 1 and item["model"] == MODEL
    assert 0 <= item["minutes"] == body["total_minutes"] and 0 <= item["cents"] == body["total_cents"]
    whole = shell(f'curl "$BASE/usage" {KEY}')[2]
    assert started["id"] in [it["endpoint"] for it in whole["data"]]
    for query, param in (("from=yesterday", "from"), ("from=2020-02-01&to=2020-01-01", "from"), ("to=1", "to")):
        status, _, body = shell(f'curl "$BASE/usage?{query}" {KEY}')
        assert status == 400 and body["error"]["param"] == param, body


def test_a_completion(shell, started):
    body = json.dumps({"model": started["id"], "prompt": "Once", "max_tokens": 4})
    status, _, answer = shell(f"curl \"$BASE/completions\" {KEY} {JSON} -d '{body}'")
    assert status == 200 and answer["object"] == "text.completion"
    choice = answer["choices"][0]
    assert choice["index"] == 0 and isinstance(choice["text"], str) and choice["finish_reason"]


def test_embeddings_of_a_model_that_makes_none(shell, started):
    body = json.dumps({"model": started["id"], "input": "Once"})
    status, _, answer = shell(f"curl \"$BASE/embeddings\" {KEY} {JSON} -d '{body}'")
    assert status == 400 and "embedding" in answer["error"]["message"].lower()


def streamed(dedi, route, body):
    line = f"curl -sSN --noproxy '*' \"$BASE/{route}\" {KEY} {JSON} -d '{json.dumps(body)}' -D /dev/stderr"
    env = dedi.env(BASE=dedi.base_url, TOGETHER_API_KEY=dedi.key)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0 and "content-type: text/event-stream" in done.stderr.lower()
    events = [it for it in done.stdout.split("\n\n") if it and not it.startswith(":")]
    assert all(it.startswith("data: ") and "\n" not in it for it in events), events
    assert events[-1] == "data: [DONE]"
    return [json.loads(it.removeprefix("data: ")) for it in events[:-1]]


def test_streams(dedi, started):
    hello = [{"role": "user", "content": "Hello!"}]
    asked = {"model": started["id"], "max_tokens": 6, "stream": True}
    chunks = streamed(dedi, "chat/completions", {**asked, "messages": hello})
    assert all(it["object"] == "chat.completion.chunk" for it in chunks)
    for it in chunks:
        choice = it["choices"][0]
        assert choice["delta"]["role"] == "assistant" and {"index", "finish_reason"} <= choice.keys()
        assert choice["logprobs"] is None
    assert chunks[-1]["choices"][0]["finish_reason"] and chunks[-1]["usage"]["total_tokens"] > 0
    assert all(it["usage"] is None for it in chunks[:-1])
    chunks = streamed(dedi, "completions", {**asked, "prompt": "Once"})
    assert all(it["object"] == "completion.chunk" and "delta" in it["choices"][0] for it in chunks)


def test_an_echo(shell, dedi, started):
    hello = [{"role": "user", "content": "Hello!"}]
    asked = {"model": started["id"], "max_tokens": 4, "echo": True}
    for route, more, text in (
        ("chat/completions", {"messages": hello}, "Hello!"),
        ("completions", {"prompt": "Once"}, "Once"),
    ):
        for logprobs in ({}, {"logprobs": 1}):
            body = asked | more | logprobs
            status, _, whole = shell(f"curl \"$BASE/{route}\" {KEY} {JSON} -d '{json.dumps(body)}'")
            assert status == 200, whole
            first, *others = streamed(dedi, route, body | {"stream": True})
            for prompt in (whole["prompt"], first["prompt"]):
                assert len(prompt) == 1 and text in prompt[0]["text"]
                check_logprobs(prompt[0]["logprobs"], whole["usage"]["prompt_tokens"] if logprobs else None)
            assert not any("prompt" in it for it in others)
            said = "".join(it["choices"][0]["delta"]["content"] for it in [first, *others])
            assert text not in said
        status, _, whole = shell(f"curl \"$BASE/{route}\" {KEY} {JSON} -d '{json.dumps(asked | more | {'echo': False})}'")
        assert whole["prompt"] == []


def check_logprobs(lists, n_tokens):
    """One number for each token but the first, before which there is nothing."""
    if n_tokens is None:
        assert lists is None
        return
    assert len(lists["tokens"]) == len(lists["token_logprobs"]) == n_tokens
    assert lists["token_logprobs"][0] is None and all(it <= 0 for it in lists["token_logprobs"][1:])
