import json
import subprocess
import sys
from pathlib import Path

import pytest
import together
from asks import V2


@pytest.fixture(scope="session")
def client(dedi):
    return together.Together(api_key=dedi.key, base_url=dedi.base_url)


@pytest.fixture(scope="session")
def asks(client, started):
    return V2(client, started["id"])


@pytest.fixture
def rough_asks(rough_dedi):
    """Asks the server whose engines fail, once."""
    client = together.Together(api_key=rough_dedi.key, base_url=rough_dedi.base_url, max_retries=0)
    return lambda endpoint: V2(client, endpoint["id"])


class Cli:
    """The `together` program of this environment."""

    def __init__(self, dedi):
        self.dedi = dedi
        self.program = Path(sys.executable).parent / "together"

    def run(self, *args, code=0, env=None):
        """Its stdout; the exit code must be `code`."""
        done = subprocess.run(
            [self.program, *args],
            capture_output=True,
            text=True,
            timeout=150,
            stdin=subprocess.DEVNULL,
            env={**self.dedi.client_env(), "COLUMNS": "200", **(env or {})},
        )
        said = f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said
        assert "Traceback" not in done.stdout + done.stderr, said
        return done.stdout

    def endpoints(self, *args, **more):
        return self.run("endpoints", *args, "--no-json", **more)

    def json(self, *args, **more):
        return self.whole("endpoints", *args, "--json", **more)

    def whole(self, *args, **more):
        """What a command prints, as the JSON it is."""
        return json.loads(self.run(*args, **more))


@pytest.fixture(scope="session")
def cli(dedi):
    return Cli(dedi)
