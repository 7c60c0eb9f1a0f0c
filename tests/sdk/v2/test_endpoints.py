"""Endpoints through `together>=2,<3`."""

import re

import pytest
import together
from helpers import MODEL, eventually_state

ONE = {"min_replicas": 1, "max_replicas": 1}
HELLO = [{"role": "user", "content": "Hello!"}]


def test_a_whole_life(dedi, client, hardware, sweep):
    made = client.endpoints.create(
        model=MODEL, hardware=hardware, display_name="My demo", autoscaling=ONE, inactive_timeout=60
    )
    assert made.object == "endpoint" and made.type == "dedicated"
    assert re.fullmatch(r"endpoint-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made.id)
    assert re.fullmatch(rf"{made.owner}/{MODEL}-[0-9a-f]{{8}}", made.name) or made.owner == "dedi"
    assert (made.display_name, made.model, made.hardware) == ("My demo", MODEL, hardware)
    assert made.state in ("PENDING", "STARTING", "STARTED")
    assert (made.autoscaling.min_replicas, made.autoscaling.max_replicas) == (1, 1)
    eventually_state(client.endpoints.retrieve, made.id, "STARTED")

    by_name = client.chat.completions.create(model=made.name, messages=HELLO, max_tokens=8)
    by_id = client.chat.completions.create(model=made.id, messages=HELLO, max_tokens=8)
    assert by_name.model == made.name and by_id.model == made.id

    stopping = client.endpoints.update(made.id, state="STOPPED")
    assert stopping.state in ("STOPPING", "STOPPED")
    with pytest.raises(together.BadRequestError) as refused:
        client.chat.completions.create(model=made.name, messages=HELLO)
    assert refused.value.body["error"]["code"] == "dedicated_endpoint_not_running"
    eventually_state(client.endpoints.retrieve, made.id, "STOPPED")
    with pytest.raises(together.BadRequestError) as refused:
        client.chat.completions.create(model=made.id, messages=HELLO)
    assert refused.value.body["error"]["code"] == "dedicated_endpoint_not_running"

    starting = client.endpoints.update(made.id, state="STARTED")
    assert starting.state in ("PENDING", "STARTING", "STARTED")
    eventually_state(client.endpoints.retrieve, made.id, "STARTED")
    assert client.chat.completions.create(model=made.id, messages=HELLO, max_tokens=4).choices

    assert client.endpoints.delete(made.id) is None
    dedi.until_gone(made.id)
    for call in (client.endpoints.retrieve, client.endpoints.delete):
        with pytest.raises(together.NotFoundError) as gone:
            call(made.id)
        assert gone.value.body["error"]["message"].startswith(f"Endpoint {made.id} not found")


def test_update_changes_only_what_it_names(client, own):
    made = own(display_name="before")
    updated = client.endpoints.update(made["id"], autoscaling={"min_replicas": 2, "max_replicas": 5})
    assert (updated.autoscaling.min_replicas, updated.autoscaling.max_replicas) == (2, 5)
    assert updated.display_name == "before" and updated.state == "STOPPED"
    renamed = client.endpoints.update(made["id"], display_name="Updated Name", inactive_timeout=0)
    assert renamed.display_name == "Updated Name" and renamed.name == made["name"]
    assert client.endpoints.update(made["id"]).display_name == "Updated Name"


def test_stop_and_start_are_idempotent(client, own, started):
    stopped = own()
    assert client.endpoints.update(stopped["id"], state="STOPPED").state == "STOPPED"
    assert client.endpoints.update(started["id"], state="STARTED").state == "STARTED"


def test_a_name_retrieves_like_an_id(client, started):
    assert client.endpoints.retrieve(started["name"]).id == started["id"]


def test_a_name_serves_wherever_an_id_does(client, own):
    made = own()
    assert client.endpoints.update(made["name"], display_name="by name").display_name == "by name"
    assert client.endpoints.delete(made["name"]) is None
    with pytest.raises(together.NotFoundError):
        client.endpoints.retrieve(made["name"])


def test_every_option_of_a_create(client, hardware, sweep):
    made = client.endpoints.create(
        model=MODEL,
        hardware=hardware,
        autoscaling={"min_replicas": 1, "max_replicas": 2},
        availability_zone="local",
        disable_prompt_cache=False,
        disable_speculative_decoding=False,
        display_name="",
        inactive_timeout=5,
        state="STOPPED",
    )
    assert made.display_name == "" and made.availability_zone == "local" and made.inactive_timeout == 5


def test_null_and_unset_options_are_taken(client, hardware, sweep):
    made = client.endpoints.create(
        model=MODEL,
        hardware=hardware,
        autoscaling={"min_replicas": 0, "max_replicas": 2},
        disable_prompt_cache=True,
        disable_speculative_decoding=True,
        inactive_timeout=None,
        state="STOPPED",
    )
    assert made.state == "STOPPED" and made.display_name
    assert made.autoscaling.min_replicas == 0
    assert made.inactive_timeout is None, "null is off"
    unset = client.endpoints.create(model=MODEL, hardware=hardware, autoscaling=ONE, state="STOPPED")
    assert unset.inactive_timeout == 60
    assert client.endpoints.update(unset.id, inactive_timeout=None).inactive_timeout is None


def test_list_and_its_filters(client, started):
    every = client.endpoints.list()
    assert every.object == "list"
    item = next(it for it in every.data if it.id == started["id"])
    assert (item.object, item.type, item.name, item.model) == ("endpoint", "dedicated", started["name"], MODEL)
    assert item.owner and item.state and item.created_at
    mine = client.endpoints.list(mine=True, type="dedicated", usage_type="on-demand")
    assert started["id"] in [it.id for it in mine.data]
    assert client.endpoints.list(type="serverless").data == []
    assert client.endpoints.list(usage_type="reserved").data == []


def test_hardware_has_availability_only_for_a_model(client, hardware):
    every = client.endpoints.list_hardware()
    item = next(it for it in every.data if it.id == hardware)
    assert item.object == "hardware" and item.availability is None
    assert item.specs.gpu_count >= 1 and item.specs.gpu_memory > 0 and isinstance(item.specs.gpu_link, str)
    assert item.pricing.cents_per_minute >= 0 and item.updated_at
    fit = client.endpoints.list_hardware(model=MODEL)
    assert {it.availability.status for it in fit.data} <= {"available", "unavailable", "insufficient"}


def test_zones(client, own):
    zones = client.endpoints.list_avzones().avzones
    assert len(set(zones)) == len(zones)
    for zone in zones[:1]:
        assert own(availability_zone=zone)


def test_models(client):
    models = client.models.list()
    assert MODEL in [it.id for it in models]
    assert isinstance(client.models.list(dedicated=True), list)


def test_whoami(client):
    who = client.whoami()
    assert who.api_key_id and who.organization_id and who.project_id


async def test_the_async_client_does_the_same(dedi, hardware, sweep):
    async with together.AsyncTogether(api_key=dedi.key, base_url=dedi.base_url) as client:
        made = await client.endpoints.create(model=MODEL, hardware=hardware, autoscaling=ONE, state="STOPPED")
        assert (await client.endpoints.retrieve(made.id)).state == "STOPPED"
        assert (await client.endpoints.update(made.id, display_name="b")).display_name == "b"
        assert made.id in [it.id for it in (await client.endpoints.list()).data]
        assert (await client.endpoints.list_hardware(model=MODEL)).data
        assert isinstance((await client.endpoints.list_avzones()).avzones, list)
        assert (await client.whoami()).api_key_id
        assert MODEL in [it.id for it in await client.models.list()]
        await client.endpoints.delete(made.id)
        with pytest.raises(together.NotFoundError):
            await client.endpoints.retrieve(made.id)
