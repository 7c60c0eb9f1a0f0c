import openai
import pytest
from asks import OpenAI


@pytest.fixture(scope="session")
def client(dedi):
    return openai.OpenAI(api_key=dedi.key, base_url=dedi.base_url, max_retries=0)


@pytest.fixture(scope="session")
def asks(client, started):
    return OpenAI(client, started["id"])


@pytest.fixture
def rough_asks(rough_dedi):
    """Asks the server whose engines fail."""
    client = openai.OpenAI(api_key=rough_dedi.key, base_url=rough_dedi.base_url, max_retries=0)
    return lambda endpoint: OpenAI(client, endpoint["id"])
