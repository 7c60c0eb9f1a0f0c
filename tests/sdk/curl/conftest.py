import json
import subprocess

import pytest


@pytest.fixture(scope="session")
def shell(dedi):
    """Runs one curl command line: (status, headers, body). `$BASE`, `$TOGETHER_API_KEY` and what is given by name
    are variables of its shell."""

    def run(line, key=None, **variables):
        env = dedi.env(BASE=dedi.base_url, TOGETHER_API_KEY=key or dedi.key, **variables)
        line = line.strip() + " -sS --noproxy '*' -D /dev/stderr -w '\\n%{http_code}'"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, env=env)
        assert done.returncode == 0, done.stderr
        body, status = done.stdout.rsplit("\n", 1)
        pairs = (it.split(": ", 1) for it in done.stderr.splitlines() if ": " in it)
        headers = {name.lower(): value.strip() for name, value in pairs}
        return int(status), headers, json.loads(body) if body else None

    return run
