"""What `together endpoints …` of `together>=2,<3` says when it is refused: a sentence or JSON, exit code 1, no stack
trace (the runner looks for one)."""

import pytest
from helpers import MODEL, UNKNOWN, WRONG_KEY

EVERY = [
    ["create", "--model", MODEL, "--hardware", "1x_cpu"],
    ["retrieve", UNKNOWN],
    ["list"],
    ["update", UNKNOWN, "--min-replicas", "1"],
    ["start", UNKNOWN],
    ["stop", UNKNOWN],
    ["delete", UNKNOWN],
    ["hardware"],
    ["availability-zones"],
    ["adapters", "list", UNKNOWN],
    ["adapters", "add", UNKNOWN, "a:b"],
    ["adapters", "remove", UNKNOWN, "a:b"],
]
OF_ONE = [it for it in EVERY if UNKNOWN in it]


def named(args):
    return "-".join(it for it in args if it != UNKNOWN and not it.startswith("--"))


def message(answer):
    error = answer["error"]
    return error if isinstance(error, str) else error["message"]


@pytest.mark.parametrize("args", EVERY, ids=named)
def test_a_wrong_key(cli, args):
    wrong = {"TOGETHER_API_KEY": WRONG_KEY}
    assert "Invalid API key" in cli.endpoints(*args, code=1, env=wrong)
    assert "Invalid API key" in message(cli.json(*args, code=1, env=wrong))


def test_a_wrong_key_where_no_whoami_is_asked(cli):
    said = cli.endpoints("list", code=1, env={"TOGETHER_API_KEY": WRONG_KEY, "TOGETHER_PROJECT_ID": "local"})
    assert "Invalid API key" in said


def test_no_key_at_all(cli):
    assert "Not logged in" in cli.endpoints("list", code=1, env={"TOGETHER_API_KEY": ""})


@pytest.mark.parametrize("args", OF_ONE, ids=named)
def test_an_unknown_endpoint(cli, args):
    assert "not found" in cli.endpoints(*args, code=1).lower()
    assert "not found" in message(cli.json(*args, code=1)).lower()


def test_a_missing_hardware_shows_what_there_is(cli, hardware):
    said = cli.endpoints("create", "--model", MODEL, code=1)
    assert "Missing required argument --hardware" in said and "Hardware ID" in said
    assert message(cli.json("create", "--model", MODEL, code=1)) == "hardware is required"


def test_a_wrong_hardware_shows_what_there_is(cli):
    args = ["create", "--model", MODEL, "--hardware", "8x_nvidia_h100_80gb_sxm"]
    said = cli.endpoints(*args, code=1)
    assert "Invalid hardware selected" in said and "Hardware ID" in said
    assert "Check the hardware API" in message(cli.json(*args, code=1))


def test_more_than_the_host_has(cli, hardware):
    kind = hardware.split("x_", 1)[1]
    said = cli.endpoints("create", "--model", MODEL, "--hardware", f"9999x_{kind}", code=1)
    assert "Invalid hardware selected" in said


def test_an_unknown_model_is_called_that(cli, hardware):
    args = ["create", "--model", "nobody/nothing", "--hardware", hardware]
    assert "was not found or is not available" in cli.endpoints(*args, code=1)
    assert "Model nobody/nothing not found" in message(cli.json(*args, code=1))
    assert "Model nobody/nothing not found" in cli.endpoints("hardware", "--model", "nobody/nothing", code=1)


def test_no_capacity_is_pending_and_says_why(dedi, cli, started, hardware, sweep):
    # Every device of the kind for one replica, while another endpoint has one of them.
    most = max(dedi.kinds(hardware), key=lambda it: it["specs"]["gpu_count"])["id"]
    made = cli.json("create", "--model", MODEL, "--hardware", most)
    assert made["state"] == "PENDING"
    assert "Pending" in cli.endpoints("retrieve", made["id"])
    status = cli.json("retrieve", made["id"])["status"]
    assert status["message"], status
    assert most not in [it["id"] for it in cli.json("hardware", "--model", MODEL, "--available")]


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--min-replicas", "3", "--max-replicas", "2"], "cannot be greater"),
        (["--min-replicas=-1", "--max-replicas", "2"], "min_replicas must be >= 0"),
        (["--min-replicas", "0", "--max-replicas", "0"], "max_replicas must be >= 1"),
        (["--inactive-timeout=-1"], "inactive_timeout must be"),
        (["--availability-zone", "nowhere-1"], "Invalid availability zone"),
    ],
)
def test_wrong_values(cli, hardware, flags, words):
    args = ["create", "--model", MODEL, "--hardware", hardware, *flags]
    assert words in cli.endpoints(*args, code=1)
    assert words in message(cli.json(*args, code=1))


def test_wrong_updates(cli, own):
    made = own(autoscaling={"min_replicas": 1, "max_replicas": 3})
    said = cli.endpoints("update", "--min-replicas", "4", made["id"], code=1)
    assert "min_replicas must be <= max_replicas" in said
    cli.endpoints("update", made["id"], code=1)
    assert cli.json("retrieve", made["id"])["autoscaling"] == {"min_replicas": 1, "max_replicas": 3}


def test_wrong_usage_is_one_line(cli):
    assert "Error" in cli.endpoints("create", "--hardware", "1x_cpu", code=1)
    assert "Error" in cli.endpoints("list", "--no-such-flag", code=1)


def test_adapters_are_not_there_and_that_is_not_called_a_missing_endpoint(cli, own):
    made = own()
    for args in (["list"], ["add"], ["remove"], ["rm"], ["delete"]):
        more = [] if args == ["list"] else [f"{made['name']}:x"]
        for said in (
            cli.endpoints("adapters", *args, made["id"], *more, code=1),
            message(cli.json("adapters", *args, made["id"], *more, code=1)),
        ):
            assert "LoRA adapters are not available" in said and "not found" not in said, said


def test_a_key_that_may_only_read(dedi, cli, own):
    viewer = {"TOGETHER_API_KEY": dedi.request("POST", "/keys", {"role": "viewer"})[1]["key"]}
    made = own()
    assert cli.json("retrieve", made["id"], env=viewer)["id"] == made["id"]
    for args in (["stop", made["id"]], ["update", made["id"], "--display-name", "x"], ["delete", made["id"]]):
        assert "permission" in cli.endpoints(*args, code=1, env=viewer)
        assert "permission" in message(cli.json(*args, code=1, env=viewer))
