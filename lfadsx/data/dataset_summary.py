"""A summary of a data set in at most 20 lines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lfadsx.data.data_findings import mean_count, some
from lfadsx.data.dataset import SERIES, Dataset

MOST_GROUPS = 5
"""Target groups that are listed."""


def summarise(data: Dataset) -> str:
    """Returns sessions, trials, bins, channels, rates, conditions, other arrays and findings of a data set."""
    names = [session.name for session in data.sessions]
    title = f"Dataset of {len(names)} session{'s' * (len(names) > 1)}: {some(names, 3)}"
    return "\n".join([title, *(f"  {name + ':':<14}{text}" for name, text in _facts(data))])


def _facts(data: Dataset) -> Iterator[tuple[str, str]]:
    yield "trials", ", ".join(f"{split.n_trials} {name}" for name, split in data.splits.items())
    if any(split.first_bin is not None for split in data.splits.values()):
        yield "pieces", _pieces(data)
    yield "bins", _bins(data)
    if data.bin_width is not None:
        yield "time", f"the first bin starts at {data.time.start:g} s relative to {data.time.event!r}"
    for name in list(data.train.targets)[:MOST_GROUPS]:
        yield name, _group(data, name)
    if len(data.train.targets) > MOST_GROUPS:
        yield "more targets", ", ".join(list(data.train.targets)[MOST_GROUPS:])
    labels = [split.condition[split.labelled] for split in data.splits.values() if split.condition is not None]
    if labels:
        bare = sum(int((~split.labelled).sum()) for split in data.splits.values())
        yield "conditions", f"{len(np.unique(np.concatenate(labels)))}" + (f", {bare} trials without" if bare else "")
    units = {"behaviour": f" ({data.behaviour_name})", "truth": f" in {data.truth_unit}"}
    for field in sorted(SERIES):
        arrays = {name: getattr(split, field) for name, split in data.splits.items()}
        having = [name for name, values in arrays.items() if values is not None]
        if having:
            only = "" if len(having) == len(arrays) else f", only in {' and '.join(having)}"
            yield field.replace("_", " "), f"{arrays[having[0]].shape[2]} columns{units.get(field, '')}{only}"
    kinds = ", ".join(list(dict.fromkeys(finding.name for finding in data.findings))[:8])
    yield "findings", f"{len(data.findings)}" + (f" ({kinds})" if kinds else "")


def _pieces(data: Dataset) -> str:
    """Returns what the trials are pieces of: pieces of a whole recording have the number 0 only."""
    known = [split.piece_of for split in data.splits.values() if split.piece_of is not None]
    parents = np.unique(np.concatenate(known))
    return "of whole recordings" if not parents.any() else f"of {len(parents)} trials"


def _bins(data: Dataset) -> str:
    length = np.concatenate([split.target_length for split in data.splits.values()])
    forward = np.concatenate([split.target_length - split.encoder_length for split in data.splits.values()])
    text = f"{length.max()}" if length.min() == length.max() else f"{length.min()} to {length.max()}"
    text += ", of unknown width" if data.bin_width is None else f" of {1000 * data.bin_width:g} ms"
    return text + (f"; the encoder does not see the last {forward.max()}" if forward.any() else "")


def _group(data: Dataset, name: str) -> str:
    sizes = {session.n_targets.get(name, 0) for session in data.sessions}
    channels = f"{min(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
    group, held_out = data.groups[name], sum(map(len, data.held_out(name).values()))
    text = f"{channels} channels" + (f" ({held_out} held out)" if held_out and name == data.input_group else "")
    if group.kind == "real":
        return f"{text}, real numbers" + (f" in {group.unit}" if group.unit else "")
    mean = mean_count(data, name)
    return f"{text}, {mean:.3g} {group.unit}" + ("" if data.bin_width is None else f", {mean / data.bin_width:.3g} Hz")
