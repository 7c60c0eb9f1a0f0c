"""Every field of inference as it goes over the wire."""

from fields_suite import *  # noqa: F403
