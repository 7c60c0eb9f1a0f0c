import functools
import json
import subprocess

import pytest
from asks import Curl


def curl(dedi, line, key=None, is_text=False, given=None, **variables):
    """Runs one curl command line: (status, headers, body). `$BASE`, `$TOGETHER_API_KEY` and what is given by name
    are variables of its shell, `given` is its input."""
    env = dedi.env(BASE=dedi.base_url, TOGETHER_API_KEY=key or dedi.key, **variables)
    line = line.strip() + " -sS --noproxy '*' -D /dev/stderr -w '\\n%{http_code}'"
    done = subprocess.run(["bash", "-c", line], input=given, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, done.stderr
    body, status = done.stdout.rsplit("\n", 1)
    pairs = (it.split(": ", 1) for it in done.stderr.splitlines() if ": " in it)
    headers = {name.lower(): value.strip() for name, value in pairs}
    if int(status) >= 400 or not is_text:
        body = json.loads(body) if body else None
    return int(status), headers, body


@pytest.fixture(scope="session")
def shell(dedi):
    return functools.partial(curl, dedi)


@pytest.fixture(scope="session")
def asks(shell, started):
    return Curl(shell, started["id"])


@pytest.fixture
def rough_asks(rough_dedi):
    """Asks the server whose engines fail."""
    return lambda endpoint: Curl(functools.partial(curl, rough_dedi), endpoint["id"])
