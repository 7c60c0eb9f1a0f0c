"""Vectors of a real embedding model through Together's SDK."""

import minilm
from together import Together

MODEL = "tests/minilm"


def test_vectors(dedi):
    minilm.write(dedi.data_dir / "models" / MODEL / "minilm.gguf")
    client = Together(api_key=dedi.key, base_url=dedi.base_url, max_retries=0)
    made = client.endpoints.create(
        model=MODEL, hardware=dedi.hardware_for(MODEL), autoscaling={"min_replicas": 1, "max_replicas": 1}
    )
    try:
        dedi.until_state(made.id, "STARTED")
        answer = client.embeddings.create(model=made.id, input=["A cat sleeps.", "A kitten naps.", "Stocks fell."])
        cat, kitten, stocks = (it.embedding for it in answer.data)
        likeness = lambda one, other: sum(a * b for a, b in zip(one, other))
        assert answer.object == "list" and [it.index for it in answer.data] == [0, 1, 2]
        assert likeness(cat, kitten) > 0.5 > likeness(cat, stocks)
    finally:
        client.endpoints.delete(made.id)
        dedi.until_gone(made.id)
