"""The result of inference: averages over the posterior of some trials, and labels of these trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lfadsx.data import validation
from lfadsx.errors import LfadsxError, nearest
from lfadsx.results.calibration import Calibration
from lfadsx.types import INPUT_GROUP, TargetGroup, TimeAxis

if TYPE_CHECKING:
    import xarray


@dataclasses.dataclass(frozen=True, repr=False)
class Posterior:
    """Averages over posterior samples of the trials of one split, in its order, with their labels (NumPy).

    Bins after a trial's end and channels that a trial's session does not have hold NaN.

    Example:
        >>> import lfadsx
        >>> from flax import nnx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
        >>> post = lfadsx.infer(model, data, n_samples=4)
        >>> post.split, post.rates_hz().shape, post.times[:2].round(3).tolist()
        ('valid', (4, 10, 50), [0.005, 0.015])

    Attributes:
        rates: By group, mean over samples of the expected data (for counts: counts per bin), shape
            (trial, time, target_channel).
        rates_std: By group, standard deviation of the rates over samples; calibrated for the input group if `kappa` is
            known.
        factors: Mean over samples, shape (trial, time, factor).
        initial_condition: Mean over samples, shape (trial, ic).
        ic_mean: Mean of its posterior, shape (trial, ic).
        ic_std: Standard deviation of its posterior, shape (trial, ic).
        initial_state: Generator state before the first bin, mean over samples, shape (trial, generator).
        generator_states: Mean over samples, shape (trial, time, generator).
        inputs: Inferred inputs, mean over samples, shape (trial, time, input), or None.
        inputs_std: Standard deviation of the inputs over samples, or None.
        input_mean: Mean of the inputs' posterior given the path, averaged over samples, or None.
        input_std: Standard deviation of the inputs' posterior given the path, averaged, or None.
        controller_states: Mean over samples, shape (trial, time, controller), or None.
        encoding: Encoding of the data that the controller receives, shape (trial, time, encoding), or None.
        trial_id: The user's ids of the trials, shape (trial,).
        session: Index of each trial's session in `sessions`, shape (trial,).
        length: Number of bins of each trial, shape (trial,).
        n_samples: Number of posterior samples; 0 if posterior means were pushed through.
        seed: Seed of the samples.
        without_inputs: Whether the inferred inputs were set to 0, see `lfadsx.infer`.
        kappa: Spread that calibration added to rates and their samples, see `lfadsx.calibrate`; None without it.
        variance: By group, variance of the data about the rates (observation variance), mean over samples, in squared
            units of the data; that of Poisson counts is their rate and left out.
        samples: Single samples of `rates` of the input group (sample, trial, time, target_channel), `factors` and
            `inputs`; empty unless `infer` was called with `samples=True`.
        split: Name of the split: "train", "valid", "test" or "all".
        sessions: Names of the sessions.
        time: The time axis of a trial.
        groups: Kind (counts or real) and unit of each target group.
        input_group: The target group whose channels the encoder sees.
        encoder_groups: All target groups whose channels the encoders saw, the input group first; empty if unknown.
        channel_names: Names of the input group's channels, shape (session, target_channel), "" for missing names; None
            if no channel has a name.
        held_out: True for channels of the input group that the encoder did not see, shape (session, target_channel);
            None if unknown.
        row: Position of each trial in the input, shape (trial,), or None.
        condition: Condition of each trial, shape (trial,), or None.
        start_time: Time of the left edge of each trial's first bin in seconds on the clock of its session, shape
            (trial,), NaN where it is unknown, or None.
        piece_of: For pieces of longer data: number of the trial that each piece was chopped from, 0 for a whole
            recording, shape (trial,); None for trials that are whole. `lfadsx.join` puts pieces together.
        first_bin: Number of each piece's first bin in that trial or recording, shape (trial,), or None.
        behaviour: Recorded behaviour, shape (trial, time, behaviour), or None.
        behaviour_name: Name of the behaviour, such as "velocity".
        behaviour_lag: Behaviour at time t + lag belongs to rates at t, in seconds.
        kl_ic: KL of each initial condition's posterior from its prior in nats, mean over samples, shape (trial, ic), or
            None.
        kl_inputs: KL of each inferred input in nats, mean over samples, shape (trial, time, input), or None.
        bias: Bias of each trial, the constant inputs of the generator: mean of its posterior, shape (trial, bias), or
            None.
        bias_std: Standard deviation of its posterior, shape (trial, bias), or None.
        kl_bias: KL of each constant input in nats, mean over samples, shape (trial, bias), or None.
        version: Version of lfadsx that inferred the rates.
        source: Origin of the data, as in `Dataset.source`.
    """

    rates: dict[str, np.ndarray]
    rates_std: dict[str, np.ndarray]
    factors: np.ndarray
    initial_condition: np.ndarray
    ic_mean: np.ndarray
    ic_std: np.ndarray
    initial_state: np.ndarray
    generator_states: np.ndarray
    inputs: np.ndarray | None
    inputs_std: np.ndarray | None
    input_mean: np.ndarray | None
    input_std: np.ndarray | None
    controller_states: np.ndarray | None
    encoding: np.ndarray | None
    trial_id: np.ndarray
    session: np.ndarray
    length: np.ndarray
    n_samples: int
    seed: int
    kappa: float | None = None
    without_inputs: bool = False
    variance: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    samples: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    split: str = ""
    sessions: tuple[str, ...] = ()
    time: TimeAxis = TimeAxis()
    groups: dict[str, TargetGroup] = dataclasses.field(default_factory=dict)
    input_group: str = INPUT_GROUP
    encoder_groups: tuple[str, ...] = ()
    channel_names: np.ndarray | None = None
    held_out: np.ndarray | None = None
    row: np.ndarray | None = None
    condition: np.ndarray | None = None
    start_time: np.ndarray | None = None
    piece_of: np.ndarray | None = None
    first_bin: np.ndarray | None = None
    behaviour: np.ndarray | None = None
    behaviour_name: str = "velocity"
    behaviour_lag: float = 0.0
    kl_ic: np.ndarray | None = None
    kl_inputs: np.ndarray | None = None
    bias: np.ndarray | None = None
    bias_std: np.ndarray | None = None
    kl_bias: np.ndarray | None = None
    version: str = ""
    source: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.trial_id)

    @property
    def times(self) -> np.ndarray:
        """Middle of each bin in seconds, shape (time,); numbers of the bins if their width is unknown."""
        return self.time.centres(self.factors.shape[1])

    def rates_hz(self, group: str | None = None) -> np.ndarray:
        """Returns the averaged rates in Hz, shape (trial, time, target_channel).

        Args:
            group: A target group of counts; by default the input group.

        Raises:
            LfadsxError: If there is no such group, its data are not counts, or the bin width is unknown.
        """
        group = self._counted(group, "Rates in Hz")
        if self.time.bin_width is None:
            raise LfadsxError(
                "Rates in Hz need the width of a bin, which is unknown. Give the data set its bin width "
                "(`bin_width=`, in seconds), or use `rates` (counts per bin)."
            )
        return self.rates[group] / self.time.bin_width

    def log_rates(self, group: str | None = None) -> np.ndarray:
        """Returns the log of the averaged rates (log counts per bin), as for decoding; arguments as in `rates_hz`."""
        group = self._counted(group, "Log rates")
        return np.log(np.maximum(self.rates[group], np.finfo(np.float32).tiny))

    def interval(
        self, level: float = 0.9, group: str | None = None
    ) -> tuple[Float[np.ndarray, "trial time channel"], Float[np.ndarray, "trial time channel"]]:
        """Returns lower and upper bounds of the rates, which hold the true rates with a probability of `level`.

        They are the rates plus and minus a multiple of `rates_std`; bounds of counts are at least 0. Without
        calibration they are too narrow (`lfadsx.calibrate`).

        Args:
            level: Probability, between 0 and 1.
            group: A target group; by default the input group.

        Returns:
            Both bounds in the unit of the rates, shape (trial, time, target_channel).

        Raises:
            LfadsxError: If `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise LfadsxError(f"`level` must be between 0 and 1, got {level}.")
        group = self.input_group if group is None else group
        half = NormalDist().inv_cdf((1 + level) / 2) * self.rates_std[group]
        low, high = self.rates[group] - half, self.rates[group] + half
        return (np.maximum(low, 0.0) if self.groups[group].kind == "counts" else low), high

    def calibrated(self, calibration: Calibration) -> Posterior:
        """Returns the posterior with wider spreads of the rates of the input group and of their samples.

        Raises:
            LfadsxError: If it is calibrated already.
        """
        if self.kappa is not None:
            raise LfadsxError(
                "The posterior must not be calibrated already. Calibrate the result of `infer` without calibration."
            )
        group, counts = self.input_group, self.groups[self.input_group].kind == "counts"
        rates, std = self.rates[group], self.rates_std[group]
        added = calibration.spread(self.sessions, rates.shape[2])[self.session][:, None]
        wider = np.sqrt(std**2 + added * std)
        samples = self.samples
        if "rates" in samples:
            factor = np.divide(wider, std, out=np.ones_like(std), where=std > 0)
            moved = rates + (samples["rates"] - rates) * factor
            samples = samples | {"rates": np.maximum(moved, 0.0) if counts else moved}
        stds = self.rates_std | {group: wider}
        return dataclasses.replace(self, rates_std=stds, samples=samples, kappa=calibration.kappa)

    def save(self, path: str | Path, *, compression: str | None = "gzip") -> None:
        """Writes the posterior to an HDF5 file, which `lfadsx.read_posterior` reads.

        Args:
            path: The file; its folder is created if needed.
            compression: "gzip", "lzf" (faster, larger files), or None for no compression.

        Raises:
            DataError: If the file cannot be written.
        """
        from lfadsx.results.results_file import write_posteriors

        write_posteriors(path, {self.split or "trials": self}, compression=compression)

    def to_xarray(self) -> xarray.Dataset:
        """Returns all arrays as an `xarray.Dataset` with named dimensions, coordinates and units.

        Variables have the dimensions trial, time, channel and so on, and the attributes `description` and `unit`.
        The coordinates are `time` (seconds, or bins), `trial_id`, `session`, `condition`, `channel_name`, `held_out`.
        Variables of other target groups begin with the name of the group (`emg_rates`).

        Raises:
            MissingExtraError: If xarray is not installed.
        """
        from lfadsx.results.described_arrays import to_xarray

        return to_xarray(self)

    def to_pynapple(self, session: str | None = None, arrays: Sequence[str] = ()) -> dict[str, Any]:
        """Returns rates, factors and inferred inputs of a session as objects of pynapple, by name of the array.

        Each array is a `TsdFrame` with the bins of all trials on the clock of the session. Its times are the middles of
        the bins in seconds. `trials` is an `IntervalSet` with the ids, splits, conditions and biases of the trials, and
        `trial` a `Tsd` with the row of the trial of each bin. If it is unknown when trials began, arrays are
        `TsdTensor`s of (time, trial, column), whose times count from the event of the time axis.

        Example:
            >>> import lfadsx
            >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
            >>> model = lfadsx.autonomous(data, generator_dim=8, seed=0)
            >>> found = lfadsx.infer(model, data, n_samples=2).to_pynapple()
            >>> found["rates_hz"].shape
            (10, 4, 50)

        Args:
            session: Name of the session; may be left out if there is one.
            arrays: Names of the arrays, as in `lfadsx.export`.

        Raises:
            MissingExtraError: If pynapple is not installed.
            LfadsxError: If a name is unknown, the session is not clear, or the bin width is unknown.
        """
        from lfadsx.results.by_session import by_session
        from lfadsx.results.pynapple_objects import pynapple_objects

        found = {part.name: part for part in by_session({self.split: self}, arrays)}
        if session is None and len(found) > 1:
            names = ", ".join(map(repr, found))
            raise LfadsxError(f"`session` must be given, because the trials belong to {len(found)} sessions: {names}.")
        session = next(iter(found)) if session is None else session
        validation.one_of(session, found, "`session`")
        return pynapple_objects(found[session])

    def _counted(self, group: str | None, what: str) -> str:
        group = self.input_group if group is None else group
        if group not in self.rates:
            known = ", ".join(map(repr, self.rates))
            raise LfadsxError(f"`group` must be one of {known}, got {group!r}{nearest(group, self.rates)}.")
        if group in self.groups and self.groups[group].kind != "counts":
            raise LfadsxError(
                f"{what} need data that are counts, but those of {group!r} are real numbers. Use `rates[{group!r}]`, "
                "the expected values in the unit of the data."
            )
        return group

    def __repr__(self) -> str:
        """Returns the trials, the time axis and the shapes of the arrays, in at most 20 lines."""
        width, lengths = self.time.bin_width, sorted(set(self.length.tolist()))
        bins = "bins of unknown width" if width is None else f"bins of {width:g} s from {self.time.start:g} s"
        more = f" and {len(self.sessions) - 4} more" if len(self.sessions) > 4 else ""
        lines = [
            f"Posterior of {self.n_trials} trials, split {self.split!r}",
            f"  sessions: {', '.join(self.sessions[:4])}{more}",
            f"  time: {' to '.join(map(str, lengths[:1] + lengths[1:][-1:]))} {bins} ({self.time.event})",
            f"  samples: {self.n_samples}, seed {self.seed}" if self.n_samples else "  samples: none (posterior means)",
        ]
        for name, rates in [*self.rates.items()][:5]:
            group = self.groups.get(name, TargetGroup("counts"))
            lines.append(f"  rates[{name!r}]: {rates.shape} {group.kind}{group.unit and f', {group.unit}'}")
        if self.held_out is not None:
            lines.append(f"  held out: {self.held_out.sum()} channels of {self.input_group!r}")
        for name in ("factors", "initial_condition", "bias", "inputs", "condition", "behaviour"):
            if (values := getattr(self, name)) is not None:
                lines.append(f"  {name}: {values.shape}")
        return "\n".join(lines)


SHARED = ("channel_names", "held_out")
"""Arrays that have no trial axis."""


def join_posteriors(posteriors: Sequence[Posterior], order: np.ndarray | None = None) -> Posterior:
    """Returns the posteriors of several sets of trials of the same sessions as one, split "all".

    Latent variables of different models are not comparable. `n_samples` is the smallest.

    Args:
        posteriors: The posteriors; arrays with fewer bins are padded with NaN. Fields that are None in one are None.
        order: Row numbers in the order of the result, by default `input_order`.
    """
    first = posteriors[0]
    fields = {field.name: [getattr(p, field.name) for p in posteriors] for field in dataclasses.fields(Posterior)}
    order = input_order(posteriors) if order is None else order

    def joined(parts: Sequence[Any], axis: int) -> Any:
        if isinstance(parts[0], dict):
            return {name: joined([part[name] for part in parts], axis) for name in parts[0]}
        if any(part is None for part in parts):
            return None
        return np.take(np.concatenate(_padded(parts, axis), axis), order, axis)

    by_trial = {
        name: joined(parts, axis=int(name == "samples"))
        for name, parts in fields.items()
        if name in ("rates", "rates_std", "variance", "samples")
        or (name not in SHARED and isinstance(parts[0], np.ndarray))
    }
    return dataclasses.replace(first, **by_trial, split="all", n_samples=min(fields["n_samples"]))


def input_order(posteriors: Sequence[Posterior]) -> np.ndarray:
    """Returns the rows of the trials of all posteriors, by session and by their order in the input, shape (trial,).

    If that order (`Posterior.row`) is unknown, trials keep the order of the posteriors.
    """
    session = np.concatenate([posterior.session for posterior in posteriors])
    rows = [posterior.row for posterior in posteriors if posterior.row is not None]
    known = len(rows) == len(posteriors)
    return np.lexsort((np.concatenate(rows), session)) if known else np.arange(len(session))


def _padded(parts: Sequence[np.ndarray], axis: int) -> list[np.ndarray]:
    """Returns arrays padded with NaN to the same size along all axes but `axis`."""
    largest = np.max([part.shape for part in parts], axis=0)
    widths = [
        [(0, 0 if i == axis else most - n) for i, (n, most) in enumerate(zip(part.shape, largest, strict=True))]
        for part in parts
    ]
    if not np.any(widths):
        return list(parts)
    return [np.pad(part, width, constant_values=np.nan) for part, width in zip(parts, widths, strict=True)]
