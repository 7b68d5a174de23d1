"""What is said when the memory of a device is full."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from lfadsx.errors import LfadsxError


@contextmanager
def within_memory(what: str, remedy: str) -> Iterator[None]:
    """Says, in place of JAX's error, what does not fit into the memory of a device and what makes it smaller.

    Args:
        what: What is computed, a plural.
        remedy: A sentence that names settings.

    Raises:
        LfadsxError: If the memory is full; all other errors pass.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise LfadsxError(f"{what} do not fit into the memory of the device. {remedy}") from error
