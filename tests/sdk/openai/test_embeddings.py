"""Vectors of a real embedding model through OpenAI's Python SDK, which asks for base64 by itself."""

import math

import openai
import pytest
from helpers import EMBEDDING_MODEL

QUERY = "A man is eating pasta."
# What the authors' own library says of these sentences and the query.
KNOWN = {
    "A man is eating food.": 0.7035,
    "A man is eating a piece of bread.": 0.5272,
    "A man is riding a horse.": 0.1889,
    "A cheetah is running behind its prey.": 0.0980,
}


@pytest.fixture(scope="module")
def endpoint(embedder):
    return embedder


def likeness(one, other):
    return sum(a * b for a, b in zip(one, other))


def test_vectors_mean_what_the_model_was_trained_for(client, endpoint):
    answer = client.embeddings.create(model=endpoint["id"], input=[QUERY, *KNOWN])
    vectors = [it.embedding for it in answer.data]
    assert {len(it) for it in vectors} == {384}
    assert all(math.isclose(likeness(it, it), 1, abs_tol=1e-4) for it in vectors)
    found = {text: likeness(vectors[0], it) for text, it in zip(KNOWN, vectors[1:])}
    assert all(math.isclose(found[text], KNOWN[text], abs_tol=0.01) for text in KNOWN), found
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_both_forms_are_the_same_vector(client, endpoint):
    plain = client.embeddings.create(model=endpoint["name"], input=QUERY, encoding_format="float")
    packed = client.embeddings.create(model=endpoint["name"], input=QUERY, encoding_format="base64")
    assert isinstance(packed.data[0].embedding, str)
    unpacked = client.embeddings.create(model=endpoint["name"], input=QUERY)
    pairs = zip(plain.data[0].embedding, unpacked.data[0].embedding, strict=True)
    assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in pairs)


def test_vectors_have_one_length(client, endpoint):
    answer = client.embeddings.create(model=endpoint["id"], input=QUERY, dimensions=384)
    assert len(answer.data[0].embedding) == 384
    with pytest.raises(openai.BadRequestError, match="384") as refused:
        client.embeddings.create(model=endpoint["id"], input=QUERY, dimensions=256)
    assert refused.value.param == "dimensions"


def test_what_it_can_not_do_is_a_sentence(client, endpoint):
    with pytest.raises(openai.BadRequestError, match="embedding|vectors"):
        client.chat.completions.create(model=endpoint["id"], messages=[{"role": "user", "content": "Hello!"}])
    with pytest.raises(openai.BadRequestError, match="tokens"):
        client.embeddings.create(model=endpoint["id"], input="word " * 2_000)
    with pytest.raises(openai.BadRequestError, match="encoding_format"):
        client.embeddings.create(model=endpoint["id"], input=QUERY, encoding_format="int8")


def test_the_list_says_what_it_is(client, endpoint):
    kinds = {it.id: it.type for it in client.models.list()}
    assert kinds[EMBEDDING_MODEL] == "embedding"
