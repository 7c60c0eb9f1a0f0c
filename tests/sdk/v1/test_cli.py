"""Every command of `together endpoints …` in `together<2`."""

import json

from helpers import MODEL


def test_get(cli, started):
    out, _ = cli("get", started["id"])
    assert "State:" in out and "STARTED" in out
    assert json.loads(cli("get", started["id"], "--json")[0])["id"] == started["id"]


def test_list(cli, started):
    assert started["id"] in cli("list")[0]
    for flags in (["--mine", "true"], ["--type", "dedicated"], ["--usage-type", "on-demand"]):
        assert started["id"] in cli("list", *flags)[0]
    assert started["id"] in cli("list", "--json")[0]


def test_stop_start_update_delete(cli, own):
    made = own(state="STARTED", autoscaling={"min_replicas": 1, "max_replicas": 1})
    cli("start", made["id"], "--wait")
    assert made["id"] in cli("stop", made["id"], "--wait")[0]
    assert made["id"] in cli("start", made["id"], "--no-wait")[0]
    assert made["id"] in cli("stop", made["id"])[0]
    assert made["id"] in cli("update", made["id"], "--min-replicas", "2", "--max-replicas", "5")[0]
    assert made["id"] in cli("update", made["id"], "--display-name", "Updated Name")[0]
    assert made["id"] in cli("delete", made["id"])[0]


def test_hardware(cli, hardware):
    # Its table is on stderr.
    assert hardware in cli("hardware")[1]
    assert hardware in cli("hardware", "--model", MODEL)[1]
    assert hardware in cli("hardware", "--model", MODEL, "--json")[0]
    cli("hardware", "--model", MODEL, "--available")


def test_zones(cli):
    cli("availability-zones")
    assert isinstance(json.loads(cli("availability-zones", "--json")[0])["avzones"], list)


def test_create_can_only_name_gpus_this_host_lacks(cli):
    _, said = cli("create", "--model", MODEL, "--gpu", "l40", "--no-wait", code=1)
    assert "hardware" in said.lower()


def test_errors(cli):
    _, said = cli("get", "endpoint-00000000-0000-4000-8000-000000000000", code=1)
    assert "not found" in said
    _, said = cli("list", code=1, env={"TOGETHER_API_KEY": "dedi_wrong"})
    assert "Invalid API key" in said
