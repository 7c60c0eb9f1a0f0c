"""What `together endpoints …` of `together<2` says when it is refused: one line, exit code 1, no stack trace."""

import pytest
from helpers import MODEL, UNKNOWN, WRONG_KEY

EVERY = [
    ["create", "--model", MODEL, "--gpu", "h100", "--no-wait"],
    ["get", UNKNOWN],
    ["get", UNKNOWN, "--json"],
    ["list"],
    ["list", "--json"],
    ["start", UNKNOWN],
    ["stop", UNKNOWN],
    ["update", UNKNOWN, "--display-name", "x"],
    ["delete", UNKNOWN],
    ["hardware"],
    ["hardware", "--json"],
    ["availability-zones"],
]
OF_ONE = [it for it in EVERY if UNKNOWN in it]


def named(args):
    return " ".join(args)


@pytest.mark.parametrize("args", EVERY, ids=named)
def test_a_wrong_key(cli, args):
    _, said = cli(*args, code=1, env={"TOGETHER_API_KEY": WRONG_KEY})
    assert "Invalid API key or authentication failed" in said


@pytest.mark.parametrize("args", OF_ONE, ids=named)
def test_an_unknown_endpoint(cli, args):
    out, said = cli(*args, code=1)
    assert out == "" and f"Error: Endpoint {UNKNOWN} not found" in said


def test_an_unknown_model(cli):
    _, said = cli("create", "--model", "nobody/nothing", "--gpu", "h100", "--no-wait", code=1)
    assert "Model nobody/nothing not found" in said
    _, said = cli("hardware", "--model", "nobody/nothing", code=1)
    assert "Model nobody/nothing not found" in said


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--min-replicas", "3", "--max-replicas", "2"], "min_replicas must be <= max_replicas"),
        (["--min-replicas", "-1", "--max-replicas", "2"], "min_replicas must be >= 0"),
        (["--max-replicas", "0", "--min-replicas", "0"], "max_replicas must be >= 1"),
        (["--inactive-timeout", "-1"], "inactive_timeout must be"),
        (["--availability-zone", "nowhere-1"], "nowhere-1"),
    ],
)
def test_wrong_values(cli, flags, words):
    _, said = cli("create", "--model", MODEL, "--gpu", "h100", "--no-wait", *flags, code=1)
    assert words in said


def test_what_the_command_line_refuses_itself(cli, own):
    made = own()
    for flags in ([], ["--min-replicas", "2"], ["--inactive-timeout", "0"]):
        _, said = cli("update", made["id"], *flags, code=1)
        assert "Error:" in said
    cli("create", "--model", MODEL, code=2)
    cli("list", "--no-such-flag", code=2)


def test_a_key_that_may_only_read(dedi, cli, own):
    key = dedi.request("POST", "/keys", {"role": "viewer"})[1]["key"]
    made = own()
    for args in (["stop", made["id"]], ["update", made["id"], "--display-name", "x"], ["delete", made["id"]]):
        _, said = cli(*args, code=1, env={"TOGETHER_API_KEY": key})
        assert "has no permission to" in said
