import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import together
from asks import V1
from harness import served


@pytest.fixture(scope="session")
def client(dedi):
    return together.Together(api_key=dedi.key, base_url=dedi.base_url, max_retries=0)


@pytest.fixture(scope="session")
def asks(client, started):
    return V1(client, started["id"])


@pytest.fixture
def rough_asks(rough_dedi):
    """Asks the server whose engines fail, once."""
    client = together.Together(api_key=rough_dedi.key, base_url=rough_dedi.base_url, max_retries=0)
    return lambda endpoint: V1(client, endpoint["id"])


class Cli:
    """The `together` program of this environment."""

    def __init__(self, dedi):
        self.dedi = dedi
        self.program = Path(sys.executable).parent / "together"

    def run(self, *args, code=0, env=None):
        """(stdout, stderr); the exit code must be `code`."""
        done = subprocess.run(
            [self.program, *args],
            capture_output=True,
            text=True,
            timeout=150,
            stdin=subprocess.DEVNULL,
            env={**self.dedi.client_env(), **(env or {})},
        )
        said = f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said
        assert "Traceback" not in done.stdout + done.stderr, said
        return done.stdout, done.stderr

    def __call__(self, *args, **more):
        return self.run("endpoints", *args, **more)


@pytest.fixture(scope="session")
def cli(dedi):
    return Cli(dedi)


@pytest.fixture(scope="session")
def gpu_cli(tmp_path_factory):
    """The same against a host with GPUs, which this command line's `create` must name. They are pretended."""
    library = Path(os.environ["DEDI_BIN"]).with_name("libdedi_fake_nvml.so")
    gpus = [
        {"uuid": "GPU-0", "name": "NVIDIA L40", "memory_mib": 46068},
        {"uuid": "GPU-1", "name": "NVIDIA H200", "memory_mib": 143771},
    ]
    file = tmp_path_factory.mktemp("nvml") / "gpus"
    file.write_text(json.dumps({"gpus": gpus}))
    # What runs on them is an engine without a model, which needs no GPU.
    engine = Path(os.environ["DEDI_BIN"]).with_name("dedi-fake-engine")
    hardware = f'[runtime.hardware]\nnvml_library = "{library}"\n'
    with served(hardware, engine=engine, DEDI_FAKE_NVML=str(file)) as server:
        yield Cli(server)
