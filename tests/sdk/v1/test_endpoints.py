"""Endpoints through `together<2`, which checks every answer against its models."""

import pytest
import together
from helpers import MODEL, eventually_state
from together.error import InvalidRequestError

HELLO = [{"role": "user", "content": "Hello!"}]


def test_a_whole_life(dedi, client, hardware, sweep):
    # The SDK's own defaults send true for both decoding flags.
    made = client.endpoints.create(model=MODEL, hardware=hardware, min_replicas=1, max_replicas=1, display_name="v1")
    assert made.object == "endpoint" and made.type == "dedicated" and made.state in ("PENDING", "STARTING", "STARTED")
    eventually_state(client.endpoints.get, made.id, "STARTED")
    assert client.chat.completions.create(model=made.name, messages=HELLO, max_tokens=8).choices
    assert client.endpoints.update(made.id, state="STOPPED").state in ("STOPPING", "STOPPED")
    with pytest.raises(InvalidRequestError) as refused:
        client.chat.completions.create(model=made.id, messages=HELLO)
    assert refused.value.api_response.code == "dedicated_endpoint_not_running"
    eventually_state(client.endpoints.get, made.id, "STOPPED")
    assert client.endpoints.update(made.id, state="STARTED").state in ("PENDING", "STARTING", "STARTED")
    eventually_state(client.endpoints.get, made.id, "STARTED")
    assert client.endpoints.delete(made.id) is None
    dedi.until_gone(made.id)
    for call in (client.endpoints.get, client.endpoints.delete):
        with pytest.raises(InvalidRequestError) as gone:
            call(made.id)
        assert gone.value.http_status == 404


def test_update(client, own):
    made = own(autoscaling={"min_replicas": 1, "max_replicas": 4})
    assert client.endpoints.update(made["id"], min_replicas=2).autoscaling.min_replicas == 2
    changed = client.endpoints.update(made["id"], display_name="z", inactive_timeout=0)
    assert changed.display_name == "z" and changed.autoscaling.max_replicas == 4
    assert client.endpoints.update(made["id"]).display_name == "z", "no body and no content type"


def test_list_and_its_filters(client, started):
    assert started["id"] in [it.id for it in client.endpoints.list()]
    mine = client.endpoints.list(type="dedicated", usage_type="on-demand", mine=True)
    assert started["id"] in [it.id for it in mine]
    assert client.endpoints.list(type="serverless") == []


def test_hardware_and_zones(client, hardware):
    every = client.endpoints.list_hardware()
    assert hardware in [it.id for it in every] and all(it.availability is None for it in every)
    fit = client.endpoints.list_hardware(MODEL)
    assert all(it.availability.status in ("available", "unavailable", "insufficient") for it in fit)
    assert isinstance(client.endpoints.list_avzones(), list)


def test_models(client):
    assert MODEL in [it.id for it in client.models.list()]
    assert isinstance(client.models.list(dedicated=True), list)


def test_a_name_serves_wherever_an_id_does(client, own):
    made = own()
    assert client.endpoints.get(made["name"]).id == made["id"], "with raw slashes"
    assert client.endpoints.update(made["name"], display_name="by name").display_name == "by name"
    assert client.endpoints.delete(made["name"]) is None


def test_every_option_of_a_create(client, hardware, sweep):
    made = client.endpoints.create(
        model=MODEL,
        hardware=hardware,
        min_replicas=0,
        max_replicas=2,
        display_name="All of it",
        disable_prompt_cache=False,
        disable_speculative_decoding=False,
        state="STOPPED",
        inactive_timeout=5,
        availability_zone="local",
    )
    assert (made.display_name, made.state, made.autoscaling.min_replicas) == ("All of it", "STOPPED", 0)


def test_start_and_stop_change_nothing_where_nothing_is_to_change(client, own, started):
    stopped = own()
    for _ in range(2):
        assert client.endpoints.update(stopped["id"], state="STOPPED").state == "STOPPED"
        assert client.endpoints.update(started["id"], state="STARTED").state == "STARTED"
