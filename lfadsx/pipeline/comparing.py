"""`compare`: score several runs on the same trials."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flax import nnx
from jax.sharding import Mesh

from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import split_name
from lfadsx.errors import LfadsxError
from lfadsx.evaluation import Evaluation, Score, format_table, paired_difference
from lfadsx.evaluation.comparison import RECONSTRUCTION
from lfadsx.evaluation.task import MEASURES, R2
from lfadsx.files import plain
from lfadsx.models.lfads import LFADS
from lfadsx.models.serialization import describe
from lfadsx.pipeline.scoring import check_bin_width, evaluate, matched
from lfadsx.training.recorded_data import check_same_trials, recorded_data
from lfadsx.training.results import FitResult
from lfadsx.training.run_folder import RunFolder
from lfadsx.training.run_info import RunInfo

Run = str | Path | RunFolder | FitResult | LFADS
"""A run folder, a result of `fit`, or a model."""

LINES = 20
"""Largest number of lines of a comparison as text."""


@dataclasses.dataclass(frozen=True, repr=False)
class RunComparison:
    """Runs scored on the same trials. Printed, it shows scores, differences and the settings that differ.

    Attributes:
        split: Name of the scored split.
        evaluations: Scores by name of the run, without baselines.
        differences: By name of each run except the first, and by measure: this run minus the first, paired by trial,
            with standard error and 95 % interval. Reconstruction (`bits_per_spike`, `r2`) is left out, since it rewards
            copying.
        settings: Settings that differ between runs, by name of the setting and of the run. A model without a run folder
            has only settings of its architecture.
    """

    split: str
    evaluations: dict[str, Evaluation]
    differences: dict[str, dict[str, Score]]
    settings: dict[str, dict[str, Any]]

    @property
    def table(self) -> list[dict[str, Any]]:
        """A row for each run: its name `run` and the value of each measure, None if it does not exist."""
        measures = [m for m in (*MEASURES, *R2) if any(m in of.scores for of in self.evaluations.values())]
        return [{"run": name, **{m: of.scores.get(m) for m in measures}} for name, of in self.evaluations.items()]

    def to_dict(self) -> dict[str, Any]:
        """Returns split, table, differences and settings as a JSON object."""
        return plain(
            {"split": self.split, "runs": self.table, "differences": self.differences, "settings": self.settings}
        )

    def __repr__(self) -> str:
        """Returns scores with standard errors, differences with intervals and settings, in at most 20 lines."""
        first, *others = self.evaluations
        n_trials = len(self.evaluations[first].trial_id)
        lines = [f"{len(self.evaluations)} runs on {n_trials} {self.split} trials", *self._scores()]
        if others:
            lines.append(f"Minus {first!r}, with 95 % intervals; * where the interval excludes 0")
            lines += format_table([{"run": name, **_cells(self.differences[name])} for name in others]).splitlines()
        lines.append("Settings that differ" if self.settings else "Settings that differ: none known")
        if self.settings:
            rows = [{"setting": name, **{r: str(v) for r, v in of.items()}} for name, of in self.settings.items()]
            lines += format_table(rows).splitlines()
        left = len(lines) - LINES + 1
        return "\n".join(lines if len(lines) <= LINES else [*lines[: LINES - 1], f"and {left} more"])

    def _scores(self) -> list[str]:
        rows = []
        for name, evaluation in self.evaluations.items():
            own = {measure: of["lfads"] for measure, of in evaluation.comparison.scores.items() if "lfads" in of}
            rows.append({"run": name, **{measure: str(score) for measure, score in own.items()}})
        return format_table(rows).splitlines()


def compare(
    *runs: Run,
    data: Dataset | None = None,
    split: str | None = None,
    names: Sequence[str] = (),
    n_samples: int = 64,
    seed: int = 0,
    parts: Iterable[type[nnx.Module]] = (),
    mesh: Mesh | None = None,
) -> RunComparison:
    """Scores runs on the same trials: their measures, paired differences to the first run, and settings that differ.

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> small, large = (lfadsx.autonomous(data, generator_dim=n, seed=0) for n in (4, 8))
        >>> found = lfadsx.compare(small, large, data=data, names=["small", "large"], n_samples=2)
        >>> list(found.differences["large"]), found.settings["decoder.generator.n_units"]
        (['masked_bps', 'psth_r2', 'rates_r2'], {'small': 4, 'large': 8})

    Args:
        *runs: At least two: run folders, results of `fit`, or models. Differences are to the first one.
        data: The data set. By default the training files of the runs, checked by their SHA-256. They are searched at
            the paths of the runs' commands, in the current folder and near the run folders.
        split: "train", "valid" or "test"; by default test if there is one, else valid.
        names: Names of the runs; by default those of their folders.
        n_samples: Posterior samples of the averages.
        seed: Seed of samples and resamples.
        parts: Your own classes that models of run folders have.
        mesh: Devices to spread the trials over, on its axis `data`.

    Raises:
        RunError: If a folder holds no run, or the training data of the runs differ or are not found.
        DataError: If the data do not fit a model, or a run may have been trained on scored trials.
        LfadsxError: If there are fewer than two runs, or the numbers of names and runs differ.
    """
    opened = [_opened(run) for run in runs]
    by_name = dict(zip(_names(opened, names), opened, strict=True))
    folders = {name: run for name, run in by_name.items() if isinstance(run, RunFolder)}
    infos = {name: folder.info for name, folder in folders.items()}
    if data is None:
        data = recorded_data({name: folder.path for name, folder in folders.items()}, infos, len(runs))
    split = split_name(data.splits, split)
    check_same_trials(infos, data, split)
    evaluations = {}
    for name, run in by_name.items():
        own = data
        if isinstance(run, RunFolder):
            check_bin_width(infos[name], data.bin_width)
            model = run.load(parts=parts)
            own, run = matched(infos[name], data, model)
        evaluations[name] = evaluate(run, own, split, n_samples=n_samples, seed=seed, baselines={}, mesh=mesh)
    first, *others = evaluations
    differences = {name: _differences(evaluations[name], evaluations[first], seed) for name in others}
    facts = {name: dict(_settings(infos.get(name), run)) for name, run in by_name.items()}
    return RunComparison(split, evaluations, differences, _differing(facts))


def _opened(run: Run) -> RunFolder | LFADS:
    if isinstance(run, str | Path):
        return RunFolder(run)
    if isinstance(run, FitResult):
        return run.model
    if not isinstance(run, RunFolder | LFADS):
        raise LfadsxError(f"A run must be a run folder, a result of `fit` or a model, got {type(run).__name__}.")
    return run


def _names(runs: Sequence[RunFolder | LFADS], names: Sequence[str]) -> list[str]:
    """Returns the given names, else those of the folders; folders of the same name are named by their paths."""
    if len(runs) < 2:
        raise LfadsxError(f"A comparison needs at least 2 runs, got {len(runs)}. Give run folders or models.")
    if names and (len(names) != len(runs) or len(set(names)) < len(names)):
        raise LfadsxError(f"`names` must be one name for each of {len(runs)} runs, all different, got {list(names)}.")
    if names:
        return list(names)
    paths = [run.path if isinstance(run, RunFolder) else Path(f"model {n}") for n, run in enumerate(runs, 1)]
    times = Counter(path.resolve().name for path in paths)
    found = [path.resolve().name if times[path.resolve().name] == 1 else str(path) for path in paths]
    if len(set(found)) < len(found):
        raise LfadsxError(f"Runs must be different folders, got {', '.join(found)}.")
    return found


def _differences(run: Evaluation, first: Evaluation, seed: int) -> dict[str, Score]:
    shared = [m for m in run.statistics if m in first.statistics and m not in RECONSTRUCTION]
    return {measure: paired_difference(measure, run, first, seed=seed) for measure in shared}


def _cells(differences: Mapping[str, Score]) -> dict[str, str]:
    return {
        measure: f"{score.value:+z.3f} [{score.low:+z.3f}, {score.high:+z.3f}]"
        + ("*" if score.low > 0 or score.high < 0 else "")
        for measure, score in differences.items()
    }


def _settings(info: RunInfo | None, run: Any) -> Iterator[tuple[str, Any]]:
    """Yields names and values of all settings of a run; without information, those of the model."""
    model = plain(describe(run)) if info is None else info.model
    parts = dict(model["arguments"])
    others = (parts.pop("seen_groups", None) or {}).get("group", {})
    yield "encoder_groups", ", ".join([parts.get("input_group", ""), *others])
    yield from _flat("", {**model, "arguments": parts})
    if info is None:
        return
    for part in (info.hyper, info.train, info.population, info.parts):
        yield from _flat("", part)
    yield "lfadsx", info.versions.get("lfadsx")


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields the leaves of nested settings with their paths."""
    if isinstance(value, Mapping) and "part" in value:
        if path:
            yield path, value["part"]
        value = value.get("arguments", {})
    elif isinstance(value, Mapping) and set(value) == {"group"}:
        value = value["group"]
    if not isinstance(value, Mapping):
        yield path, value
        return
    for name, item in value.items():
        yield from _flat(f"{path}.{name}" if path else str(name), item)


def _differing(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns the settings with more than one value among the runs that have them."""
    names = dict.fromkeys(name for of in facts.values() for name in of)
    by_name = {name: {run: of.get(name) for run, of in facts.items() if name in of} for name in names}
    return {name: of for name, of in by_name.items() if any(value != next(iter(of.values())) for value in of.values())}
