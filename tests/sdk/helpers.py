"""What suites share beside the fixtures."""

import time

MODEL = "dedi/demo"
# Written by `minilm`.
EMBEDDING_MODEL = "tests/minilm"
STATE_SECS_MAX = 120
# What no endpoint has as its id.
UNKNOWN = "endpoint-00000000-0000-4000-8000-000000000000"
# What no server knows.
WRONG_KEY = "dedi_wrong"


def eventually_state(retrieve, endpoint_id, state):
    """Polls with the client under test until the endpoint is in the state."""
    deadline = time.monotonic() + STATE_SECS_MAX
    while True:
        endpoint = retrieve(endpoint_id)
        if endpoint.state == state:
            return endpoint
        assert endpoint.state != "ERROR", endpoint
        assert time.monotonic() < deadline, f"{endpoint_id} is still {endpoint.state}, not {state}"
        time.sleep(0.2)
