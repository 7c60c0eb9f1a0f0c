"""Every command of `together endpoints …` in `together[cli]>=2,<3`, for people and with --json."""

import pytest
from helpers import MODEL


def create_args(hardware, *more):
    return ("create", "--model", MODEL, "--hardware", hardware, *more)


def test_create_wait_and_delete(dedi, cli, hardware, sweep):
    made = cli.json(*create_args(hardware, "--display-name", "From the CLI", "--min-replicas", "1", "--max-replicas", "1", "--wait"))
    assert made["state"] == "STARTED" and made["display_name"] == "From the CLI"
    assert cli.json("stop", made["id"], "--wait")["state"] == "STOPPED"
    assert cli.json("start", made["id"], "--wait")["state"] == "STARTED"
    assert cli.json("delete", made["id"]) == {"message": "Successfully deleted endpoint"}
    dedi.until_gone(made["id"])


def test_create_for_people(cli, hardware, sweep):
    said = cli.endpoints(*create_args(hardware, "--no-auto-start", "--no-speculative-decoding", "--inactive-timeout", "30"))
    assert "Dedicated endpoint created" in said and "Stopped" in said and MODEL in said


def test_create_in_a_zone(cli, hardware, sweep):
    zones = cli.json("availability-zones")["avzones"]
    for zone in zones[:1]:
        made = cli.json(*create_args(hardware, "--no-auto-start", "--availability-zone", zone))
        assert made["availability_zone"] == zone, "the zone comes in the query"
    said = cli.endpoints(*create_args(hardware, "--availability-zone", "nowhere-1"), code=1)
    assert "Invalid availability zone" in said


def test_zones_for_people(cli):
    said = cli.endpoints("availability-zones")
    assert "zone" in said.lower()


@pytest.mark.parametrize("command", ["retrieve", "get"])
def test_retrieve(cli, started, command):
    assert cli.json(command, started["id"])["name"] == started["name"]
    said = cli.endpoints(command, started["id"])
    assert started["id"] in said and "Started" in said


@pytest.mark.parametrize("command", ["list", "ls"])
def test_list(cli, started, command):
    assert started["id"] in [it["id"] for it in cli.json(command)]
    assert started["id"] in cli.endpoints(command)


def test_list_with_the_pages_own_flags(cli, started):
    assert started["id"] in cli.endpoints("list", "--mine")
    assert started["id"] in cli.endpoints("list", "--type", "dedicated")
    assert cli.json("list", "--usage-type", "reserved") == []


def test_update(cli, own):
    made = own(autoscaling={"min_replicas": 1, "max_replicas": 3})
    updated = cli.json("update", "--min-replicas", "2", "--max-replicas", "5", made["id"])
    assert updated["autoscaling"] == {"min_replicas": 2, "max_replicas": 5}
    alone = cli.json("update", "--min-replicas", "3", made["id"])
    assert alone["autoscaling"] == {"min_replicas": 3, "max_replicas": 5}, "one bound alone is merged"
    said = cli.endpoints("update", "--display-name", "Updated Name", made["id"])
    assert "Endpoint updated" in said
    cli.endpoints("update", made["id"], code=1)


def test_start_and_stop_for_people(dedi, cli, own):
    made = own()
    assert "starting" in cli.endpoints("start", made["id"])
    dedi.until_state(made["id"], "STARTED")
    assert "stopping" in cli.endpoints("stop", made["id"])
    assert "Endpoint stopped" in cli.endpoints("stop", made["id"], "--wait")


def test_delete_for_people(dedi, cli, own):
    made = own()
    assert "Endpoint deleted" in cli.endpoints("delete", made["id"])


def test_hardware(cli, hardware):
    assert hardware in [it["id"] for it in cli.json("hardware")]
    assert hardware in cli.endpoints("hardware")
    fit = cli.json("hardware", "--model", MODEL)
    assert all(it["availability"]["status"] for it in fit)
    assert isinstance(cli.json("hardware", "--model", MODEL, "--available"), list)
    cli.endpoints("hardware", "--model", MODEL, "--available")


def test_a_missing_hardware_shows_what_there_is(cli):
    said = cli.endpoints("create", "--model", MODEL, code=1)
    assert "Missing required argument --hardware" in said


def test_a_wrong_hardware_shows_what_there_is(cli):
    said = cli.endpoints(*create_args("8x_nvidia_h100_80gb_sxm"), code=1)
    assert "Invalid hardware selected" in said


def test_an_unknown_model_is_called_that(cli, hardware):
    said = cli.endpoints("create", "--model", "nobody/nothing", "--hardware", hardware, code=1)
    assert "was not found or is not available" in said


def test_an_unknown_endpoint_is_called_that(cli):
    unknown = "endpoint-00000000-0000-4000-8000-000000000000"
    assert "not found" in cli.endpoints("retrieve", unknown, code=1).lower()
    error = cli.json("retrieve", unknown, code=1)["error"]
    assert "not found" in (error if isinstance(error, str) else error["message"]).lower()


def test_a_wrong_key_is_called_that(cli):
    # Without a project this client asks whoami first and shows its own traceback for any refusal there.
    said = cli.endpoints("list", code=1, env={"TOGETHER_API_KEY": "dedi_wrong", "TOGETHER_PROJECT_ID": "local"})
    assert "Invalid API key" in said or "permission" in said.lower()


def test_with_a_project_named_there_is_no_whoami(cli, started):
    assert started["id"] in cli.endpoints("list", env={"TOGETHER_PROJECT_ID": "local"})


def test_models(cli):
    assert MODEL in cli.run("models", "list", "--no-json")
