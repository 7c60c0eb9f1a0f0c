"""What every field of inference does, whichever client sends it.

A suite gives its client as `Asks`: bodies go in as keywords, answers come out as the dictionaries that the client read
them into. Sampling is greedy unless a check says otherwise, so texts can be compared.
"""

import json
from dataclasses import dataclass, field

HELLO = [{"role": "user", "content": "Hello!"}]
GREETING = "Hello! How can I help you?"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "clock", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}},
}
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "word": {"type": "string", "enum": ["red", "blue"]}},
    "required": ["ok", "word"],
    "additionalProperties": False,
}
# The demo model has one token for each byte: a character's number is its token's.
H, BRACE = str(ord("H")), str(ord("}"))
CALL_TOKENS_MAX = 160


@dataclass
class Refusal:
    status: int
    error: dict
    headers: dict = field(default_factory=dict)


class Asks:
    """One client and the model it asks. Suites say how a body is sent and what a refusal looks like."""

    # Forms of a field that the client's own types refuse: `tool_choice by name`, `tool_choice none`, `stop as text`,
    # `response_format text`.
    lacks = frozenset()

    def __init__(self, client, model):
        self.client, self.model = client, model

    def chat(self, **body):
        return self.send("chat", **{"model": self.model, "messages": HELLO, "temperature": 0, **body})

    def stream(self, **body):
        return self.chat(**body, stream=True)

    def completion(self, **body):
        return self.send("completion", **{"model": self.model, "prompt": "Once", "temperature": 0, **body})

    def completion_stream(self, **body):
        return self.completion(**body, stream=True)

    def send(self, kind, **body):
        """The answer as a dictionary; of a stream, a list of them."""
        raise NotImplementedError

    def refused(self, kind="chat", **body):
        """The `Refusal` of what must be refused."""
        raise NotImplementedError


def text_of(answer, index=0):
    return answer["choices"][index]["message"]["content"]


def joined(chunks, index=0):
    """The text of one choice of a stream."""
    choices = [it for chunk in chunks for it in chunk["choices"] if it["index"] == index]
    return "".join(it["delta"].get("content") or "" for it in choices)


def finish_of(chunks):
    found = [it["finish_reason"] for chunk in chunks for it in chunk["choices"] if it["finish_reason"]]
    assert len(found) == 1, found
    return found[0]


# Tools


def is_a_call(call, name=None):
    """A call as clients read it, with arguments that fit what the function takes."""
    assert call["id"] and call["type"] == "function" and call["index"] == 0, call
    function = call["function"]
    assert function["name"] == (name or function["name"]) in ("weather", "clock")
    arguments = json.loads(function["arguments"])
    if function["name"] == "clock":
        assert arguments == {}
    else:
        assert list(arguments) == ["city"] and arguments["city"] in ("Rome", "Oslo")


def tools(asks, choice, name=None):
    """A choice that demands a call gets one and nothing else."""
    answer = asks.chat(tools=[WEATHER, CLOCK], tool_choice=choice, max_tokens=CALL_TOKENS_MAX)["choices"][0]
    assert answer["finish_reason"] == "tool_calls", answer
    (call,) = answer["message"]["tool_calls"]
    is_a_call(call, name)
    assert not answer["message"]["content"]


def tools_left_to_the_model(asks):
    """`auto` tells the model of its tools and leaves it the choice: this one greets."""
    answer = asks.chat(tools=[WEATHER, CLOCK], tool_choice="auto", max_tokens=CALL_TOKENS_MAX)
    bare = asks.chat(max_tokens=CALL_TOKENS_MAX)
    assert text_of(answer) == text_of(bare) == GREETING and answer["choices"][0]["finish_reason"] == "stop"
    assert not answer["choices"][0]["message"].get("tool_calls")
    assert answer["usage"]["prompt_tokens"] > bare["usage"]["prompt_tokens"] + 50, "the model reads of its tools"


def tools_forbidden(asks):
    answer = asks.chat(tools=[WEATHER, CLOCK], tool_choice="none", max_tokens=CALL_TOKENS_MAX)
    assert text_of(answer) == GREETING and not answer["choices"][0]["message"].get("tool_calls")


