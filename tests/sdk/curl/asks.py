"""How curl asks: what goes over the wire, without a client's reading of it."""

import json

from fields import Asks, Refusal

ROUTES = {"chat": "chat/completions", "completion": "completions", "embedding": "embeddings"}
HEADERS = '-H "Authorization: Bearer $TOGETHER_API_KEY" -H "Content-Type: application/json"'


class Curl(Asks):
    """`client` is the fixture `shell`, or one like it."""

    def send(self, kind, **body):
        status, headers, answer = self.ask(kind, body)
        assert status == 200, answer
        if not body.get("stream"):
            return answer
        assert headers["content-type"].startswith("text/event-stream")
        return events(answer)

    def ask(self, kind, body):
        line = f'curl -X POST "$BASE/{ROUTES[kind]}" {HEADERS} -N --data-binary @-'
        return self.client(line, given=json.dumps(body), is_text=bool(body.get("stream")))

    def refused(self, kind="chat", **body):
        asked = {"model": self.model, "messages": [{"role": "user", "content": "Hello!"}], **body}
        status, headers, answer = self.ask(kind, asked)
        assert status >= 400, answer
        return Refusal(status, answer["error"], headers)


def events(text):
    """The chunks of a stream that ended well."""
    found = [it for it in text.split("\n\n") if it.strip() and not it.startswith(":")]
    assert all(it.startswith("data: ") and "\n" not in it for it in found), found
    assert found[-1] == "data: [DONE]"
    return [json.loads(it.removeprefix("data: ")) for it in found[:-1]]
