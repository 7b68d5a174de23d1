"""Ctrl-C and SIGTERM: finish the block, save, and stop."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_request() -> Iterator[Callable[[], int]]:
    """Turns the first Ctrl-C or SIGTERM into a request; the second Ctrl-C stops at once.

    Yields:
        A function that returns the number of the signal that has asked to stop, 0 for none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0  # only the main thread may set handlers
        return
    received = [0]
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def request(number, frame):
        del frame
        if received[0] and number == signal.SIGINT:
            raise KeyboardInterrupt
        received[0] = number

    for number in SIGNALS:
        signal.signal(number, request)
    try:
        yield lambda: received[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