def tools_streamed(asks, choice="required", name=None):
    """Fragments that make one call, strings all of them; no text beside it."""
    chunks = asks.stream(tools=[WEATHER, CLOCK], tool_choice=choice, max_tokens=CALL_TOKENS_MAX)
    assert finish_of(chunks) == "tool_calls" and joined(chunks) == ""
    deltas = [it["choices"][0]["delta"] for it in chunks]
    parts = [part for it in deltas for part in it.get("tool_calls") or []]
    assert parts and {it["index"] for it in parts} == {0}
    whole = {
        "index": 0,
        "type": "function",
        "id": "".join(it.get("id") or "" for it in parts),
        "function": {
            word: "".join(it["function"].get(word) or "" for it in parts) for word in ("name", "arguments")
        },
    }
    is_a_call(whole, name)


def a_tools_result_is_read(asks):
    """A conversation with a call and its result is taken, and the model reads both."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}
    asked = [
        {"role": "user", "content": "What is the weather in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    result = {"role": "tool", "tool_call_id": "call_1", "content": "rain " * 20}
    answer = asks.chat(messages=[*asked, result], tools=[WEATHER], max_tokens=8)
    other = asks.chat(messages=[*asked, {**result, "content": "rain"}], tools=[WEATHER], max_tokens=8)
    assert text_of(answer)
    assert answer["usage"]["prompt_tokens"] >= other["usage"]["prompt_tokens"] + 90


def a_tool_that_is_not_there(asks, choice):
    refusal = asks.refused(tools=[WEATHER, CLOCK], tool_choice=choice)
    assert refusal.status == 400 and refusal.error["param"].startswith("tool_choice")
    assert "nothing" in refusal.error["message"]


# Sampling


def several_choices(asks):
    asked = {"n": 3, "max_tokens": 24, "temperature": 3, "seed": 5}
    answer = asks.chat(**asked)
    assert sorted(it["index"] for it in answer["choices"]) == [0, 1, 2]
    assert all(it["message"]["content"] and it["finish_reason"] for it in answer["choices"])
    assert len({text_of(answer, n) for n in range(3)}) == 3, "each choice is its own"
    chunks = asks.stream(**asked)
    assert {it["index"] for chunk in chunks for it in chunk["choices"]} == {0, 1, 2}
    ends = [it["index"] for chunk in chunks for it in chunk["choices"] if it["finish_reason"]]
    assert sorted(ends) == [0, 1, 2]
    (usage,) = [it["usage"] for it in chunks if it["usage"]]
    assert usage["completion_tokens"] > 3


def as_many_choices_as_the_contract_has(asks):
    answer = asks.chat(n=128, max_tokens=1)
    assert sorted(it["index"] for it in answer["choices"]) == list(range(128))
    for n in (0, 129):
        refusal = asks.refused(n=n)
        assert (refusal.status, refusal.error["param"]) == (400, "n")


def stops(asks, *stops):
    """The text ends before the first stop, whole and streamed."""
    for stop in stops:
        answer = asks.chat(stop=stop)
        words = [stop] if isinstance(stop, str) else stop
        expected = min((GREETING.split(it)[0] for it in words), key=len)
        assert (text_of(answer), answer["choices"][0]["finish_reason"]) == (expected, "stop")
        chunks = asks.stream(stop=stop)
        assert (joined(chunks), finish_of(chunks)) == (expected, "stop")
    paris = {"prompt": "The capital of France is", "stop": ["Q", "s"], "max_tokens": 16}
    choice = asks.completion(**paris)["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (" Pari", "stop")
    assert joined(asks.completion_stream(**paris)) == " Pari"


def a_seed_repeats_its_text(asks):
    hot = {"temperature": 2, "max_tokens": 16}
    texts = {seed: text_of(asks.chat(**hot, seed=seed)) for seed in (1, 2, 3)}
    assert all(text_of(asks.chat(**hot, seed=seed)) == text for seed, text in texts.items())
    assert all(joined(asks.stream(**hot, seed=seed)) == text for seed, text in texts.items())
    assert len(set(texts.values())) > 1, "the seed is what decides"
    assert asks.chat(**hot, seed=1)["choices"][0]["seed"] == 1


def penalties(asks, *names):
    """Only `a` and `b` may come, and `a` always wins, until what was said already counts against it."""
    only = {"logit_bias": {str(ord("a")): 90, str(ord("b")): 86.5}, "max_tokens": 8}
    assert text_of(asks.chat(**only)) == "aaaaaaaa"
    for name, value in (("presence_penalty", 2), ("frequency_penalty", 2), ("repetition_penalty", 1.1)):
        if name not in names:
            continue
        text = text_of(asks.chat(**only, **{name: value}))
        assert set(text) == {"a", "b"}, (name, text)
        refusal = asks.refused(**{name: 11})
        assert (refusal.status, refusal.error["param"]) == (400, name)


def a_banned_token(asks):
    assert "H" in text_of(asks.chat(max_tokens=24))
    bare = text_of(asks.chat(logit_bias={H: -100}, max_tokens=24))
    assert bare and "H" not in bare
    refusal = asks.refused(logit_bias={H: -1000})
    assert refusal.status == 400 and refusal.error["param"].startswith("logit_bias")


# Forms of the answer


def fits(text):
    value = json.loads(text)
    assert set(value) == {"ok", "word"} and isinstance(value["ok"], bool) and value["word"] in ("red", "blue")


def form(asks, response_format):
    """Whole and streamed, an answer in this form is JSON that fits the schema."""
    answer = asks.chat(response_format=response_format, max_tokens=64)
    fits(text_of(answer))
    chunks = asks.stream(response_format=response_format, max_tokens=64)
    fits(joined(chunks))
    assert finish_of(chunks) == answer["choices"][0]["finish_reason"] == "stop"


FORMS_OF_A_SCHEMA = {
    "json_schema": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}},
    "schema beside json_schema": {"type": "json_schema", "schema": SCHEMA},
    "schema beside json_object": {"type": "json_object", "schema": SCHEMA},
}


def form_text(asks):
    assert text_of(asks.chat(response_format={"type": "text"})) == GREETING


def form_object(asks):
    """Any object. Drawn to its end, or the demo model would write one until its context is full."""
    answer = asks.chat(response_format={"type": "json_object"}, logit_bias={BRACE: 100}, max_tokens=64)
    assert isinstance(json.loads(text_of(answer)), dict)


def form_pattern(asks):
    answer = asks.chat(response_format={"type": "regex", "pattern": "(north|south)-[0-9]{2}"}, max_tokens=16)
    head, digits = text_of(answer).split("-")
    assert head in ("north", "south") and len(digits) == 2 and digits.isdigit()


def form_unknown(asks):
    refusal = asks.refused(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": 7}}})
    assert refusal.status == 400 and refusal.error["type"] == "invalid_request_error"


# Log probabilities


def numbers(values, n):
    assert len(values) == n and all(isinstance(it, float) and it <= 0 for it in values), values
    assert any(it < 0 for it in values)


def logprobs(asks, wanted=1):
    """One number for each token of a whole answer, and the same numbers in its stream."""
    asked = {"max_tokens": 6, "logprobs": wanted}
    answer = asks.chat(**asked)
    lists, n = answer["choices"][0]["logprobs"], answer["usage"]["completion_tokens"]
    assert n == 6 and "".join(lists["tokens"]) == text_of(answer) == GREETING[:6]
    numbers(lists["token_logprobs"], n)
    assert lists["token_ids"] == [ord(it) for it in text_of(answer)]
    chunks = asks.stream(**asked)
    streamed_numbers(chunks, n)
    assert asks.chat(max_tokens=2)["choices"][0]["logprobs"] is None


def streamed_numbers(chunks, n):
    """Each chunk with text has the number of its token, and no other chunk has one."""
    choices = [it["choices"][0] for it in chunks]
    numbers([it["logprobs"] for it in choices if it["delta"].get("content")], n)
    assert all(it["logprobs"] is None for it in choices if not it["delta"].get("content"))


def candidates(asks):
    """As many candidates at each place as were asked for, whatever the route; the chosen one among them."""
    lists = asks.chat(max_tokens=3, logprobs=4)["choices"][0]["logprobs"]
    for n, token in enumerate(lists["tokens"]):
        at = lists["top_logprobs"][str(n)]
        assert len(at) == 4 and at[token] == lists["token_logprobs"][n] == max(at.values())
    completion_logprobs(asks)
    refusal = asks.refused(logprobs=21)
    assert (refusal.status, refusal.error["param"]) == (400, "logprobs")


def completion_logprobs(asks):
    answer = asks.completion(prompt="The capital of France is", max_tokens=3, logprobs=2)
    numbers(answer["choices"][0]["logprobs"]["token_logprobs"], answer["usage"]["completion_tokens"])
    chunks = asks.completion_stream(prompt="The capital of France is", max_tokens=3, logprobs=2)
    found = [it["choices"][0]["logprobs"] for it in chunks]
    assert all(it is None or it <= 0 for it in found) and any(it is not None for it in found)


# Length, parts


def longer_than_the_context(asks):
    """More tokens than the context has room for: refused, or as many as fit when that was asked for."""
    asked = {"max_tokens": 1_000_000, "stop": ["!"]}
    for more in ({}, {"context_length_exceeded_behavior": "error"}):
        refusal = asks.refused(**asked, **more)
        assert refusal.status == 400 and "context" in refusal.error["message"], refusal
    answer = asks.chat(**asked, context_length_exceeded_behavior="truncate")
    assert text_of(answer) == "Hello"
    long = [{"role": "user", "content": "word " * 20_000}]
    refusal = asks.refused(messages=long, context_length_exceeded_behavior="truncate")
    assert refusal.error["code"] == "context_length_exceeded", "a prompt is never cut"


def too_long_a_prompt(asks):
    refusal = asks.refused(messages=[{"role": "user", "content": "word " * 20_000}])
    assert refusal.status == 400 and refusal.error["code"] == "context_length_exceeded"
    assert refusal.error["type"] == "invalid_request_error" and "tokens" in refusal.error["message"]


def no_messages(asks):
    refusal = asks.refused(messages=[])
    assert (refusal.status, refusal.error["type"]) == (400, "invalid_request_error")
    assert refusal.error["param"] == "messages"


def parts(asks):
    """Text in parts is one text; a part that no model here can take is refused by its place."""
    said = {"role": "user", "content": [{"type": "text", "text": "Hello!"}]}
    assert text_of(asks.chat(messages=[said])) == GREETING
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    refusal = asks.refused(messages=[{"role": "user", "content": [*said["content"], image]}])
    assert (refusal.status, refusal.error["param"]) == (400, "messages[0].content[1]")
    assert "image" in refusal.error["message"]


def what_can_not_be_honoured(asks, values):
    """A field that would change the answer, and can't, is refused by name and not skipped."""
    for name, value in values.items():
        refusal = asks.refused(**{name: value})
        assert refusal.status == 400 and f"`{name}" in refusal.error["message"], (name, refusal)


