"""Every curl snippet of the API pages, pasted; only the host, the endpoint id, the model and the hardware are others."""

import json
import subprocess

from helpers import MODEL

LIST = """
curl "https://api.together.ai/v1/endpoints" \\
     -H "Authorization: Bearer $TOGETHER_API_KEY" \\
     -H "Content-Type: application/json"
"""
RETRIEVE = """
curl "https://api.together.ai/v1/endpoints/endpoint-id" \\
     -H "Authorization: Bearer $TOGETHER_API_KEY" \\
     -H "Content-Type: application/json"
"""
UPDATE_STATE = """
curl -X PATCH "https://api.together.ai/v1/endpoints/endpoint-id" \\
     -H "Authorization: Bearer $TOGETHER_API_KEY" \\
     -H "Content-Type: application/json" \\
     -d '{
       "state": "STOPPED"
     }'
"""
DELETE = """
curl -X "DELETE" "https://api.together.ai/v1/endpoints/endpoint-id" \\
     -H "Authorization: Bearer $TOGETHER_API_KEY"
"""
CREATE = """
curl -X POST "https://api.together.xyz/v1/endpoints" \\
  -H "Authorization: Bearer $TOGETHER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "hardware": "4x_nvidia_h100_80gb_sxm",
    "display_name": "My Llama Endpoint",
    "autoscaling": {
      "min_replicas": 1,
      "max_replicas": 3
    }
  }'
"""
UPDATE = """
curl -X PATCH "https://api.together.xyz/v1/endpoints/endpoint-abc123" \\
  -H "Authorization: Bearer $TOGETHER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "autoscaling": {
      "min_replicas": 2,
      "max_replicas": 5
    },
    "display_name": "Updated Name"
  }'
"""
START = """
curl -X PATCH "https://api.together.xyz/v1/endpoints/endpoint-abc123" \\
  -H "Authorization: Bearer $TOGETHER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"state": "STARTED"}'
"""
STOP = """
curl -X PATCH "https://api.together.xyz/v1/endpoints/endpoint-abc123" \\
  -H "Authorization: Bearer $TOGETHER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"state": "STOPPED"}'
"""
HARDWARE = """
curl "https://api.together.xyz/v1/hardware" \\
  -H "Authorization: Bearer $TOGETHER_API_KEY" \\
  -H "Content-Type: application/json"
"""
HARDWARE_OF_MODEL = """
curl "https://api.together.xyz/v1/hardware?model=meta-llama/Llama-3.3-70B-Instruct-Turbo" \\
  -H "Authorization: Bearer $TOGETHER_API_KEY" \\
  -H "Content-Type: application/json"
"""
CHAT = """
curl -X POST "https://api.together.xyz/v1/chat/completions" \\
  -H "Authorization: Bearer $TOGETHER_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "endpoint-abc123",
    "messages": [{"role": "user", "content": "Hello!"}]
  }'
"""


def run(dedi, snippet, hardware="", endpoint_id="", key=None):
    """(status, body) of a snippet run by a shell."""
    for host in ("https://api.together.ai/v1", "https://api.together.xyz/v1"):
        snippet = snippet.replace(host, dedi.base_url)
    for sample in ("endpoint-id", "endpoint-abc123"):
        snippet = snippet.replace(sample, endpoint_id)
    snippet = snippet.replace("meta-llama/Llama-3.3-70B-Instruct-Turbo", MODEL)
    snippet = snippet.replace("4x_nvidia_h100_80gb_sxm", hardware)
    line = snippet.strip() + " -sS -w '\\n%{http_code}'"
    env = dedi.env(TOGETHER_API_KEY=key or dedi.key)
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(body) if body else None


def test_create_and_delete(dedi, hardware, sweep):
    status, made = run(dedi, CREATE, hardware=hardware)
    assert status == 200, made
    assert made["display_name"] == "My Llama Endpoint"
    assert made["autoscaling"] == {"min_replicas": 1, "max_replicas": 3}
    assert made["state"] in ("PENDING", "STARTING", "STARTED")
    status, body = run(dedi, DELETE, endpoint_id=made["id"])
    assert (status, body) == (204, None)
    dedi.until_gone(made["id"])
    status, body = run(dedi, DELETE, endpoint_id=made["id"])
    assert status == 404 and "not found" in body["error"]["message"]


def test_list(dedi, started):
    status, body = run(dedi, LIST)
    assert status == 200 and body["object"] == "list"
    assert started["id"] in [it["id"] for it in body["data"]]
    for item in body["data"]:
        for field in ("object", "id", "name", "model", "type", "owner", "state", "created_at"):
            assert isinstance(item[field], str), item


def test_retrieve(dedi, started):
    status, body = run(dedi, RETRIEVE, endpoint_id=started["id"])
    assert status == 200 and body["name"] == started["name"] and body["hardware"] == started["hardware"]


def test_update(dedi, own):
    status, body = run(dedi, UPDATE, endpoint_id=own()["id"])
    assert status == 200 and body["display_name"] == "Updated Name"
    assert body["autoscaling"] == {"min_replicas": 2, "max_replicas": 5}


def test_start_then_stop(dedi, own):
    made = own()
    status, body = run(dedi, START, endpoint_id=made["id"])
    assert status == 200 and body["state"] in ("PENDING", "STARTING", "STARTED")
    dedi.until_state(made["id"], "STARTED")
    status, body = run(dedi, STOP, endpoint_id=made["id"])
    assert status == 200 and body["state"] in ("STOPPING", "STOPPED")
    dedi.until_state(made["id"], "STOPPED")
    status, body = run(dedi, UPDATE_STATE, endpoint_id=made["id"])
    assert status == 200 and body["state"] == "STOPPED", "stopping a stopped endpoint changes nothing"


def test_hardware(dedi, hardware):
    status, body = run(dedi, HARDWARE)
    assert status == 200 and hardware in [it["id"] for it in body["data"]]
    assert all(it.get("availability") is None for it in body["data"])


def test_hardware_of_a_model(dedi, hardware):
    status, body = run(dedi, HARDWARE_OF_MODEL)
    assert status == 200 and hardware in [it["id"] for it in body["data"]]
    assert all(it["availability"]["status"] in ("available", "unavailable", "insufficient") for it in body["data"])


def test_chat(dedi, started):
    status, body = run(dedi, CHAT, endpoint_id=started["id"])
    assert status == 200, body
    assert body["choices"][0]["message"]["role"] == "assistant" and body["choices"][0]["message"]["content"]
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]


def test_a_wrong_key(dedi, started):
    status, body = run(dedi, LIST, key="dedi_wrong")
    assert status == 403 and body["error"]["code"] == "invalid_api_key"
    status, body = run(dedi, CHAT, endpoint_id=started["id"], key="dedi_wrong")
    assert status == 401 and body["error"]["code"] == "invalid_api_key"
