"""Schemathesis against a real `dedi serve` that runs the demo model."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "sdk"))

from harness import Dedi  # noqa: E402
from helpers import MODEL  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, required=True, help="requests per operation and phase, at most")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("more", nargs="*", help="more arguments of schemathesis, after --")
    args = parser.parse_args()

    data_dir, home = tempfile.mkdtemp(prefix="dedi-"), tempfile.mkdtemp(prefix="home-")
    shutil.copy(HERE / "server.toml", Path(data_dir) / "dedi.toml")
    server = Dedi(data_dir, home, {})
    server.start()
    done = False
    try:
        code = explore(server, args)
        assert server.process.poll() is None, f"the server ended with {server.process.returncode}"
        # It lives: what the run did to it has not made it wrong.
        status, answer = server.request("GET", "/endpoints")
        assert status == 200, answer
        server.stop()
        done = True
    finally:
        if not done:
            print(server.tail())
            server.process.kill()
    shutil.rmtree(data_dir)
    shutil.rmtree(home)
    return code


def explore(server, args):
    hardware = [it["id"] for it in server.request("GET", f"/hardware?model={MODEL}")[1]["data"]]
    smallest = min(hardware, key=lambda it: int(it.split("x_")[0]))
    endpoint = server.create(smallest, inactive_timeout=0)
    server.until_state(endpoint["id"], "STARTED")
    env = server.env(
        DEDI_HOOKS=str(HERE / "hooks.py"),
        DEDI_HARDWARE=",".join(hardware),
        DEDI_ENDPOINT_ID=endpoint["id"],
        DEDI_ENDPOINT_NAME=endpoint["name"],
        DEDI_KEY_ID=server.request("GET", "/whoami")[1]["api_key_id"],
        PYTHONPATH=str(HERE),
        COLUMNS="120",
    )
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        f"--config-file={HERE / 'schemathesis.toml'}",
        "run",
        f"{server.root}/openapi.json",
        f"--header=Authorization: Bearer {server.key}",
        f"--max-examples={args.examples}",
        f"--seed={args.seed}",
        # Of texts in a path most are dropped by the generator itself, which says nothing about the server.
        "--suppress-health-check=filter_too_much",
        *args.more,
    ]
    return subprocess.run(command, env=env, cwd=server.home).returncode


if __name__ == "__main__":
    sys.exit(main())
