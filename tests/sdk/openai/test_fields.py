"""Every field of inference through OpenAI's Python SDK."""

from fields_suite import *  # noqa: F403
