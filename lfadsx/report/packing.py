"""Arrays as text: integers with one scale per channel, in base64, a fraction of their size as JSON numbers."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from jaxtyping import Num

TEXT_PER_BYTE = 4 / 3
"""Characters of base64 for one byte."""


def packed(values: Num[np.ndarray, "*rest channel"], *, n_bytes: int = 2) -> dict[str, Any]:
    """Returns an array as integer codes: value = low + step * code, with `low` and `step` for each channel.

    The largest code means NaN. Whole numbers of a small range, such as spike counts, become exact codes of one byte.

    Example:
        >>> import numpy as np
        >>> found = packed(np.array([[0.0], [2.0]]))
        >>> found["shape"], found["bytes"], found["low"], found["step"]
        ([2, 1], 1, [0.0], [1.0])

    Args:
        values: Any quantity; the last axis is that of the channels.
        n_bytes: Bytes of a code: 2 for curves (65,535 levels), 1 for what is drawn coarsely (255 levels).
    """
    values = np.asarray(values, np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    flat = np.ma.masked_invalid(values.reshape(-1, values.shape[-1]))
    low = flat.min(axis=0).filled(0.0) if len(flat) else np.zeros(values.shape[-1])
    span = flat.max(axis=0).filled(0.0) - low if len(flat) else np.zeros(values.shape[-1])
    whole = bool(np.all(flat == np.round(flat))) and span.max(initial=0.0) < 255
    n_bytes = 1 if whole else n_bytes
    most = 256**n_bytes - 1
    step = np.ones_like(span) if whole else span / (most - 1)
    codes = np.round((values - low) / np.where(step > 0, step, 1.0))
    codes = np.where(np.isnan(values), most, codes).astype(f"<u{n_bytes}")
    return {
        "shape": list(values.shape),
        "bytes": n_bytes,
        "low": low.tolist(),
        "step": step.tolist(),
        "data": base64.b64encode(codes.tobytes()).decode(),
    }


def unpacked(found: dict[str, Any]) -> Num[np.ndarray, "*rest channel"]:
    """Returns the array that `packed` turned into text, with the precision of its codes.

    Example:
        >>> import numpy as np
        >>> unpacked(packed(np.array([[0.25, 7.0], [np.nan, 9.0]]))).round(3).tolist()
        [[0.25, 7.0], [nan, 9.0]]
    """
    codes = np.frombuffer(base64.b64decode(found["data"]), f"<u{found['bytes']}").reshape(found["shape"])
    missing = codes == 256 ** found["bytes"] - 1
    return np.where(missing, np.nan, np.array(found["low"]) + np.array(found["step"]) * codes)
