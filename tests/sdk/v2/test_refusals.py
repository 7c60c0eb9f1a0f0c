"""What `together>=2,<3` raises when it is refused, and that it does not try again what can't change."""

import pytest
import together
from helpers import MODEL, UNKNOWN, WRONG_KEY

ONE = {"min_replicas": 1, "max_replicas": 1}
HELLO = [{"role": "user", "content": "Hello!"}]


@pytest.mark.parametrize(
    "wrong, param",
    [
        ({"autoscaling": {"min_replicas": 2, "max_replicas": 1}}, "autoscaling"),
        ({"autoscaling": {"min_replicas": -1, "max_replicas": 1}}, "autoscaling"),
        ({"autoscaling": {"min_replicas": 1}}, "autoscaling"),
        ({"model": ""}, "model"),
        ({"hardware": ""}, "hardware"),
        ({"state": "RUNNING"}, "state"),
        ({"availability_zone": "nowhere-1"}, "availability_zone"),
        ({"inactive_timeout": -1}, "inactive_timeout"),
    ],
)
def test_a_wrong_create_names_the_field(client, hardware, wrong, param):
    asked = {"model": MODEL, "hardware": hardware, "autoscaling": ONE, **wrong}
    with pytest.raises(together.BadRequestError) as refused:
        client.endpoints.create(**asked)
    error = refused.value.body["error"]
    assert error["type"] == "invalid_request_error" and error["message"]
    assert error["param"] and error["param"].startswith(param)


def test_hardware_that_is_not_there(client):
    with pytest.raises((together.BadRequestError, together.NotFoundError)) as refused:
        client.endpoints.create(model=MODEL, hardware="8x_nvidia_h100_80gb_sxm", autoscaling=ONE)
    assert "check the hardware api" in refused.value.body["error"]["message"].lower()


def test_a_model_that_is_not_there(client, hardware):
    with pytest.raises((together.BadRequestError, together.NotFoundError)) as refused:
        client.endpoints.create(model="nobody/nothing", hardware=hardware, autoscaling=ONE)
    assert "model" in refused.value.body["error"]["message"].lower()


def test_unknown_ids_are_not_found(client):
    for call in (client.endpoints.retrieve, client.endpoints.update, client.endpoints.delete):
        with pytest.raises(together.NotFoundError) as missing:
            call(UNKNOWN)
        assert missing.value.body["error"]["message"].startswith(f"Endpoint {UNKNOWN} not found")


MANAGEMENT = {
    "create": lambda c: c.endpoints.create(model=MODEL, hardware="1x_cpu", autoscaling=ONE),
    "retrieve": lambda c: c.endpoints.retrieve(UNKNOWN),
    "update": lambda c: c.endpoints.update(UNKNOWN, state="STOPPED"),
    "list": lambda c: c.endpoints.list(),
    "delete": lambda c: c.endpoints.delete(UNKNOWN),
    "list_hardware": lambda c: c.endpoints.list_hardware(),
    "list_avzones": lambda c: c.endpoints.list_avzones(),
    "adapters": lambda c: c.endpoints.adapters.list(UNKNOWN),
    "models": lambda c: c.models.list(),
    "whoami": lambda c: c.whoami(),
}
INFERENCE = {
    "chat": lambda c, model: c.chat.completions.create(model=model, messages=HELLO),
    "streamed chat": lambda c, model: c.chat.completions.create(model=model, messages=HELLO, stream=True),
    "completion": lambda c, model: c.completions.create(model=model, prompt="Once"),
    "streamed completion": lambda c, model: c.completions.create(model=model, prompt="Once", stream=True),
    "embeddings": lambda c, model: c.embeddings.create(model=model, input="Once"),
}


@pytest.mark.parametrize("call", MANAGEMENT.values(), ids=MANAGEMENT)
def test_a_wrong_key_is_403_on_management(dedi, call):
    wrong = together.Together(api_key=WRONG_KEY, base_url=dedi.base_url)
    with pytest.raises(together.PermissionDeniedError) as refused:
        call(wrong)
    assert refused.value.body["error"]["code"] == "invalid_api_key"
    assert refused.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("call", INFERENCE.values(), ids=INFERENCE)
def test_a_wrong_key_is_401_on_inference(dedi, started, call):
    wrong = together.Together(api_key=WRONG_KEY, base_url=dedi.base_url)
    with pytest.raises(together.AuthenticationError) as refused:
        call(wrong, started["id"])
    assert refused.value.body["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("call", INFERENCE.values(), ids=INFERENCE)
def test_a_stopped_endpoint_is_400_on_inference(client, own, call):
    for model in (own()["id"], own()["name"]):
        with pytest.raises(together.BadRequestError) as refused:
            call(client, model)
        assert refused.value.body["error"]["code"] == "dedicated_endpoint_not_running"
        assert refused.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("call", INFERENCE.values(), ids=INFERENCE)
def test_a_model_without_an_endpoint(client, call):
    with pytest.raises(together.BadRequestError) as refused:
        call(client, MODEL)
    assert refused.value.body["error"]["code"] == "model_not_available", "it could be deployed"
    with pytest.raises(together.NotFoundError) as refused:
        call(client, "nobody/nothing")
    assert refused.value.body["error"]["code"] == "model_not_available"


def test_embeddings_of_a_model_that_makes_none(client, started):
    with pytest.raises(together.BadRequestError) as refused:
        client.embeddings.create(model=started["id"], input=["a", "b"])
    assert "embedding" in refused.value.body["error"]["message"].lower()


def test_adapters_are_refused_and_change_nothing(client, own):
    made = own()
    adapters = client.endpoints.adapters
    for call in (
        lambda: adapters.list(made["id"]),
        lambda: adapters.add(made["id"], model_id=f"{made['name']}:x"),
        lambda: adapters.remove(made["id"], model_id=f"{made['name']}:x"),
    ):
        with pytest.raises(together.BadRequestError):
            call()
    assert client.endpoints.retrieve(made["id"]).id == made["id"]


def test_no_capacity_is_pending_not_an_error(dedi, client, started, hardware, sweep):
    # Every device of the kind for one replica, while another endpoint has one of them.
    most = max(dedi.kinds(hardware), key=lambda it: it["specs"]["gpu_count"])["id"]
    made = client.endpoints.create(model=MODEL, hardware=most, autoscaling=ONE)
    assert made.state == "PENDING"
    # It waits for a device, as long as it may; SDKs repeat a 503.
    with pytest.raises(together.InternalServerError) as refused:
        client.with_options(max_retries=0).chat.completions.create(model=made.id, messages=HELLO)
    assert refused.value.status_code == 503 and int(refused.value.response.headers["retry-after"]) > 0
    assert refused.value.body["error"]["code"] == "dedicated_endpoint_starting"
    fit = {it.id: it.availability.status for it in client.endpoints.list_hardware(model=MODEL).data}
    assert fit[most] in ("insufficient", "unavailable")
