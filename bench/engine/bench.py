"""Tokens per second of dedi-engine beside llama.cpp's server, in turns, so that the noise of the machine meets both.

Both answer the same requests over HTTP, greedily, with the end of the reply forbidden, so that each reply has exactly
the tokens that were asked for. Prints the median of the rounds and of their ratios. Beside them stands what llama-bench
says of the bare decoding loop: a limit, without HTTP, sampling and text. Loopback only; ends by itself.
"""

import argparse
import concurrent.futures
import http.client
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time

TOKENS = 256
END_TOKEN = 258  # dedi/demo's: tokenizer.ggml.eos_token_id in its file
ROUNDS = 7
READY_SECS_MAX = 60


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


class Server:
    def __init__(self, name, args, socket_path, env=None):
        self.name, self.path = name, socket_path
        self.process = subprocess.Popen(
            args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
        )
        deadline = time.monotonic() + READY_SECS_MAX
        while not self.is_ready():
            assert self.process.poll() is None, f"{name} ended with {self.process.returncode}"
            assert time.monotonic() < deadline, f"{name} is not ready after {READY_SECS_MAX} s"
            time.sleep(0.05)

    def is_ready(self):
        try:
            connection = Unix(self.path)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def ask(self, body):
        """Completion tokens of one reply."""
        connection = Unix(self.path)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        n_tokens = json.loads(text)["usage"]["completion_tokens"]
        assert n_tokens == body["max_tokens"], f"{self.name}: {n_tokens} tokens"
        return n_tokens

    def rate(self, n_clients, body):
        """Tokens per second over `n_clients` replies at once."""
        with concurrent.futures.ThreadPoolExecutor(n_clients) as pool:
            begun = time.monotonic()
            n_tokens = sum(pool.map(self.ask, [body] * n_clients))
            return n_tokens / (time.monotonic() - begun)

    def memory_mb(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(it.split()[1]) for it in status if it.startswith("VmRSS")) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def reference(program, model, threads):
    """Tokens per second of the bare loop, from llama-bench: (prompt, decoding)."""
    args = [program, "-m", model, "-p", "256", "-n", str(TOKENS), "-t", str(threads), "-r", "5", "-o", "json"]
    rows = json.loads(subprocess.run(args, capture_output=True, text=True, check=True, timeout=300).stdout)
    rate = lambda prompt: next(it["avg_ts"] for it in rows if (it["n_prompt"] > 0) == prompt)
    return rate(True), rate(False)


def main():
    parser = argparse.ArgumentParser()
    for name in ("engine", "peer", "reference", "model"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--end-token", type=int, default=END_TOKEN, help="the token that ends a reply")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    body = {
        "model": "dedi/demo",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "logit_bias": {str(args.end_token): -100},
    }
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "e.sock"), os.path.join(folder, "p.sock")
        threads = ["--threads", str(args.threads)]
        engine = Server("dedi-engine", [args.engine, "serve", "--model", args.model, "--socket", ours, "--slots", "8", "--context", "1024", *threads], ours)
        peer = Server("llama-server", [args.peer, "-m", args.model, "--host", theirs, "-np", "8", "-c", "8192", "--jinja", *threads], theirs)
        try:
            for n_clients in (1, 8):
                rates = {engine: [], peer: []}
                for round_ in range(ROUNDS + 1):
                    for server in (engine, peer) if round_ % 2 else (peer, engine):
                        rate = server.rate(n_clients, body)
                        if round_:
                            rates[server].append(rate)  # the first is a warm-up
                ratio = statistics.median(a / b for a, b in zip(rates[engine], rates[peer]))
                said = ", ".join(f"{it.name} {statistics.median(rates[it]):.0f} tok/s" for it in (engine, peer))
                print(f"{n_clients} at once: {said}; ratio {ratio:.2f}")
            print(f"memory: dedi-engine {engine.memory_mb():.0f} MB, llama-server {peer.memory_mb():.0f} MB")
        finally:
            engine.stop()
            peer.stop()
    prompt, decoding = reference(args.reference, args.model, args.threads)
    print(f"llama-bench, the bare loop: prompt {prompt:.0f} tok/s, decoding {decoding:.0f} tok/s")


main()