CAN_NOT_BE_HONOURED = {
    "safety_model": "guard",
    "compliance": "hipaa",
    "reasoning_effort": "low",
    "reasoning": {"enabled": True},
    "chat_template_kwargs": {"mood": 1},
}


# Embeddings


def vectors(asks):
    """Vectors of a real model: in the order of the texts, alike where the texts are."""
    answer = asks.send("embedding", model=asks.model, input=["A cat sleeps.", "A kitten naps.", "Stocks fell."])
    assert answer["object"] == "list" and [it["index"] for it in answer["data"]] == [0, 1, 2]
    assert answer["model"] == asks.model
    cat, kitten, stocks = (it["embedding"] for it in answer["data"])
    assert len(cat) == len(kitten) == len(stocks) == 384
    likeness = lambda one, other: sum(a * b for a, b in zip(one, other))
    assert abs(likeness(cat, cat) - 1) < 1e-3
    assert likeness(cat, kitten) > 0.5 > likeness(cat, stocks)
    alone = asks.send("embedding", model=asks.model, input="A cat sleeps.")["data"]
    assert len(alone) == 1 and likeness(alone[0]["embedding"], cat) > 0.999


# Trouble


def a_full_endpoint(asks):
    """Its one place is taken: 429, and when to come back."""
    refusal = asks.refused()
    assert refusal.status == 429 and "limit" in refusal.error["message"]
    assert refusal.headers["retry-after-ms"] == "1000" and refusal.headers["retry-after"] == "1"


def a_cold_endpoint(asks, has_body=True):
    """It sleeps and does not wake in time: 503, and when to come back."""
    refusal = asks.refused()
    assert refusal.status == 503
    assert not has_body or "no replica is ready yet" in refusal.error["message"]
    assert int(refusal.headers["retry-after-ms"]) > 0 and int(refusal.headers["retry-after"]) > 0


def too_long_a_body(asks):
    refusal = asks.refused(messages=[{"role": "user", "content": "x" * 200_000}])
    assert refusal.status == 413 and "bytes" in refusal.error["message"]
