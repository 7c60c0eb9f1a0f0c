"""The server under test, one per run; the suites are its clients."""

import os
import shutil
import subprocess
from pathlib import Path

import minilm
import pytest
import rough
from harness import ISOLATION, served
from helpers import EMBEDDING_MODEL, MODEL

pytest.register_assert_rewrite("fields")
NODE = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def dedi():
    for name in list(os.environ):
        if name.startswith(("TOGETHER_API", "TOGETHER_BASE", "TOGETHER_PROJECT", "OPENAI_")):
            del os.environ[name]
    with served(gateway="cold_start_wait_ms = 3000\n") as server:
        os.environ.update(ISOLATION, HOME=str(server.home))
        yield server


@pytest.fixture(scope="session")
def modules():
    """The folder of the packages of Node's lock file, installed once."""
    installed = NODE / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (NODE / "package-lock.json").stat().st_mtime:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=NODE, check=True, timeout=600)
        installed.touch()
    return NODE / "node_modules"


@pytest.fixture(scope="session")
def hardware(dedi):
    return dedi.hardware_for(MODEL)


@pytest.fixture(scope="session")
def started(dedi, hardware):
    """A started endpoint that every test may ask and none may change."""
    endpoint = dedi.create(hardware, display_name="shared", inactive_timeout=0)
    return dedi.until_state(endpoint["id"], "STARTED")


@pytest.fixture(scope="module")
def embedder(dedi):
    """A started endpoint of a real model that makes vectors."""
    folder = dedi.data_dir / "models" / EMBEDDING_MODEL
    minilm.write(folder / "minilm.gguf")
    made = dedi.create(dedi.hardware_for(EMBEDDING_MODEL), model=EMBEDDING_MODEL)
    yield dedi.until_state(made["id"], "STARTED")
    dedi.request("DELETE", f"/endpoints/{made['id']}")
    dedi.until_gone(made["id"])
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def rough_dedi(dedi):
    """A second server, whose engines fail when they are told to."""
    with rough.rough_server() as server:
        yield server


@pytest.fixture
def mortal(rough_dedi):
    """An endpoint with ten tokens a second, and what kills its engine."""
    with rough.endpoint(rough_dedi, "slow-tokens.100") as made:
        yield made, rough.killer(rough_dedi, made)


@pytest.fixture
def cold(rough_dedi):
    """A started endpoint without a replica, which gets none in time."""
    with rough.cold(rough_dedi) as made:
        yield made


@pytest.fixture
def full(rough_dedi):
    """An endpoint whose one place is taken."""
    with rough.full(rough_dedi) as made:
        yield made


@pytest.fixture
def own(dedi, hardware):
    """Makes endpoints of this test's own, created stopped unless it says otherwise; gone afterwards."""
    made = []

    def make(**more):
        endpoint = dedi.create(hardware, **{"state": "STOPPED", **more})
        made.append(endpoint["id"])
        return endpoint

    yield make
    for endpoint_id in made:
        dedi.request("DELETE", f"/endpoints/{endpoint_id}")
    for endpoint_id in made:
        dedi.until_gone(endpoint_id)


@pytest.fixture
def sweep(dedi):
    """Removes what a test created through its own client."""
    before = {it["id"] for it in dedi.request("GET", "/endpoints")[1]["data"]}
    yield
    after = {it["id"] for it in dedi.request("GET", "/endpoints")[1]["data"]}
    for endpoint_id in after - before:
        if dedi.request("GET", f"/endpoints/{endpoint_id}")[1].get("display_name") != "shared":
            dedi.request("DELETE", f"/endpoints/{endpoint_id}")
            dedi.until_gone(endpoint_id)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of the server's log."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and "dedi" in getattr(item, "funcargs", {}):
        report.sections.append(("server log", item.funcargs["dedi"].tail()))
