"""Ranges of hyperparameters: a search draws values from them and perturbs values within them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import jax
import numpy as np
from jaxtyping import Bool, Float

from lfadsx.config import HYPER_RANGES, HyperParams, ModelConfig, TrainConfig
from lfadsx.errors import LfadsxError, nearest
from lfadsx.files import write_json
from lfadsx.setting_checks import ABOVE_0, AT_LEAST_0, BELOW_1, FROM_0_TO_1

Reduction = Literal["sum", "mean"]
"""Reduction of the loss over bins and neurons that the scales of its terms refer to."""

Perturbation = Literal["log", "linear"]
"""Whether a perturbation is symmetric in the logarithm of a value, or in the value itself."""

TRIES = 100
"""Number of perturbations drawn for a value; the first one inside the bounds is used."""

SMALLEST_CHANGE = 0.002
"""Smallest change by a perturbation, as a share of the largest one."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Range of one hyperparameter, and size of its perturbations.

    A perturbation multiplies the value, so a value of 0 stays 0.

    Example:
        >>> import numpy as np
        >>> from lfadsx.search import Range
        >>> values = Range(1e-4, 1e-2, log=True).sample(np.random.default_rng(0), 3)
        >>> values.shape, bool(((1e-4 <= values) & (values <= 1e-2)).all())
        ((3,), True)
    """

    low: float
    """Smallest value that is drawn."""
    high: float
    """Largest value that is drawn."""
    log: bool = False
    """If True, the logarithm of the value is drawn uniformly, not the value."""
    start: float | None = None
    """First value of all members. By default (None) each member draws its first value."""
    width: float = 0.3
    """Largest relative change by a perturbation."""
    bounded: bool = True
    """If True, perturbed values stay inside the range."""

    def check(self, name: str) -> None:
        """Raises LfadsxError unless this is a valid range of the hyperparameter `name`."""
        for end in (self.low, self.high):
            HyperParams(**{name: end}).check()
        of = f"of the range of `{name}`"
        if self.low > self.high:
            raise LfadsxError(f"`low` {of} must be at most `high`, got {self.low} and {self.high}. Exchange them.")
        if self.log and self.low <= 0:
            raise LfadsxError(f"`low` {of} must be above 0 if `log` is true, got {self.low}.")
        if self.start is not None and not self.low <= self.start <= self.high:
            raise LfadsxError(f"`start` {of} must be from {self.low} to {self.high}, got {self.start}.")
        if not 0 < self.width < math.inf:
            raise LfadsxError(f"`width` {of} must be above 0 and finite, got {self.width}.")

    def sample(self, rng: np.random.Generator, n: int) -> Float[np.ndarray, " member"]:
        """Returns the first values of n members: `start`, or draws."""
        if self.start is not None:
            return np.full(n, self.start, np.float64)
        if not self.log:
            return rng.uniform(self.low, self.high, n)
        # Rounding may lead a little over an end.
        return np.clip(np.exp(rng.uniform(np.log(self.low), np.log(self.high), n)), self.low, self.high)

    def perturb(
        self,
        rng: np.random.Generator,
        values: Float[np.ndarray, " member"],
        how: Perturbation,
        limits: tuple[float, float],
    ) -> Float[np.ndarray, " member"]:
        """Returns values that are changed at random and independently.

        Args:
            rng: Source of all randomness.
            values: Values before the change.
            how: "log" or "linear", see `Space.perturb`.
            limits: Smallest and largest value of a range that is not `bounded`.
        """
        low, high = (self.low, self.high) if self.bounded else limits
        shape = (TRIES, len(values))
        change = rng.uniform(SMALLEST_CHANGE, 1.0, shape) * rng.choice((-1.0, 1.0), shape)
        factors = np.exp(change * np.log1p(self.width)) if how == "log" else 1.0 + change * self.width
        candidates = values * factors
        first_inside = np.argmax((low <= candidates) & (candidates <= high), axis=0)
        return np.clip(np.take_along_axis(candidates, first_inside[None], axis=0)[0], low, high)

    def scaled(self, factor: float) -> Range:
        """Returns the range of `factor` times the value."""
        start = None if self.start is None else factor * self.start
        return dataclasses.replace(self, low=factor * self.low, high=factor * self.high, start=start)


@dataclasses.dataclass(frozen=True)
class Space:
    """Hyperparameters that a search changes, with their ranges. All others keep the values of the run.

    The hyperparameters of a population are one `HyperParams` whose fields are arrays of shape (member,).

    Example:
        >>> import numpy as np
        >>> from lfadsx import HyperParams
        >>> from lfadsx.search import Range, Space
        >>> space = Space({"learning_rate": Range(1e-3, 1e-2, log=True), "cd_rate": Range(0.1, 0.7, start=0.5)})
        >>> hyper = space.sample(np.random.default_rng(0), 3, HyperParams(dropout_rate=0.1))
        >>> hyper.cd_rate, hyper.dropout_rate
        (array([0.5, 0.5, 0.5]), array([0.1, 0.1, 0.1]))

    Raises:
        LfadsxError: If a name is not a hyperparameter, or a range is not valid.
    """

    ranges: Mapping[str, Range]
    """Ranges by name of a field of `HyperParams`."""
    reduction: Reduction = "sum"
    """Reduction of the loss that the scales of KL and L2 terms refer to; see `converted`."""

    def __post_init__(self) -> None:
        """Copies and checks the ranges."""
        object.__setattr__(self, "ranges", dict(self.ranges))
        if self.reduction not in get_args(Reduction):
            raise LfadsxError(f"`reduction` must be 'sum' or 'mean', got {self.reduction!r}.")
        for name, span in self.ranges.items():
            _check_name(name)
            span.check(name)

    @classmethod
    def default(cls) -> Space:
        """Returns a space around the defaults of `HyperParams`.

        It is narrower than `autolfads`, because the defaults did well on two recordings. Rates stay inside their
        ranges: values far outside teach little. The best weight of a KL term depends on the number of bins and
        neurons. Its range therefore spans a factor of 10 to either side, and perturbed values may leave it.

        The learning rate is left out. It has a schedule, and a smaller rate wins a tournament at once, whether or not
        it is better in the end. Penalties on recurrent weights are left out, too: they are 0 by default, and
        multiplication cannot change 0.
        """
        kl = Range(4e-3, 0.4, log=True, width=0.8, bounded=False)
        ranges = {"dropout_rate": Range(0.05, 0.5), "cd_rate": Range(0.1, 0.7), "kl_ic_scale": kl, "kl_co_scale": kl}
        return cls(ranges)

    @classmethod
    def autolfads(cls) -> Space:
        """Returns the space of AutoLFADS. Its scales refer to a mean over bins and neurons.

        Source: Keshtkaran et al. 2022, with the numbers of the script that lfads-torch comes with.
        """
        l2 = Range(1e-4, 1.0, log=True, width=0.8, bounded=False)
        return cls(
            {
                "learning_rate": Range(1e-5, 5e-3, log=True, start=4e-3),
                "dropout_rate": Range(0.0, 0.6),
                "cd_rate": Range(0.01, 0.7, start=0.5),
                "kl_co_scale": Range(1e-6, 1e-4, log=True, width=0.8, bounded=False),
                "kl_ic_scale": Range(1e-6, 1e-3, log=True, width=0.8, bounded=False),
                "l2_gen_scale": l2,
                "l2_con_scale": l2,
            },
            "mean",
        )

    def sample(self, rng: np.random.Generator, n: int, hyper: HyperParams) -> HyperParams:
        """Returns the first hyperparameters of n members.

        Args:
            rng: Source of all randomness.
            n: Number of members.
            hyper: Hyperparameters of the run, numbers; used for those that are not in the space.
        """
        drawn = {name: span.sample(rng, n) for name, span in self._in_order()}
        return dataclasses.replace(repeat(hyper, n), **drawn)

    def perturb(
        self,
        rng: np.random.Generator,
        hyper: HyperParams,
        which: Bool[np.ndarray, " member"],
        how: Perturbation = "log",
    ) -> HyperParams:
        r"""Returns hyperparameters with those of some members changed at random.

        A value of width w is multiplied by

        .. math::
            (1 + w)^{\pm s} \text{ (log)}, \qquad 1 \pm s w \text{ (linear)}

        with a random sign and a random share :math:`s \sim U(0.002, 1)`, drawn for each member and hyperparameter.
        On average, "log" leaves the logarithm of a value unchanged, so values do not drift; "linear" lowers it.

        A value outside its bounds is drawn again, and clipped after 100 draws. Values always pass `HyperParams.check`,
        whether the range is bounded or not.

        Source: "linear" is the rule of lfads-torch; "log" is symmetric like that of the AutoLFADS program in
        TensorFlow.

        Args:
            rng: Source of all randomness.
            hyper: Hyperparameters of all members, arrays of shape (member,).
            which: Members to change, shape (member,); the others stay exactly as they are.
            how: Rule of the change.
        """
        changed = {}
        for name, span in self._in_order():
            values = getattr(hyper, name)
            changed[name] = np.where(which, span.perturb(rng, values, how, limits(name)), values)
        return dataclasses.replace(hyper, **changed)

    def converted(self, reduction: Reduction, entries: float) -> Space:
        """Returns the space for a loss of the given reduction.

        Args:
            reduction: The reduction of the run.
            entries: Number of reconstructed bins times number of reconstructed neurons.
        """
        if reduction == self.reduction:
            return self
        factor = entries if reduction == "sum" else 1.0 / entries
        ranges = {name: s.scaled(factor) if _is_scale(name) else s for name, s in self.ranges.items()}
        return Space(ranges, reduction)

    def to_dict(self) -> dict[str, Any]:
        """Returns the space as a JSON object."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Any) -> Space:
        """Returns the space of a JSON object as `to_dict` returns it.

        Raises:
            LfadsxError: If keys are missing or unknown, or a value is not valid.
        """
        _check_keys("The search space", content, cls, ("reduction", "ranges"))
        ranges = content["ranges"]
        if not isinstance(ranges, dict):
            raise LfadsxError(
                f"`ranges` of the search space must be an object with a range for each name, got {ranges!r}."
            )
        return cls({name: _range_of(name, entries) for name, entries in ranges.items()}, content["reduction"])

    def to_json(self, path: str | Path) -> None:
        """Writes the space to a JSON file, which you may edit."""
        write_json(path, self)

    @classmethod
    def from_json(cls, path: str | Path) -> Space:
        """Reads a space from a JSON file.

        Raises:
            LfadsxError: If the file cannot be read, is not JSON or does not hold a space.
        """
        try:
            content = json.loads(Path(path).read_text())
        except OSError as error:
            raise LfadsxError(f"The file {str(path)!r} cannot be read ({error.strerror}). Check the path.") from error
        except (ValueError, RecursionError) as error:  # not text, not JSON, or brackets without end
            raise LfadsxError(
                f"The file {str(path)!r} must hold JSON ({error}). `Space.to_json` writes an example."
            ) from error
        try:
            return cls.from_dict(content)
        except ValueError as error:
            raise LfadsxError(f"In {str(path)!r}: {error}") from error

    def _in_order(self) -> list[tuple[str, Range]]:
        """Returns the ranges in the order of `HyperParams`, so that equal spaces draw equal values."""
        return [(name, self.ranges[name]) for name in _names(HyperParams) if name in self.ranges]


