"""Every command of `together endpoints …` in `together<2`, with every flag. It says what it does on stderr and
prints its result, mostly an id, on stdout."""

import json
import re

import pytest
from helpers import MODEL

FIELDS = ["ID:", "Name:", "Display Name:", "Hardware:", "Autoscaling:", "Model:", "Type:", "Owner:", "State:", "Created:"]


def test_create_with_every_flag(gpu_cli):
    out, said = gpu_cli(
        "create", "--model", MODEL, "--gpu", "h200", "--gpu-count", "1", "--min-replicas", "1", "--max-replicas", "3",
        "--display-name", "From the CLI", "--no-prompt-cache", "--no-speculative-decoding", "--no-auto-start",
        "--inactive-timeout", "30", "--availability-zone", "local", "--no-wait",
    )  # fmt: skip
    made = gpu_cli.dedi.request("GET", f"/endpoints/{out.strip()}")[1]
    assert f"Endpoint created successfully, id: {made['id']}" in said
    assert made["hardware"] == "1x_nvidia_h200_140gb_sxm" and made["display_name"] == "From the CLI"
    assert made["autoscaling"] == {"min_replicas": 1, "max_replicas": 3}
    assert (made["state"], made["inactive_timeout"], made["availability_zone"]) == ("STOPPED", 30, "local")
    assert made["disable_speculative_decoding"] is True


def test_create_with_nothing_but_what_is_required(gpu_cli):
    # Its name for this GPU has neither memory nor link; this one kind is meant. Without the flag for it the
    # endpoint would start, which a pretended GPU can't.
    made = gpu_cli("create", "--model", MODEL, "--gpu", "l40", "--no-auto-start", "--no-wait")[0].strip()
    it = gpu_cli.dedi.request("GET", f"/endpoints/{made}")[1]
    assert (it["hardware"], it["inactive_timeout"]) == ("1x_nvidia_l40_48gb_pcie", 60)
    assert it["disable_speculative_decoding"] is False


def test_create_waits_unless_told_not_to_and_no_capacity_is_pending(gpu_cli):
    made = gpu_cli("create", "--model", MODEL, "--gpu", "h200")[0].strip()
    assert json.loads(gpu_cli("get", made, "--json")[0])["state"] == "STARTED"
    second, said = gpu_cli("create", "--model", MODEL, "--gpu", "h200", "--no-wait")
    assert f"Endpoint created successfully, id: {second.strip()}" in said
    assert json.loads(gpu_cli("get", second.strip(), "--json")[0])["state"] == "PENDING"
    assert re.search(r"^State:\s+PENDING$", gpu_cli("get", second.strip())[0], re.M)
    for it in (second.strip(), made):
        gpu_cli("delete", it)
        gpu_cli.dedi.until_gone(it)


@pytest.mark.parametrize("gpu", ["b200", "h100", "a100", "l40s", "rtx-6000"])
def test_create_on_a_gpu_this_host_lacks_shows_what_it_has(gpu_cli, gpu):
    _, said = gpu_cli("create", "--model", MODEL, "--gpu", gpu, "--no-wait", code=1)
    assert "Invalid hardware provided" in said and "1x_nvidia_l40_48gb_pcie" in said


def test_get(cli, started):
    out, _ = cli("get", started["id"])
    assert [line.split("\t")[0] for line in out.strip().splitlines()] == FIELDS
    assert "STARTED" in out and "Min=1, Max=1" in out
    assert json.loads(cli("get", started["id"], "--json")[0])["id"] == started["id"]
    assert json.loads(cli("get", started["name"], "--json")[0])["id"] == started["id"], "a name with raw slashes"


@pytest.mark.parametrize(
    "flags", [[], ["--mine", "true"], ["--mine", "false"], ["--type", "dedicated"], ["--usage-type", "on-demand"]]
)
def test_list(cli, started, flags):
    out, said = cli("list", *flags)
    assert started["id"] in out and "Endpoints:" in said
    assert started["id"] in [it["id"] for it in json.loads(cli("list", *flags, "--json")[0])]


@pytest.mark.parametrize("flags", [["--type", "serverless"], ["--usage-type", "reserved"]])
def test_list_of_what_is_not_there(cli, flags):
    out, said = cli("list", *flags)
    assert out == "" and "No dedicated endpoints found" in said


def test_stop_and_start_wait_unless_told_not_to(cli, own):
    made = own(state="STARTED", autoscaling={"min_replicas": 1, "max_replicas": 1})
    for args, words in [
        (["start", made["id"]], "Endpoint started"),
        (["stop", made["id"]], "Endpoint stopped"),
        (["start", made["id"], "--wait"], "Endpoint started"),
        (["stop", made["id"], "--wait"], "Endpoint stopped"),
        (["start", made["id"], "--no-wait"], "marked endpoint as starting"),
        (["stop", made["id"], "--no-wait"], "marked endpoint as stopping"),
    ]:
        out, said = cli(*args)
        assert out.strip() == made["id"] and words in said, args


def test_update(cli, own):
    made = own()
    for flags in (
        ["--min-replicas", "2", "--max-replicas", "5"],
        ["--display-name", "Updated Name"],
        ["--inactive-timeout", "30"],
        ["--display-name", "z", "--min-replicas", "1", "--max-replicas", "4", "--inactive-timeout", "5"],
    ):
        out, said = cli("update", made["id"], *flags)
        assert out.strip() == made["id"] and "Successfully updated endpoint" in said
    it = json.loads(cli("get", made["id"], "--json")[0])
    assert it["display_name"] == "z" and it["autoscaling"] == {"min_replicas": 1, "max_replicas": 4}


def test_delete(dedi, cli, own):
    made = own()
    out, said = cli("delete", made["id"])
    assert out.strip() == made["id"] and "Successfully deleted endpoint" in said
    dedi.until_gone(made["id"])


def test_hardware(cli, hardware):
    # Its table is on stderr.
    for flags in ([], ["--model", MODEL], ["--model", MODEL, "--available"]):
        out, said = cli("hardware", *flags)
        assert out == "" and "cpu" in said, flags
        ids = [it["id"] for it in json.loads(cli("hardware", *flags, "--json")[0])]
        assert hardware in ids or "--available" in flags, flags
    assert cli("hardware", "--available", "--json")[0].strip() == "[]", "there is no availability without a model"


def test_zones(cli):
    assert "local" in cli("availability-zones")[0]
    assert json.loads(cli("availability-zones", "--json")[0]) == {"avzones": ["local"]}


def test_models(cli):
    assert MODEL in cli.run("models", "list")[0]


def test_global_options(dedi, cli, started):
    bare = {"TOGETHER_API_KEY": "", "TOGETHER_BASE_URL": ""}
    args = ["--api-key", dedi.key, "--base-url", dedi.base_url, "--timeout", "30", "--max-retries", "1"]
    assert started["id"] in cli.run(*args, "endpoints", "list", env=bare)[0]
    assert started["id"] in cli.run("--debug", "endpoints", "list")[0]
    assert "1.5.35" in cli.run("--version")[0]
