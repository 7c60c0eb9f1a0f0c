"""Every refusal as any client gets it: JSON in the contract's form on every status, never 409, and headers that say
whether to try again."""

import json

import pytest
from helpers import MODEL, UNKNOWN, WRONG_KEY

AUTH = '-H "Authorization: Bearer $TOGETHER_API_KEY"'
JSON = '-H "Content-Type: application/json"'
BODY = '{"model":"$MODEL","hardware":"$HARDWARE","autoscaling":{"min_replicas":1,"max_replicas":1},"state":"STOPPED"}'


def check(answer, status, code=..., words=""):
    got, headers, body = answer
    assert got == status, body
    assert headers["content-type"] == "application/json"
    assert headers["x-should-retry"] == "false"
    error = body["error"]
    assert isinstance(error["message"], str) and isinstance(error["type"], str)
    assert error["param"] is None or isinstance(error["param"], str)
    assert error["code"] is None or isinstance(error["code"], str)
    assert words in error["message"]
    if code is not ...:
        assert error["code"] == code


@pytest.mark.parametrize(
    "line, status",
    [
        ('"$BASE/nothing"', 404),
        ('"$BASE/endpoints/"', 404),
        ('-X PUT "$BASE/endpoints"', 405),
        ('-X DELETE "$BASE/hardware"', 405),
        ('"$BASE/chat/completions"', 405),
        ('"$BASE/embeddings"', 405),
        (f"""-X POST {JSON} -d '{{' "$BASE/endpoints" """, 400),
        (f"""-X POST {JSON} -d '[]' "$BASE/endpoints" """, 400),
        (f"""-X POST {JSON} -d '{{' "$BASE/chat/completions" """, 400),
        (f"""-X POST {JSON} -d '{{}}' "$BASE/completions" """, 400),
        ("""-X POST -H "Content-Type: text/plain" -d '{}' "$BASE/endpoints" """, 415),
        ("""-X POST -H "Content-Type: text/plain" -d '{}' "$BASE/chat/completions" """, 415),
        ("""-X POST -d 'a=b' "$BASE/endpoints" """, 415),
        (f"""-X POST {JSON} -H "Content-Encoding: gzip" -d '{{}}' "$BASE/endpoints" """, 415),
        ('"$BASE/endpoints?type=nothing"', 400),
        ('"$BASE/endpoints?usage_type=nothing"', 400),
        ('"$BASE/endpoints?mine=perhaps"', 400),
        ('"$BASE/hardware?model=nobody/nothing"', 404),
    ],
)
def test_a_wrong_request(shell, line, status):
    check(shell(f"curl {line} {AUTH}"), status)


@pytest.mark.parametrize(
    "route, field, value",
    [
        ("chat/completions", "safety_model", "guard"),
        ("chat/completions", "compliance", "hipaa"),
        ("chat/completions", "reasoning_effort", "low"),
        ("chat/completions", "reasoning", {"enabled": True}),
        ("chat/completions", "chat_template_kwargs", {"mood": 1}),
        ("completions", "safety_model", "guard"),
        ("completions", "response_format", {"type": "json_object"}),
        ("completions", "tools", [{"type": "function", "function": {"name": "f"}}]),
        ("completions", "top_logprobs", 2),
        ("completions", "suffix", "the end"),
        ("chat/completions", "best_of", 2),
        ("chat/completions", "functions", [{"name": "f"}]),
        ("chat/completions", "chat_template_kwargs", {"messages": []}),
        ("embeddings", "input", [1, 2]),
        ("embeddings", "input", 5),
    ],
)
def test_a_field_that_can_not_be_honoured(shell, started, route, field, value):
    needed = {"chat/completions": {"messages": [{"role": "user", "content": "x"}]}, "completions": {"prompt": "x"}}
    body = {"model": started["id"], **needed.get(route, {"input": "x"}), field: value}
    answer = shell(f"curl -X POST {AUTH} {JSON} \"$BASE/{route}\" -d '{json.dumps(body)}'")
    check(answer, 400, words=field)


def test_a_refusal_says_the_context_that_the_list_says(shell, started):
    length = next(it for it in shell(f'curl "$BASE/models" {AUTH}')[2] if it["id"] == started["name"])["context_length"]
    for asked in (length + 1, 4_097, 1_000_000):
        body = {"model": started["id"], "prompt": "x", "max_tokens": asked}
        answer = shell(f"curl -X POST {AUTH} {JSON} \"$BASE/completions\" -d '{json.dumps(body)}'")
        check(answer, 400, words=f"must be {length} or less")


