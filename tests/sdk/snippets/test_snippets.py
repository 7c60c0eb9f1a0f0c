"""Every code sample of the contract's pages runs as printed, with the real tools.

The samples are in this folder's Markdown files, a file for each page. What is exchanged is in `exchanged`: models,
hardware and ids are other ones here, and the address of the hosted service is this server's. Keys, and the address for
the SDKs, come through the environment, as the pages' readers set them.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest
from helpers import MODEL

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PAGES = ("delete-endpoint", "get-endpoint", "list-endpoints", "reference", "update-endpoint")
# Samples that do not run with the pinned SDKs, whatever the server, and what they say.
BEYOND = {"reference: List Hardware: TypeScript": "together.endpoints.list_hardware is not a function"}
# The reference begins its Python samples in the middle of a program.
BEGINNING = "from together import Together\nclient = Together()\n"
ID = r"endpoint-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def samples():
    for page in PAGES:
        text = (HERE / f"{page}.md").read_text()
        for name, language, code in re.findall(r"^## ([^\n]+)\n\n```(\w+)\n(.*?)\n```$", text, re.M | re.S):
            yield pytest.param(language, code, name, id=f"{page}: {name}")


def exchanged(code, dedi, hardware, endpoint_id):
    for printed, ours in {
        "meta-llama/Llama-3.3-70B-Instruct-Turbo": MODEL,
        "4x_nvidia_h100_80gb_sxm": hardware,
        "https://api.together.ai/v1": dedi.base_url,
        "https://api.together.xyz/v1": dedi.base_url,
        "endpoint-abc123": endpoint_id,
        '"endpoint-id"': f'"{endpoint_id}"',
        "/endpoint-id": f"/{endpoint_id}",
        "<ENDPOINT_ID>": endpoint_id,
    }.items():
        code = code.replace(printed, ours)
    return code


class Runner:
    """Runs a sample in its language: (exit code, stdout, stderr)."""

    def __init__(self, dedi, modules, folder):
        self.dedi, self.folder = dedi, folder
        (folder / "node_modules").symlink_to(modules)
        # curl says nothing of a refusal by its exit code, unless it is told to.
        (folder / ".curlrc").write_text('fail-with-body\nsilent\nshow-error\nnoproxy = "*"\n')

    def __call__(self, language, code, name):
        return {"python": self.python, "shell": self.shell}.get(language, self.node)(code, name)

    def python(self, code, name):
        suite = "v1" if "(v1)" in name else "v2"
        whole = code if "import Together" in code else BEGINNING + code
        return self.done(ROOT / f".venvs/{suite}/bin/python", self.file("sample.py", whole))

    def node(self, code, _):
        # The TypeScript samples have no types.
        return self.done("node", self.file("sample.mjs", code))

    def shell(self, code, _):
        return self.done("bash", "-e", self.file("sample.sh", code))

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def done(self, *args):
        env = self.dedi.client_env()
        program = ROOT / ".venvs/v2/bin"
        env |= {"PATH": f"{program}:{env['PATH']}", "CURL_HOME": str(self.folder), "COLUMNS": "200"}
        done = subprocess.run(args, cwd=self.folder, env=env, capture_output=True, text=True, timeout=150)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(dedi, modules, tmp_path):
    return Runner(dedi, modules, tmp_path)


@pytest.mark.parametrize("language, code, name", list(samples()))
def test_a_sample_of_the_pages(dedi, hardware, own, sweep, run, request, language, code, name):
    what = name.split(":")[0]
    endpoint = own(**({"state": "STARTED"} if what in ("Stop", "Using the Endpoint") else {}))
    if endpoint["state"] != "STOPPED":
        dedi.until_state(endpoint["id"], "STARTED")
    before = {it["id"] for it in dedi.request("GET", "/endpoints")[1]["data"]}
    code = exchanged(code, dedi, hardware, endpoint["id"])
    exit_code, out, err = run(language, code, name)
    if beyond := BEYOND.get(request.node.callspec.id):
        assert exit_code == 1 and beyond in err
        return
    assert exit_code == 0, f"{code}\n{out}\n{err}"
    assert "Traceback" not in err
    CHECKS[what](Seen(dedi, endpoint["id"], hardware, before, name, out))


class Seen:
    """What a check may look at."""

    def __init__(self, dedi, endpoint_id, hardware, before, name, out):
        self.dedi, self.id, self.hardware, self.before, self.out = dedi, endpoint_id, hardware, before, out
        # Most of the reference's Python samples print nothing.
        self.is_silent = name.endswith(": Python")

    def says(self, *texts):
        assert all(it in self.out for it in texts), self.out

    def now(self):
        return self.dedi.request("GET", f"/endpoints/{self.id}")


def created(seen):
    # With `--wait` the endpoint is there under its id, and started.
    (new,) = {it["id"] for it in seen.dedi.request("GET", "/endpoints")[1]["data"]} - seen.before
    made = seen.dedi.request("GET", f"/endpoints/{new}")[1]
    assert re.search(ID, seen.out).group() == new
    assert (made["model"], made["hardware"]) == (MODEL, seen.hardware)
    assert made["autoscaling"] == {"min_replicas": 1, "max_replicas": 3}
    assert made["state"] in ("PENDING", "STARTING", "STARTED")


def got(seen):
    # The reference's Python prints the state alone.
    assert seen.id in seen.out or (seen.is_silent and seen.out.strip() == "STOPPED"), seen.out


def listed(seen):
    seen.says(seen.id)


def updated(seen):
    now = seen.now()[1]
    assert now["display_name"] == "Updated Name"
    assert now["autoscaling"] == {"min_replicas": 2, "max_replicas": 5}


def started_and_stopped(seen):
    seen.dedi.until_state(seen.id, "STOPPED")
    events = seen.dedi.request("GET", f"/endpoints/{seen.id}/events?limit=1000")[1]["data"]
    assert {"start_requested", "stop_requested"} <= {it["kind"] for it in events}


def stopped(seen):
    seen.says(seen.id)
    assert seen.now()[1]["state"] in ("STOPPING", "STOPPED")
    seen.dedi.until_state(seen.id, "STOPPED")


def deleted(seen):
    seen.dedi.until_gone(seen.id)


def hardware_listed(seen):
    seen.says(seen.hardware)


def chatted(seen):
    if seen.out.startswith("{"):
        seen.out = json.loads(seen.out)["choices"][0]["message"]["content"]
    if seen.is_silent:
        assert "was answered" in seen.dedi.tail()
    else:
        assert len(seen.out.strip()) > 3, seen.out


CHECKS = {
    "Create Endpoint": created,
    "Get Endpoint": got,
    "List Endpoints": listed,
    "Update Endpoint": updated,
    "Start / Stop": started_and_stopped,
    "Stop": stopped,
    "Delete": deleted,
    "List Hardware": hardware_listed,
    "Using the Endpoint": chatted,
}


def test_there_is_a_sample_of_every_kind():
    kinds = {it.values[2].split(":")[0] for it in samples()}
    assert kinds == set(CHECKS) and len(list(samples())) == 51
    assert {it.id for it in samples()} >= set(BEYOND)
