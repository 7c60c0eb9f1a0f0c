"""Every command of `together endpoints …` in `together[cli]>=2,<3` with every flag, for people and with --json."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import MODEL


def create_args(hardware, *more):
    return ("create", "--model", MODEL, "--hardware", hardware, *more)


def test_create_wait_and_delete(dedi, cli, hardware, sweep):
    made = cli.json(*create_args(hardware, "--display-name", "From the CLI", "--min-replicas", "1", "--max-replicas", "1", "--wait"))
    assert made["state"] == "STARTED" and made["display_name"] == "From the CLI"
    assert cli.json("start", made["id"])["state"] == "STARTED", "started already"
    assert cli.json("stop", made["id"], "--wait") == {"message": "Endpoint stopped", "id": made["id"], "state": "STOPPED"}
    assert cli.json("stop", made["id"]) == {"message": "Successfully marked endpoint as stopping"}
    assert cli.json("start", made["id"], "--wait")["state"] == "STARTED"
    assert cli.json("delete", made["id"]) == {"message": "Successfully deleted endpoint"}
    dedi.until_gone(made["id"])


def test_create_with_every_flag(cli, hardware, sweep):
    flags = [
        "--min-replicas", "0", "--max-replicas", "3", "--display-name", "All of it", "--no-speculative-decoding",
        "--no-auto-start", "--inactive-timeout", "30", "--availability-zone", "local", "--no-prompt-cache",
    ]  # fmt: skip
    made = cli.json(*create_args(hardware, *flags))
    assert made["autoscaling"] == {"min_replicas": 0, "max_replicas": 3}
    assert (made["display_name"], made["state"], made["inactive_timeout"]) == ("All of it", "STOPPED", 30)
    assert made["availability_zone"] == "local", "it comes in the query"
    assert made["disable_speculative_decoding"] is True
    said = cli.endpoints(*create_args(hardware, *flags))
    for words in ("Dedicated endpoint created", "Stopped", MODEL, "min: 0", "max: 3"):
        assert words in said


def test_create_without_a_timeout_never_stops_by_itself(cli, hardware, sweep):
    # The flag's absence is sent as null, which is off.
    assert cli.json(*create_args(hardware, "--no-auto-start"))["inactive_timeout"] is None


def test_create_and_wait_for_people(cli, hardware, sweep):
    said = cli.endpoints(*create_args(hardware, "--wait"))
    assert "Dedicated endpoint created" in said and "Endpoint started" in said


def test_short_names_of_commands(dedi, cli, hardware, sweep):
    made = cli.json("-c", "--model", MODEL, "--hardware", hardware, "--no-auto-start")
    assert made["state"] == "STOPPED"
    assert cli.json("-d", made["id"]) == {"message": "Successfully deleted endpoint"}


@pytest.mark.parametrize("command", ["retrieve", "get"])
def test_retrieve(cli, started, command):
    assert cli.json(command, started["id"])["name"] == started["name"]
    assert cli.json(command, started["name"])["id"] == started["id"], "a name with encoded slashes"
    said = cli.endpoints(command, started["id"])
    assert started["id"] in said and "Started" in said


@pytest.mark.parametrize("command", ["list", "ls"])
def test_list(cli, started, command):
    assert started["id"] in [it["id"] for it in cli.json(command)]
    assert started["id"] in cli.endpoints(command)


def test_list_with_every_flag(cli, started):
    for flags in (["--mine"], ["--type", "dedicated"], ["--usage-type", "on-demand"]):
        assert started["id"] in cli.endpoints("list", *flags)
        assert started["id"] in [it["id"] for it in cli.json("list", *flags)]
    assert cli.json("list", "--usage-type", "reserved") == []
    assert "any dedicated endpoints yet" in cli.endpoints("list", "--usage-type", "reserved")


def test_list_page_by_page(cli, own):
    made = [own()["id"] for _ in range(21)]
    first = [it["id"] for it in cli.json("list")]
    assert len(first) == 20
    second = [it["id"] for it in cli.json("list", "--after", first[-1])]
    assert set(made) <= set(first + second) and not set(first) & set(second)
    assert f"--after {first[-1]}" in cli.endpoints("list")


def test_update(cli, own):
    made = own(autoscaling={"min_replicas": 1, "max_replicas": 3})
    updated = cli.json("update", "--min-replicas", "2", "--max-replicas", "5", made["id"])
    assert updated["autoscaling"] == {"min_replicas": 2, "max_replicas": 5}
    alone = cli.json("update", "--min-replicas", "3", made["id"])
    assert alone["autoscaling"] == {"min_replicas": 3, "max_replicas": 5}, "one bound alone is merged"
    alone = cli.json("update", "--max-replicas", "4", made["id"])
    assert alone["autoscaling"] == {"min_replicas": 3, "max_replicas": 4}
    assert cli.json("update", "--inactive-timeout", "7", made["id"])["inactive_timeout"] == 7
    assert cli.json("update", "--inactive-timeout", "0", made["id"])["inactive_timeout"] is None
    assert cli.json("update", "--display-name", "Named", made["id"])["display_name"] == "Named"
    said = cli.endpoints("update", "--display-name", "Updated Name", "--max-replicas", "6", made["id"])
    assert "Endpoint updated" in said and "max: 6" in said


def test_start_and_stop_for_people(dedi, cli, own):
    made = own()
    assert "Endpoint is starting" in cli.endpoints("start", made["id"])
    dedi.until_state(made["id"], "STARTED")
    assert "Endpoint is stopping" in cli.endpoints("stop", made["id"])
    assert "Endpoint stopped" in cli.endpoints("stop", made["id"], "--wait")
    assert "Endpoint started" in cli.endpoints("start", made["id"], "--wait")


def test_delete_for_people(dedi, cli, own):
    made = own()
    assert "Endpoint deleted" in cli.endpoints("delete", made["id"])


def test_hardware(cli, hardware):
    assert hardware in [it["id"] for it in cli.json("hardware")]
    assert hardware in cli.endpoints("hardware")
    fit = cli.json("hardware", "--model", MODEL)
    assert all(it["availability"]["status"] for it in fit)
    assert hardware in cli.endpoints("hardware", "--model", MODEL)
    free = cli.json("hardware", "--model", MODEL, "--available")
    assert {it["availability"]["status"] for it in free} <= {"available"}
    cli.endpoints("hardware", "--model", MODEL, "--available")
    assert hardware in [it["id"] for it in cli.json("hardware", "--available")], "needs a model to choose"


def test_zones(cli):
    assert cli.json("availability-zones") == {"avzones": ["local"]}
    assert "local" in cli.endpoints("availability-zones")


def test_whoami(cli):
    who = cli.whole("whoami", "--json")
    assert who["type"] == "project_api_key" and who["project"]["slug"] == "default"
    assert "Project:" in cli.run("whoami", "--no-json")


def test_models(cli):
    assert MODEL in cli.run("models", "list", "--no-json")
    assert MODEL in [it["id"] for it in cli.whole("models", "list", "--json")["data"]]


def test_global_options(dedi, cli, started):
    bare = {"TOGETHER_API_KEY": "", "TOGETHER_BASE_URL": ""}
    there = ["--api-key", dedi.key, "--base-url", dedi.base_url, "--timeout", "30", "--max-retries", "1"]
    assert started["id"] in cli.endpoints("list", *there, env=bare)
    assert started["id"] in cli.endpoints("list", "--project", "local", "--non-interactive")
    assert started["id"] in cli.endpoints("list", env={"TOGETHER_PROJECT_ID": "local"}), "asks no whoami"
    assert started["id"] in cli.endpoints("list", "--debug")
    assert "2.42.0" in cli.run("--version")


def test_the_other_name_of_the_program(dedi, started):
    program = Path(sys.executable).parent / "tg"
    done = subprocess.run(
        [program, "endpoints", "list", "--json"], capture_output=True, text=True, timeout=60, env=dedi.client_env()
    )
    assert done.returncode == 0 and started["id"] in done.stdout
