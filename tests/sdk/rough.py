"""A server whose engines misbehave as their models' names say: how clients live through what goes wrong."""

import contextlib
import json
import os
import shutil
import signal
import threading
import urllib.request
from pathlib import Path

from harness import processes_that_name, served

DEMO = Path(__file__).parents[2] / "models/dedi/demo/demo.gguf"
# Small bounds, so that each is met at once.
GATEWAY = "requests_per_endpoint_max = 1\ncold_start_wait_ms = 300\nbody_bytes_max = 100000\n"


@contextlib.contextmanager
def rough_server():
    engine = Path(os.environ["DEDI_BIN"]).with_name("dedi-fake-engine")
    assert engine.exists(), f"there is no {engine}; `make build-test` builds it"
    with served("[control]\nscale_down_delay_secs = 1\ndrain_timeout_secs = 1\n[runtime]\nstop_grace_secs = 1\n", engine=engine, gateway=GATEWAY) as server:
        yield server


@contextlib.contextmanager
def endpoint(server, mode, n_replicas_min=1):
    """An endpoint whose engine behaves like this, gone afterwards. One that must have a replica has it."""
    folder = server.data_dir / "models/fake" / mode
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(DEMO, folder / "model.gguf")
    hardware = server.hardware_for("dedi/demo")
    replicas = {"min_replicas": n_replicas_min, "max_replicas": 1}
    made = server.create(hardware, model=f"fake/{mode}", autoscaling=replicas)
    try:
        yield server.until_state(made["id"], "STARTED")
    finally:
        server.request("DELETE", f"/endpoints/{made['id']}")
        server.until_gone(made["id"])


@contextlib.contextmanager
def cold(server):
    """A started endpoint that sleeps at zero replicas and takes longer to wake than anybody may wait."""
    with endpoint(server, "slow-load.3000", n_replicas_min=0) as made:
        path = f"/endpoints/{made['id']}"
        server.until("it sleeps", lambda: server.request("GET", path)[1]["status"]["ready_replicas"] == 0)
        assert server.request("GET", path)[1]["state"] == "STARTED"
        yield made


def engine_pid(server, endpoint):
    """The process of the endpoint's one engine."""
    name = f"--model-name {endpoint['model']} "
    found = [it for it in processes_that_name(str(server.data_dir)) if "dedi-fake-engine serve" in it and name in it]
    assert len(found) == 1, found
    return int(found[0].split(":")[0])


def killer(server, endpoint):
    """Kills the engine that the endpoint has now; the second time it does nothing."""
    pid = engine_pid(server, endpoint)

    def kill():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    return kill


@contextlib.contextmanager
def full(server):
    """An endpoint whose one place is taken by a stream that goes on until the end of the test."""
    with endpoint(server, "slow-tokens.100") as made:
        body = {"model": made["id"], "messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 1000}
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{server.base_url}/chat/completions", json.dumps(body).encode(), headers)
        stream = server._open(request)
        stream.readline()
        reader = threading.Thread(target=drain, args=(stream,), daemon=True)
        reader.start()
        yield made
    reader.join(30)


def drain(stream):
    with contextlib.suppress(Exception):  # it ends with its endpoint, in whatever way
        while stream.readline():
            pass
