"""What limits a training step on a GPU: kernels by time, and the gaps between them, from a trace of `jax.profiler`."""

from __future__ import annotations

import collections
import re
import statistics
from typing import Any

from benchmarks.profile import _own_times

Event = dict[str, Any]
KINDS = {
    "products": r"gemm|gemv|cutlass|cublas|nvjet|xmma|\bdot",
    "copies": r"memcpy|memset|copy|transpose|broadcast",
    "others": "",
}
"""Purposes of kernels by patterns of their names; the first matching pattern is used."""


def summary(events: list[Event], steps: int, ms_per_step: float, longest: int = 12) -> dict[str, Any]:
    """Returns the time of a step by cause.

    Args:
        events: `traceEvents` of a trace of one compiled block.
        steps: Steps of that block.
        ms_per_step: Time of a step without a trace, in milliseconds. Tracing slows steps down, and switches off CUDA
            graphs, so gaps count against this time, too.
        longest: Number of kernels that are named.

    Raises:
        ValueError: The trace has no kernels.
    """
    kernels = _kernels(events)
    if not kernels:
        raise ValueError("The trace has no kernels. JAX must be able to load CUPTI, and the process may need root.")
    own, count = _own_times(kernels, {kernel["name"] for kernel in kernels})
    total = sum(own.values())
    kinds: collections.Counter[str] = collections.Counter()
    for name, ms in own.items():
        kinds[next(kind for kind, pattern in KINDS.items() if re.search(pattern, name, re.IGNORECASE))] += ms
    busy = _covered(kernels) / 1e3
    whole = (max(map(_end, kernels)) - min(kernel["ts"] for kernel in kernels)) / 1e3
    return {
        "ms_per_step": round(ms_per_step, 3),
        "traced_ms_per_step": round(whole / steps, 3),
        "busy_ms_per_step": round(busy / steps, 3),
        "gap_share": round(max(0.0, 1 - busy / steps / ms_per_step), 3),
        "traced_gap_share": round(1 - busy / whole, 3),
        "limited_by": "launches" if busy / steps < ms_per_step / 2 else kinds.most_common(1)[0][0],
        "kernels_per_step": round(sum(count.values()) / steps, 1),
        "median_kernel_us": round(statistics.median(kernel["dur"] for kernel in kernels), 2),
        "share_by_kind": {kind: round(ms / total, 3) for kind, ms in kinds.most_common()},
        "longest": [
            {"kernel": name[:80], "share": round(ms / total, 3), "per_step": round(count[name] / steps, 1)}
            for name, ms in own.most_common(longest)
        ],
    }


def _kernels(events: list[Event]) -> list[Event]:
    """Returns what ran on the streams of a GPU; on a CPU, the operations of compiled programs."""
    said = {name: {} for name in ("process_name", "thread_name")}
    for event in events:
        if event.get("ph") == "M" and event.get("name") in said:
            said[event["name"]][event["pid"], event.get("tid")] = event["args"]["name"]
    devices = {pid for (pid, _), name in said["process_name"].items() if "GPU" in name}
    streams = {key for key, name in said["thread_name"].items() if key[0] in devices and "Stream" in name}
    spans = [event for event in events if event.get("ph") == "X" and event.get("dur")]
    found = [event for event in spans if (event["pid"], event["tid"]) in streams]
    return found or [event for event in spans if "hlo_op" in event.get("args", {})]


def _covered(spans: list[Event]) -> float:
    """Returns the time that is covered by at least one of some spans."""
    total, until = 0.0, float("-inf")
    for span in sorted(spans, key=lambda span: span["ts"]):
        total += max(0.0, _end(span) - max(until, span["ts"]))
        until = max(until, _end(span))
    return total


def _end(span: Event) -> float:
    return span["ts"] + span["dur"]
