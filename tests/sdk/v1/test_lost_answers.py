"""The client's own repetition of a create whose answer got lost makes one endpoint. It says nothing of its being one,
so an answer that a proxy took whole is beyond what the server can know."""

import pytest
import together
from cutting import cutting
from helpers import MODEL


@pytest.mark.parametrize("how", ["at once", "unread"])
def test_a_repeated_create_makes_one_endpoint(dedi, hardware, sweep, how):
    with cutting(dedi, how) as proxy:
        client = together.Together(api_key=dedi.key, base_url=proxy.base_url, max_retries=2)
        made = client.endpoints.create(
            model=MODEL,
            hardware=hardware,
            min_replicas=1,
            max_replicas=1,
            display_name=f"lost {how}",
            state="STOPPED",
        )
        assert proxy.n_connections >= 2, "the first answer was lost"
        found = [client.endpoints.get(it.id) for it in client.endpoints.list()]
    assert [it.id for it in found if it.display_name == f"lost {how}"] == [made.id]
