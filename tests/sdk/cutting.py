"""A proxy that loses the answer to the first request that goes through it."""

import contextlib
import socket
import threading


class CuttingProxy:
    """Forwards whole connections, but for the first: its answer is lost `how`."""

    def __init__(self, address, how):
        host, port = address.rsplit(":", 1)
        self.upstream = (host, int(port))
        self.how = how
        self.n_connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.n_connections += 1
                serve = self._lose if self.n_connections == 1 else self._carry
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    def _lose(self, client):
        with client, socket.create_connection(self.upstream) as server:
            server.sendall(whole_request(client))
            if self.how == "unread":
                server.recv(1, socket.MSG_PEEK)  # what lies unread at the close makes it a reset
            if self.how == "swallowed":
                whole_message(server)

    def _carry(self, client):
        with client, socket.create_connection(self.upstream) as server, contextlib.suppress(OSError):
            while True:
                server.sendall(whole_request(client))
                client.sendall(whole_message(server))

    def close(self):
        self.listener.close()


def whole_request(client):
    message = whole_message(client)
    if not message:
        raise ConnectionError
    return message


def whole_message(stream):
    """Head and body by the length that the head says."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = stream.recv(65536)
        if not part:
            return data
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    lengths = [it.split(b":")[1] for it in head.lower().split(b"\r\n") if it.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        part = stream.recv(65536)
        if not part:
            break
        data, missing = data + part, missing - len(part)
    return data


@contextlib.contextmanager
def cutting(dedi, how):
    proxy = CuttingProxy(dedi.root.removeprefix("http://"), how)
    try:
        yield proxy
    finally:
        proxy.close()
