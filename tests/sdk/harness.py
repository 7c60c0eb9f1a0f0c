"""A real `dedi serve` with the real engine and the demo model, and the few requests the suites make beside their
clients."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from helpers import MODEL, STATE_SECS_MAX

READY_SECS_MAX = 60

# What keeps the clients from talking to anything but the server under test.
ISOLATION = {
    "NO_COLOR": "1",
    "NO_PROXY": "*",
    "TERM": "dumb",
    "TOGETHER_DISABLE_VERSION_CHECK": "1",
    "TOGETHER_NO_BANNER": "1",
    "TOGETHER_TELEMETRY_DISABLED": "1",
}


class Dedi:
    """The server under test, and the few requests the harness itself makes."""

    def __init__(self, data_dir, home, world):
        self.data_dir = Path(data_dir)
        self.home = Path(home)
        self.world = world
        self.program = Path(os.environ["DEDI_BIN"])
        self.log = self.data_dir / "server.log"
        self.process = None

    @property
    def root(self):
        return f"http://{(self.data_dir / 'address').read_text().strip()}"

    @property
    def base_url(self):
        return f"{self.root}/v1"

    @property
    def key(self):
        return (self.data_dir / "admin.key").read_text().strip()

    def start(self):
        args = [self.program, "serve", "--data-dir", self.data_dir, "--listen", "127.0.0.1:0"]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env(**self.world))
        self._until(READY_SECS_MAX, "the server is ready", self._ready)

    def _ready(self):
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}: {self.tail()}"
        try:
            with self._open(f"{self.root}/readyz") as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self):
        """Ends everything; what is still there afterwards is a failure."""
        done = subprocess.run(
            [self.program, "down", "--data-dir", self.data_dir], capture_output=True, text=True, timeout=90, env=self.env()
        )
        self.process.wait(30)
        assert done.returncode == 0, done.stderr
        left = processes_that_name(str(self.data_dir))
        assert not left, f"these processes are left: {left}"

    def tail(self, n_lines=40):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-n_lines:])

    def env(self, **more):
        """The whole environment of a client process: nothing of the caller's settings or credentials."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        return {**kept, **ISOLATION, "HOME": str(self.home), **more}

    def client_env(self):
        return self.env(TOGETHER_BASE_URL=self.base_url, TOGETHER_API_KEY=self.key)

    def request(self, method, path, body=None, key=None):
        """(status, parsed body) of one request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.base_url}{path}", data=data, method=method, headers=headers)
        try:
            with self._open(request) as answer:
                return answer.status, parsed(answer.read())
        except urllib.error.HTTPError as err:
            return err.code, parsed(err.read())

    @staticmethod
    def _open(request):
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return direct.open(request, timeout=30)

    @staticmethod
    def _until(secs_max, what, holds):
        deadline = time.monotonic() + secs_max
        while not holds():
            assert time.monotonic() < deadline, f"after {secs_max} s still not so: {what}"
            time.sleep(0.1)

    def until(self, what, holds):
        """Waits for what takes as long as a change of state."""
        self._until(STATE_SECS_MAX, what, holds)

    def until_state(self, endpoint_id, state):
        """Waits for a state; an ERROR on the way is the end."""
        seen = {}

        def there():
            seen.update(self.request("GET", f"/endpoints/{endpoint_id}")[1])
            assert seen["state"] == state or seen["state"] != "ERROR", seen
            return seen["state"] == state

        try:
            self._until(STATE_SECS_MAX, f"{endpoint_id} is {state}", there)
        except AssertionError as err:
            raise AssertionError(f"{err}; last seen: {seen}") from None
        return seen

    def until_gone(self, endpoint_id):
        self._until(STATE_SECS_MAX, f"{endpoint_id} is gone", lambda: self.request("GET", f"/endpoints/{endpoint_id}")[0] == 404)

    def kinds(self, hardware):
        """Every configuration of the same kind of device."""
        kind = hardware.split("x_", 1)[1]
        return [it for it in self.request("GET", "/hardware")[1]["data"] if it["id"].split("x_", 1)[1] == kind]

    def hardware_for(self, model):
        """The smallest CPU hardware that the model fits on."""
        status, answer = self.request("GET", f"/hardware?model={model}")
        assert status == 200, answer
        found = [it for it in answer["data"] if "x_cpu_" in it["id"]]
        assert found, f"no CPU hardware for {model}: {answer}"
        return min(found, key=lambda it: it["specs"]["gpu_count"])["id"]

    def create(self, hardware, **more):
        body = {"model": MODEL, "hardware": hardware, "autoscaling": {"min_replicas": 1, "max_replicas": 1}, **more}
        status, endpoint = self.request("POST", "/endpoints", body)
        assert status == 200, endpoint
        return endpoint


def parsed(text):
    return json.loads(text) if text else None


def processes_that_name(text):
    """Command lines of living processes that contain the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            args = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            place = os.readlink(entry / "cwd")
        except OSError:
            continue  # gone, or another user's
        if int(entry.name) != os.getpid() and (text in args or text in place):
            found.append(f"{entry.name}: {args.strip() or place}")
    return found


@contextlib.contextmanager
def served(config="", engine=None, gateway="", **world):
    """A server on a folder of its own, gone afterwards with everything it started. `gateway` are more lines of that
    table, `world` goes into its environment."""
    # A short path: sockets lie below it.
    data_dir = tempfile.mkdtemp(prefix="dedi-")
    home = tempfile.mkdtemp(prefix="home-")
    # The suites send more wrong keys a minute than anybody should be let.
    patient = f"[gateway]\nkey_failures_per_minute_max = 10000\n{gateway}"
    program = f'engine = "{engine}"\n' if engine else ""
    (Path(data_dir) / "dedi.toml").write_text(program + patient + config)
    server = Dedi(data_dir, home, world)
    server.start()
    try:
        yield server
    finally:
        try:
            server.stop()
        except BaseException:
            print(server.tail())
            server.process.kill()
            raise
        finally:
            shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(data_dir, ignore_errors=True)
