import subprocess
import sys
from pathlib import Path

import pytest
import together


@pytest.fixture(scope="session")
def client(dedi):
    return together.Together(api_key=dedi.key, base_url=dedi.base_url, max_retries=0)


@pytest.fixture(scope="session")
def cli(dedi):
    """Runs the `together` program of this environment: (stdout, stderr)."""
    program = Path(sys.executable).parent / "together"

    def run(*args, code=0, env=None):
        done = subprocess.run(
            [program, "endpoints", *args],
            capture_output=True,
            text=True,
            timeout=150,
            stdin=subprocess.DEVNULL,
            env={**dedi.client_env(), **(env or {})},
        )
        said = f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code, said
        assert "Traceback" not in done.stderr, said
        return done.stdout, done.stderr

    return run
