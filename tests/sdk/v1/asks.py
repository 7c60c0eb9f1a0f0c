"""How `together<2` asks and is refused."""

import pytest
from fields import Asks, Refusal
from together.error import TogetherException


class V1(Asks):
    lacks = frozenset({"tool_choice by name", "tool_choice none", "stop as text", "response_format text"})

    def send(self, kind, **body):
        client = self.client
        routes = {"chat": client.chat.completions, "completion": client.completions, "embedding": client.embeddings}
        answer = routes[kind].create(**body)
        if body.get("stream"):
            return [read(it) for it in answer]
        return read(answer)

    def refused(self, kind="chat", **body):
        with pytest.raises(TogetherException) as refused:
            getattr(self, kind)(**body)
        err = refused.value
        said = getattr(err, "api_response", None)
        error = said.model_dump(by_alias=True) if said else {"message": str(err)}
        headers = {name.lower(): value for name, value in dict(err.headers).items()}
        return Refusal(err.http_status, error, headers)


def read(answer):
    return answer.model_dump(mode="json")