def repeat(hyper: HyperParams, n: int) -> HyperParams:
    """Returns the same hyperparameters for each of n members: float64 arrays of shape (member,)."""
    return jax.tree.map(lambda value: np.full(n, value, np.float64), hyper)


def limits(name: str) -> tuple[float, float]:
    """Returns the smallest and the largest float32 value that `HyperParams.check` accepts."""
    numbers = np.finfo(np.float32)
    below_one = float(np.nextafter(np.float32(1), np.float32(0)))
    allowed = HYPER_RANGES.get(name, AT_LEAST_0)
    largest = {BELOW_1: below_one, FROM_0_TO_1: 1.0}.get(allowed, float(numbers.max))
    return float(numbers.tiny) if allowed == ABOVE_0 else 0.0, largest


def _names(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _is_scale(name: str) -> bool:
    """Whether a hyperparameter depends on the reduction: `HyperParams.summed` then changes it."""
    return getattr(HyperParams(**{name: 0.5}).summed(2, 1), name) != 0.5


def _check_name(name: str) -> None:
    names = _names(HyperParams)
    if name in names:
        return
    if name in _names(ModelConfig):
        raise LfadsxError(
            f"`{name}` changes shapes of arrays or the program, so one population cannot search over it. Run "
            "`lfadsx sweep` over it instead."
        )
    if name in _names(TrainConfig):
        raise LfadsxError(
            f"`{name}` is a setting of the run, which all members share. Set it for the run, and search over "
            f"{', '.join(names)}."
        )
    raise LfadsxError(f"A range must be of one of {', '.join(names)}, got {name!r}{nearest(name, names)}.")


def _range_of(name: str, entries: Any) -> Range:
    """Returns the range that a JSON object describes."""
    _check_keys(f"The range of `{name}`", entries, Range, ("low", "high"))
    words = {float: "a number", bool: "true or false", type(None): "null"}
    hints = get_type_hints(Range)
    for key, value in entries.items():
        kinds = get_args(hints[key]) or (hints[key],)
        if type(value) not in kinds and not (float in kinds and type(value) is int):
            expected = " or ".join(words[kind] for kind in kinds)
            raise LfadsxError(f"`{key}` of the range of `{name}` must be {expected}, got {value!r}.")
    return Range(**entries)


def _check_keys(what: str, content: Any, kind: type, required: tuple[str, ...]) -> None:
    """Raises LfadsxError unless `content` is a JSON object whose keys are fields of a dataclass."""
    keys = _names(kind)
    if not isinstance(content, dict):
        raise LfadsxError(f"{what} must be an object with the keys {', '.join(keys)}, got {content!r}.")
    if unknown := [key for key in content if key not in keys]:
        raise LfadsxError(f"The keys of {what[0].lower()}{what[1:]} must be {', '.join(keys)}, got {unknown[0]!r}.")
    if missing := [key for key in required if key not in content]:
        raise LfadsxError(f"{what} must have the key {missing[0]!r}. Add it.")
