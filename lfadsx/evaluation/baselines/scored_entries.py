"""Which channels are held out, and which entries are scored."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from lfadsx.data.data_findings import scored_mask as scored_mask
from lfadsx.data.dataset import Dataset
from lfadsx.results.labels import Labels


def held_out_channels(dataset: Dataset) -> Bool[np.ndarray, "session target_channel"]:
    """True for channels of each session that are targets but not input of the encoder.

    Args:
        dataset: The data set; the target group is the one that the encoder sees.

    Returns:
        Shape (session, target_channel); False for channels that a session does not have.

    Example:
        >>> from lfadsx.data import from_arrays
        >>> dataset = from_arrays(np.ones((10, 5, 3), int), held_out=1)
        >>> held_out_channels(dataset).tolist()
        [[False, False, True]]
    """
    return Labels.of(dataset).held_out()