def test_a_head_that_is_too_long(shell):
    many = " ".join(f'-H "x-{it}: 1"' for it in range(70))
    check(shell(f'curl {many} {AUTH} "$BASE/endpoints"'), 431, "headers_too_large")
    check(shell(f'curl -H "x-long: {"y" * 17_000}" {AUTH} "$BASE/endpoints"'), 431, "headers_too_large")
    check(shell(f'curl {AUTH} "$BASE/endpoints?{"y" * 9_000}"'), 414, "uri_too_long")
    check(shell('curl -X POST "${BASE%/v1}/healthz"'), 405, "method_not_allowed")


def test_a_body_that_is_too_long(shell, tmp_path):
    (tmp_path / "long").write_text('{"x":"' + "y" * 100_000 + '"}')
    check(shell(f'curl -X POST {AUTH} {JSON} -H "Expect:" --data-binary @{tmp_path}/long "$BASE/endpoints"'), 413)


@pytest.mark.parametrize("auth", ["", '-H "Authorization: Bearer"', '-H "Authorization: Basic eA=="', AUTH])
@pytest.mark.parametrize(
    "line, status",
    [
        ('"$BASE/endpoints"', 403),
        (f'"$BASE/endpoints/{UNKNOWN}"', 403),
        (f'-X PATCH "$BASE/endpoints/{UNKNOWN}"', 403),
        (f'-X DELETE "$BASE/endpoints/{UNKNOWN}"', 403),
        (f"""-X POST {JSON} -d '{{}}' "$BASE/endpoints" """, 403),
        ('"$BASE/hardware"', 403),
        ('"$BASE/clusters/availability-zones"', 403),
        ('"$BASE/models"', 403),
        ('"$BASE/autoscale/models"', 403),
        ('"$BASE/whoami"', 403),
        ('"${BASE%/v1}/v3/whoami"', 403),
        (f"""-X POST {JSON} -d '{{}}' "$BASE/chat/completions" """, 401),
        (f"""-X POST {JSON} -d '{{}}' "$BASE/completions" """, 401),
        (f"""-X POST {JSON} -d '{{}}' "$BASE/embeddings" """, 401),
    ],
)
def test_a_wrong_key(shell, line, status, auth):
    answer = shell(f"curl {line} {auth}", key=WRONG_KEY)
    check(answer, status, "invalid_api_key", "Invalid API key")
    assert "authentication" in answer[2]["error"]["message"]


def test_an_update_without_a_body_or_a_type_changes_nothing(shell, own):
    made = own(display_name="kept")
    status, _, body = shell(f'curl -X PATCH "$BASE/endpoints/$ID" {AUTH}', ID=made["id"])
    assert status == 200 and body["display_name"] == "kept"


def test_names_with_raw_and_encoded_slashes(shell, own):
    made = own()
    for name in (made["name"], made["name"].replace("/", "%2F"), made["name"].replace("/", "%2f")):
        for suffix, status in (("", 200), ("/events", 200), ("/adapters", 400)):
            got, _, body = shell(f'curl "$BASE/endpoints/$NAME{suffix}" {AUTH}', NAME=name)
            assert got == status, body
    status, _, _ = shell(f'curl -X DELETE "$BASE/endpoints/$NAME" {AUTH}', NAME=made["name"].replace("/", "%2F"))
    assert status == 204


def test_a_zone_in_the_query_and_in_the_body(shell, dedi, hardware, sweep):
    body = BODY.replace("$MODEL", MODEL).replace("$HARDWARE", hardware)
    create = f"""curl -X POST {AUTH} {JSON} "$BASE/endpoints?availability_zone=ZONE" -d '{body}'"""
    status, _, made = shell(create.replace("ZONE", "local"))
    assert status == 200 and made["availability_zone"] == "local"
    check(shell(create.replace("ZONE", "nowhere-1")), 400, words="nowhere-1")
    both = create.replace("ZONE", "local").replace('"state"', '"availability_zone":"nowhere-1","state"')
    check(shell(both), 400, words="nowhere-1")  # the body wins


def test_every_option_of_a_create(shell, hardware, sweep):
    asked = {
        "model": MODEL,
        "hardware": hardware,
        "autoscaling": {"min_replicas": 0, "max_replicas": 2},
        "availability_zone": "local",
        "disable_prompt_cache": True,
        "disable_speculative_decoding": True,
        "display_name": "",
        "inactive_timeout": 5,
        "state": "STOPPED",
    }
    status, _, made = shell(f'curl -X POST {AUTH} {JSON} "$BASE/endpoints" -d "$BODY"', BODY=json.dumps(asked))
    assert status == 200 and {name: made[name] for name in asked if name != "disable_prompt_cache"} == {
        name: value for name, value in asked.items() if name != "disable_prompt_cache"
    }


