"""Every field of inference through `together<2`."""

from fields_suite import *  # noqa: F403
