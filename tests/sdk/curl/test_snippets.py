"""The calls of the API pages' curl samples, and what each answers. The samples themselves, as printed, are in `snippets/`."""

from helpers import MODEL, WRONG_KEY

KEY = '-H "Authorization: Bearer $TOGETHER_API_KEY"'
JSON = '-H "Content-Type: application/json"'
LIST = f'curl "$BASE/endpoints" {KEY} {JSON}'
RETRIEVE = f'curl "$BASE/endpoints/$ID" {KEY} {JSON}'
DELETE = f'curl -X DELETE "$BASE/endpoints/$ID" {KEY}'
DELETE_QUOTED = f'curl -X "DELETE" "$BASE/endpoints/$ID" {KEY}'
CREATE = f"""curl -X POST "$BASE/endpoints" {KEY} {JSON} \\
  -d '{{
    "model": "MODEL",
    "hardware": "HARDWARE",
    "display_name": "Made with curl",
    "autoscaling": {{
      "min_replicas": 1,
      "max_replicas": 3
    }}
  }}'"""
UPDATE = f"""curl -X PATCH "$BASE/endpoints/$ID" {KEY} {JSON} \\
  -d '{{
    "autoscaling": {{
      "min_replicas": 2,
      "max_replicas": 5
    }},
    "display_name": "Another name"
  }}'"""
START = f"""curl -X PATCH "$BASE/endpoints/$ID" {KEY} {JSON} -d '{{"state": "STARTED"}}'"""
STOP = f"""curl -X PATCH "$BASE/endpoints/$ID" {KEY} {JSON} -d '{{"state": "STOPPED"}}'"""
HARDWARE = f'curl "$BASE/hardware" {KEY} {JSON}'
HARDWARE_OF_MODEL = f'curl "$BASE/hardware?model=MODEL" {KEY} {JSON}'
CHAT = f"""curl -X POST "$BASE/chat/completions" {KEY} {JSON} \\
  -d '{{
    "model": "ID",
    "messages": [{{"role": "user", "content": "Hello!"}}]
  }}'"""


def test_create_and_delete(shell, dedi, hardware, sweep):
    for delete in (DELETE, DELETE_QUOTED):
        status, _, made = shell(CREATE.replace("MODEL", MODEL).replace("HARDWARE", hardware))
        assert status == 200, made
        assert made["display_name"] == "Made with curl"
        assert made["autoscaling"] == {"min_replicas": 1, "max_replicas": 3}
        assert made["state"] in ("PENDING", "STARTING", "STARTED")
        status, _, body = shell(delete, ID=made["id"])
        assert (status, body) == (204, None)
        dedi.until_gone(made["id"])
        status, _, body = shell(delete, ID=made["id"])
        assert status == 404 and "not found" in body["error"]["message"]


def test_list(shell, started):
    status, _, body = shell(LIST)
    assert status == 200 and body["object"] == "list"
    assert started["id"] in [it["id"] for it in body["data"]]
    for item in body["data"]:
        for field in ("object", "id", "name", "model", "type", "owner", "state", "created_at"):
            assert isinstance(item[field], str), item


def test_retrieve(shell, started):
    status, _, body = shell(RETRIEVE, ID=started["id"])
    assert status == 200 and body["name"] == started["name"] and body["hardware"] == started["hardware"]


def test_update(shell, own):
    status, _, body = shell(UPDATE, ID=own()["id"])
    assert status == 200 and body["display_name"] == "Another name"
    assert body["autoscaling"] == {"min_replicas": 2, "max_replicas": 5}


def test_start_then_stop(shell, dedi, own):
    made = own()
    status, _, body = shell(START, ID=made["id"])
    assert status == 200 and body["state"] in ("PENDING", "STARTING", "STARTED")
    dedi.until_state(made["id"], "STARTED")
    status, _, body = shell(STOP, ID=made["id"])
    assert status == 200 and body["state"] in ("STOPPING", "STOPPED")
    dedi.until_state(made["id"], "STOPPED")
    status, _, body = shell(STOP, ID=made["id"])
    assert status == 200 and body["state"] == "STOPPED", "stopping a stopped endpoint changes nothing"


def test_start_of_what_is_started(shell, started):
    status, _, body = shell(START, ID=started["id"])
    assert status == 200 and body["state"] == "STARTED"


def test_hardware(shell, hardware):
    status, _, body = shell(HARDWARE)
    assert status == 200 and hardware in [it["id"] for it in body["data"]]
    assert all(it.get("availability") is None for it in body["data"])


def test_hardware_of_a_model(shell, hardware):
    status, _, body = shell(HARDWARE_OF_MODEL.replace("MODEL", MODEL))
    assert status == 200 and hardware in [it["id"] for it in body["data"]]
    assert all(it["availability"]["status"] in ("available", "unavailable", "insufficient") for it in body["data"])


def test_chat(shell, started):
    for model in (started["id"], started["name"]):
        status, _, body = shell(CHAT.replace("ID", model))
        assert status == 200, body
        message = body["choices"][0]["message"]
        assert message["role"] == "assistant" and message["content"] and body["model"] == model
        usage = body["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_wrong_key(shell, started):
    status, _, body = shell(LIST, key=WRONG_KEY)
    assert status == 403 and body["error"]["code"] == "invalid_api_key"
    status, _, body = shell(CHAT.replace("ID", started["id"]), key=WRONG_KEY)
    assert status == 401 and body["error"]["code"] == "invalid_api_key"