def test_nulls_and_defaults_of_a_create(shell, hardware, sweep):
    asked = {
        "model": MODEL,
        "hardware": hardware,
        "autoscaling": {"min_replicas": 1, "max_replicas": 1},
        "state": "STOPPED",
    }
    line = f'curl -X POST {AUTH} {JSON} "$BASE/endpoints" -d "$BODY"'
    optional = ("availability_zone", "disable_prompt_cache", "disable_speculative_decoding", "display_name")
    nulls = dict.fromkeys([*optional, "inactive_timeout"])
    for more, timeout in ((nulls, None), ({}, 60), ({"inactive_timeout": 0}, None)):
        status, _, made = shell(line, BODY=json.dumps(asked | more))
        assert status == 200, made
        assert made["display_name"] == made["name"].split("/", 1)[1].split("/", 1)[1] and not made["availability_zone"]
        assert made["disable_speculative_decoding"] is False and made["inactive_timeout"] == timeout


def test_an_idempotency_key_makes_one_endpoint(shell, hardware, sweep):
    body = BODY.replace("$MODEL", MODEL).replace("$HARDWARE", hardware)
    create = f"""curl -X POST {AUTH} {JSON} -H "Idempotency-Key: once" "$BASE/endpoints" -d '{body}'"""
    assert shell(create)[2]["id"] == shell(create)[2]["id"]
    check(shell(create.replace('"max_replicas":1', '"max_replicas":2')), 400, words="Idempotency-Key")


@pytest.mark.parametrize(
    "wrong, param",
    [
        ({"autoscaling": {"min_replicas": 2, "max_replicas": 1}}, "autoscaling"),
        ({"autoscaling": {"min_replicas": -1, "max_replicas": 1}}, "autoscaling"),
        ({"autoscaling": {"min_replicas": 1}}, "autoscaling"),
        ({"autoscaling": {"min_replicas": 1, "max_replicas": "1"}}, "autoscaling"),
        ({"autoscaling": None}, "autoscaling"),
        ({"model": ""}, "model"),
        ({"hardware": ""}, "hardware"),
        ({"hardware": "8x_nvidia_h100_80gb_sxm"}, "hardware"),
        ({"state": "RUNNING"}, "state"),
        ({"availability_zone": "nowhere-1"}, "availability_zone"),
        ({"inactive_timeout": -1}, "inactive_timeout"),
        ({"display_name": 7}, "display_name"),
    ],
)
def test_a_wrong_create_names_the_field(shell, hardware, wrong, param):
    asked = {"model": MODEL, "hardware": hardware, "autoscaling": {"min_replicas": 1, "max_replicas": 1}, **wrong}
    answer = shell(f'curl -X POST {AUTH} {JSON} "$BASE/endpoints" -d "$BODY"', BODY=json.dumps(asked))
    check(answer, 400)
    assert answer[2]["error"]["param"].startswith(param)


def test_a_create_of_an_unknown_model(shell, hardware):
    asked = {"model": "nobody/nothing", "hardware": hardware, "autoscaling": {"min_replicas": 1, "max_replicas": 1}}
    answer = shell(f'curl -X POST {AUTH} {JSON} "$BASE/endpoints" -d "$BODY"', BODY=json.dumps(asked))
    check(answer, 404, words="Model nobody/nothing not found")


def test_no_capacity_is_pending_not_an_error(shell, dedi, started, hardware, sweep):
    # Every device of the kind for one replica, while another endpoint has one of them.
    most = max(dedi.kinds(hardware), key=lambda it: it["specs"]["gpu_count"])["id"]
    asked = {"model": MODEL, "hardware": most, "autoscaling": {"min_replicas": 1, "max_replicas": 1}}
    line = f'curl -X POST {AUTH} {JSON} "$BASE/endpoints" -d "$BODY"'
    status, _, made = shell(line, BODY=json.dumps(asked))
    assert (status, made["state"]) == (200, "PENDING")
    chat = {"model": made["id"], "messages": [{"role": "user", "content": "x"}]}
    line = f'curl -X POST {AUTH} {JSON} "$BASE/chat/completions" -d "$BODY"'
    status, headers, answer = shell(line, BODY=json.dumps(chat))
    assert (status, answer["error"]["code"]) == (503, "dedicated_endpoint_starting"), answer
    assert int(headers["retry-after"]) > 0 and "no replica ready" in answer["error"]["message"], answer
    _, _, listed = shell(f'curl {AUTH} "$BASE/hardware?model={MODEL}"')
    fit = {it["id"]: it["availability"]["status"] for it in listed["data"]}
    assert fit[most] in ("insufficient", "unavailable")


def test_inference_that_can_not_be_had(shell, own):
    ask = f"""curl -X POST {AUTH} {JSON} "$BASE/chat/completions" \\
        -d '{{"model":"MODEL","messages":[{{"role":"user","content":"x"}}]}}'"""
    check(shell(ask.replace("MODEL", own()["name"])), 400, "dedicated_endpoint_not_running", "is not running")
    check(shell(ask.replace("MODEL", "nobody/nothing")), 404, "model_not_available", "Unable to access")
    check(shell(ask.replace("MODEL", MODEL)), 400, "model_not_available", "non-serverless")
