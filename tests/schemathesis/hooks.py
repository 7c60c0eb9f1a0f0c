"""What the document can't say about one running server: which hardware, models and zones it has, and which fields
have to agree with each other. Valid requests become ones that can succeed; nothing is taken out of the checks."""

import datetime
import hashlib
import os
import re

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

MODEL = "dedi/demo"
HARDWARE = os.environ["DEDI_HARDWARE"].split(",")
ZONES = ["zone-a", "zone-b"]
# The endpoint that answers; no request may stop or delete it.
ENDPOINT = {"id": os.environ["DEDI_ENDPOINT_ID"], "name": os.environ["DEDI_ENDPOINT_NAME"]}
KEY_ID = os.environ["DEDI_KEY_ID"]

# Long answers cost time and find nothing.
TOKENS_MAX = 8
CHOICES_MAX = 2
TOKEN_IDS = 100
INT64_MAX = 2**63 - 1
REPLICAS_MAX = 1_024


@schemathesis.hook
def before_load_schema(context, raw_schema):
    schemas = raw_schema["components"]["schemas"]
    create = schemas["CreateEndpointRequest"]["properties"]
    create["hardware"]["enum"] = HARDWARE
    create["model"]["enum"] = [MODEL]
    create["availability_zone"]["enum"] = [*ZONES, "", None]
    for name in ("ChatCompletionRequest", "CompletionRequest"):
        schemas[name]["properties"]["model"]["enum"] = list(ENDPOINT.values())
    schemas["EmbeddingsRequest"]["properties"]["model"]["enum"] = [*ENDPOINT.values(), "unknown"]
    for item in raw_schema["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "availability_zone":
                    parameter["schema"]["enum"] = [*ZONES, ""]


@schemathesis.hook
def filter_case(context, case):
    """The endpoint that answers and the key in use stay."""
    parameters = case.path_parameters or {}
    kept = case.method in ("PATCH", "DELETE") and parameters.get("endpointId") in ENDPOINT.values()
    return not kept and not (case.method == "DELETE" and parameters.get("keyId") == KEY_ID)


# Refusals that no schema can tell of: how many tokens a prompt has, what a model's template reads, whether endpoints use a model, what is being fetched.
STATES = ("context_length_exceeded", "unsupported_by_model", "model_in_use", "pull_in_progress")


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """The contract has no 409: what the state of things forbids is a 400, too."""
    by_state = response.status_code == 400 and response.json()["error"]["code"] in STATES
    return not (by_state and isinstance(failure, RejectedPositiveData))


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path in ("/v1/chat/completions", "/v1/completions") and isinstance(case.body, dict):
        shorten(case.body)
    if isinstance(case.body, dict) and isinstance(case.body.get("autoscaling"), dict):
        order(case.body["autoscaling"], whole=case.method == "POST")
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and len(key) <= 255 and re.fullmatch("[!-~]([ -~]*[!-~])?", key):
        # The same key with another body is refused.
        case.headers["Idempotency-Key"] = f"{key[:246]}-{hashlib.sha256(repr(case.body).encode()).hexdigest()[:8]}"
    is_stateful = case.meta is not None and case.meta.phase.name.value == "stateful"
    if is_stateful and isinstance(case.query, dict) and case.query.get("dry_run") in (True, "true"):
        # Only what is created has an id that leads on.
        case.query["dry_run"] = "false"
    if case.path.endswith("/logs") and isinstance(case.query, dict) and case.query.get("follow") in (True, "true"):
        # A log of a replica that runs is followed for an hour.
        case.query["follow"] = "false"
    if case.path == "/v1/usage" and isinstance(case.query, dict):
        order_period(case.query)


def order_period(query):
    """A period ends after it begins, and both before the last day that the server knows."""
    for name in ("from", "to"):
        if isinstance(query.get(name), str) and query[name].startswith("9999-12-3"):
            query[name] = query[name].replace("9999", "9998", 1)
    first, last = moment(query.get("from")), moment(query.get("to"))
    if first and last and first > last:
        query["from"], query["to"] = query["to"], query["from"]


def moment(text):
    try:
        return datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def order(bounds, whole):
    """The smaller bound is the smaller one; one alone would have to agree with the stored other."""
    low, high = bounds.get("min_replicas"), bounds.get("max_replicas")
    if in_range(low) and in_range(high) and low > high:
        bounds["min_replicas"], bounds["max_replicas"] = high, low
    elif not whole and in_range(low) and high is None:
        bounds["max_replicas"] = REPLICAS_MAX
    elif not whole and in_range(high) and low is None:
        bounds["min_replicas"] = 0


def in_range(value):
    return is_int(value) and 1 <= value <= REPLICAS_MAX


def shorten(body):
    for name, most in (("max_tokens", TOKENS_MAX), ("max_completion_tokens", TOKENS_MAX), ("n", CHOICES_MAX)):
        value = body.get(name)
        if value is None and name == "max_tokens":
            body[name] = most
        elif is_int(value) and most < value <= (128 if name == "n" else INT64_MAX):
            body[name] = most
    if isinstance(body.get("logit_bias"), dict):
        # The model has only so many tokens.
        bias = body["logit_bias"].items()
        body["logit_bias"] = {shorter_id(id): value for id, value in bias}
    shape = body.get("response_format")
    if isinstance(shape, dict) and isinstance(shape.get("pattern"), str) and not is_regex(shape["pattern"]):
        shape["pattern"] = re.escape(shape["pattern"])
    for call in calls(body):
        # A text of JSON, which no schema can tell of.
        if isinstance(call.get("arguments"), str):
            call["arguments"] = "{}"
    for name in ("tool_choice", "function_call"):
        if named_tool(body.get(name)) is not None:
            body[name] = "auto"


def calls(body):
    """The functions that a chat's messages say were called."""
    for message in body.get("messages") if isinstance(body.get("messages"), list) else []:
        listed = message.get("tool_calls") if isinstance(message, dict) else None
        for call in listed if isinstance(listed, list) else []:
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                yield call["function"]


def is_regex(text):
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def shorter_id(token):
    return str(int(token) % TOKEN_IDS) if re.fullmatch("[0-9]{1,9}", token) else token


def named_tool(choice):
    """The tool that a well-formed choice names; it would have to be one of the request's."""
    if isinstance(choice, dict):
        choice = choice.get("function", choice)
        choice = choice.get("name") if isinstance(choice, dict) else None
    return choice if isinstance(choice, str) else None


def is_int(value):
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
