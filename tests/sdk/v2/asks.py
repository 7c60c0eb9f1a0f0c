"""How `together>=2,<3` asks and is refused."""

import inspect

import pytest
import together
from fields import Asks, Refusal


class V2(Asks):
    def send(self, kind, **body):
        create = self.route(kind)
        known = inspect.signature(create).parameters
        extra = {name: body.pop(name) for name in list(body) if name not in known}
        answer = create(**body, extra_body=extra or None)
        if body.get("stream"):
            return [read(it) for it in answer]
        return read(answer)

    def route(self, kind):
        client = self.client
        routes = {"chat": client.chat.completions, "completion": client.completions, "embedding": client.embeddings}
        return routes[kind].create

    def refused(self, kind="chat", **body):
        with pytest.raises(together.APIStatusError) as refused:
            getattr(self, kind)(**body)
        error = refused.value.body["error"]
        return Refusal(refused.value.status_code, error, refused.value.response.headers)


def read(answer):
    return answer.to_dict(mode="json", warnings=False)
