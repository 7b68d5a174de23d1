"""Stopping of training: rules for a model, and Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections.abc import Iterator
from typing import Literal

from lfadsx.config import TrainConfig
from lfadsx.training.schedules import Schedule

Reason = Literal["patience", "epochs", "learning rate", "interrupted", "not finite", "search", "converged", "finished"]
"""Why training stopped. The last three occur only in populations."""

MAX_SKIPPED_STEPS = 20
"""Largest number of steps with a loss or gradient that is not finite. Such steps are skipped and reported; after more
of them training stops."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def reason_to_stop(
    config: TrainConfig, schedule: Schedule, *, learning_rate: float, steps: int, skipped: int, since_best: int
) -> Reason | None:
    """Returns why a model stops training, or None.

    `steps` counts from the start of the exponential decay, before which the learning rate is `learning_rate`. `skipped`
    counts steps with a loss or gradient that is not finite, and `since_best` the epochs since the best selection score.
    """
    if skipped > MAX_SKIPPED_STEPS:
        return "not finite"
    if since_best >= config.patience:
        return "patience"
    rate = learning_rate * math.exp(steps * schedule.decay_log)
    waits = config.schedule not in ("constant", "cosine")
    return "learning rate" if waits and rate < config.learning_rate_stop else None


@dataclasses.dataclass
class StopRequest:
    """A request to stop.

    Attributes:
        signal: Number of the received signal; 0 for none.
        time: When it was received, on the monotonic clock in seconds.
    """

    signal: int = 0
    time: float = 0.0


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Turns the first Ctrl-C or SIGTERM into a request to finish the block and save. The second Ctrl-C stops at once.

    Yields:
        The request, whose attributes are set when a signal is received.
    """
    received = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def request(number, frame):
        if received.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not received.signal:
            received.signal, received.time = number, time.monotonic()

    for number in SIGNALS:
        signal.signal(number, request)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
