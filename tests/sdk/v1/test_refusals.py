"""What `together<2` raises when it is refused. It checks the error against its model, so its shape is tested too."""

import pytest
import together
from helpers import MODEL, UNKNOWN, WRONG_KEY
from together.error import AuthenticationError, InvalidRequestError, ServiceUnavailableError

HELLO = [{"role": "user", "content": "Hello!"}]
MANAGEMENT = {
    "create": lambda c: c.endpoints.create(model=MODEL, hardware="1x_cpu", min_replicas=1, max_replicas=1),
    "get": lambda c: c.endpoints.get(UNKNOWN),
    "update": lambda c: c.endpoints.update(UNKNOWN, state="STOPPED"),
    "list": lambda c: c.endpoints.list(),
    "delete": lambda c: c.endpoints.delete(UNKNOWN),
    "list_hardware": lambda c: c.endpoints.list_hardware(),
    "list_avzones": lambda c: c.endpoints.list_avzones(),
    "models": lambda c: c.models.list(),
}
INFERENCE = {
    "chat": lambda c, model: c.chat.completions.create(model=model, messages=HELLO),
    "streamed chat": lambda c, model: list(c.chat.completions.create(model=model, messages=HELLO, stream=True)),
    "completion": lambda c, model: c.completions.create(model=model, prompt="Once"),
    "streamed completion": lambda c, model: list(c.completions.create(model=model, prompt="Once", stream=True)),
    "embeddings": lambda c, model: c.embeddings.create(model=model, input="Once"),
}
every_inference = pytest.mark.parametrize("call", INFERENCE.values(), ids=INFERENCE)


@pytest.fixture
def wrong(dedi):
    return together.Together(api_key=WRONG_KEY, base_url=dedi.base_url, max_retries=0)


@pytest.mark.parametrize("call", MANAGEMENT.values(), ids=MANAGEMENT)
def test_a_wrong_key_is_403_on_management(wrong, call):
    with pytest.raises(InvalidRequestError) as refused:
        call(wrong)
    assert (refused.value.http_status, refused.value.api_response.code) == (403, "invalid_api_key")


@every_inference
def test_a_wrong_key_is_401_on_inference(wrong, started, call):
    with pytest.raises(AuthenticationError) as refused:
        call(wrong, started["id"])
    assert refused.value.api_response.code == "invalid_api_key"


@every_inference
def test_a_stopped_endpoint(client, own, call):
    with pytest.raises(InvalidRequestError) as refused:
        call(client, own()["name"])
    assert (refused.value.http_status, refused.value.api_response.code) == (400, "dedicated_endpoint_not_running")


@every_inference
def test_a_wrong_model(client, call):
    for model, status in (("nobody/nothing", 404), (MODEL, 400)):
        with pytest.raises(InvalidRequestError) as refused:
            call(client, model)
        assert (refused.value.http_status, refused.value.api_response.code) == (status, "model_not_available")


def test_embeddings_of_a_model_that_makes_none(client, started):
    with pytest.raises(InvalidRequestError) as refused:
        client.embeddings.create(model=started["id"], input="Once")
    assert refused.value.http_status == 400


def test_an_unknown_endpoint(client):
    for call in (client.endpoints.get, client.endpoints.update, client.endpoints.delete):
        with pytest.raises(InvalidRequestError) as missing:
            call(UNKNOWN)
        assert missing.value.http_status == 404
        assert missing.value.api_response.message == f"Endpoint {UNKNOWN} not found"


@pytest.mark.parametrize(
    "wrong, status",
    [
        ({"min_replicas": 2}, 400),
        ({"min_replicas": -1}, 400),
        ({"max_replicas": 0, "min_replicas": 0}, 400),
        ({"model": ""}, 400),
        ({"model": "nobody/nothing"}, 404),
        ({"hardware": ""}, 400),
        ({"hardware": "8x_nvidia_h100_80gb_sxm"}, 400),
        ({"availability_zone": "nowhere-1"}, 400),
        ({"inactive_timeout": -1}, 400),
    ],
)
def test_a_wrong_create(client, hardware, wrong, status):
    asked = {"model": MODEL, "hardware": hardware, "min_replicas": 1, "max_replicas": 1, **wrong}
    with pytest.raises(InvalidRequestError) as refused:
        client.endpoints.create(**asked)
    assert refused.value.http_status == status and refused.value.api_response.message


def test_no_capacity_is_pending_not_an_error(dedi, client, started, hardware, sweep):
    most = max(dedi.kinds(hardware), key=lambda it: it["specs"]["gpu_count"])["id"]
    made = client.endpoints.create(model=MODEL, hardware=most, min_replicas=1, max_replicas=1)
    assert made.state == "PENDING"
    # It waits for a device, as long as it may; this SDK throws the body of a 503 away.
    with pytest.raises(ServiceUnavailableError):
        client.chat.completions.create(model=made.id, messages=HELLO)
    fit = {it.id: it.availability.status for it in client.endpoints.list_hardware(MODEL)}
    assert fit[most] in ("insufficient", "unavailable")
