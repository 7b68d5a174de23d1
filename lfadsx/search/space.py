"""What a search draws from and moves in: ranges of hyperparameters."""

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

from lfadsx.config import HyperParams, ModelConfig, TrainConfig
from lfadsx.errors import LfadsxError, nearest
from lfadsx.files import write_json

Reduction = Literal["sum", "mean"]
"""Whether scales refer to a loss that is summed over bins and neurons, or to its mean."""

Perturbation = Literal["log", "linear"]
"""Whether a change is symmetric in the logarithm of a value, or in the value itself."""

TRIES = 100
"""Perturbations that are drawn for a value; the first one inside its bounds counts."""

SMALLEST_CHANGE = 0.002
"""The smallest change of a perturbation as a share of the largest."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Where the values of one hyperparameter lie, and how far a perturbation moves them.

    Perturbations multiply, so that a value of 0 stays.

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
    """Whether the logarithm of the value is drawn uniformly, not the value."""
    start: float | None = None
    """What all members of a population begin with; None: each draws its own."""
    width: float = 0.3
    """Largest relative change of a perturbation."""
    bounded: bool = True
    """Whether perturbed values stay inside the range, too."""

    def check(self, name: str) -> None:
        """Raises LfadsxError if this is no range of the hyperparameter called `name`."""
        for end in (self.low, self.high):
            HyperParams(**{name: end}).check()
        if self.low > self.high:
            raise LfadsxError(
                f"The range of {name} is empty: low = {self.low} is above high = {self.high}. Exchange them."
            )
        if self.log and self.low <= 0:
            raise LfadsxError(
                f"The range of {name} is logarithmic and begins at low = {self.low}. "
                "Give a low above 0, or leave log out."
            )
        if self.start is not None and not self.low <= self.start <= self.high:
            raise LfadsxError(
                f"start = {self.start} of {name} is outside its range from {self.low} to {self.high}. "
                "Give a start inside, or leave it out."
            )
        if not 0 < self.width < math.inf:
            raise LfadsxError(f"width = {self.width} of {name} is no relative change. Give a number above 0.")

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
        """Returns values that are changed at random, each by itself.

        Args:
            rng: Source of all randomness.
            values: What is changed.
            how: "log" or "linear", see `Space.perturb`.
            limits: Smallest and largest value where the range does not bound.
        """
        low, high = (self.low, self.high) if self.bounded else limits
        candidates = values * self._factors(rng, (TRIES, len(values)), how)
        first_inside = np.argmax((low <= candidates) & (candidates <= high), axis=0)
        return np.clip(np.take_along_axis(candidates, first_inside[None], axis=0)[0], low, high)

    def scaled(self, factor: float) -> Range:
        """Returns the range of what is `factor` times as large."""
        start = None if self.start is None else factor * self.start
        return dataclasses.replace(self, low=factor * self.low, high=factor * self.high, start=start)

    def _factors(self, rng: np.random.Generator, shape: tuple[int, ...], how: Perturbation) -> np.ndarray:
        change = rng.uniform(SMALLEST_CHANGE, 1.0, shape) * rng.choice((-1.0, 1.0), shape)
        return np.exp(change * np.log1p(self.width)) if how == "log" else 1.0 + change * self.width


@dataclasses.dataclass(frozen=True)
class Space:
    """The hyperparameters that a search changes, each with its range; all others stay as they are given.

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
        LfadsxError: If a name is no hyperparameter, or a range makes no sense.
    """

    ranges: Mapping[str, Range]
    """By name, the ranges of fields of `HyperParams`."""
    reduction: Reduction = "sum"
    """The loss that scales of KL and L2 terms refer to; `converted` gives those for the other one."""

    def __post_init__(self) -> None:
        """Keeps a copy of the ranges and checks them."""
        object.__setattr__(self, "ranges", dict(self.ranges))
        if self.reduction not in get_args(Reduction):
            raise LfadsxError(f"reduction = {self.reduction!r} is none of the choices. Give one of 'sum', 'mean'.")
        for name, span in self.ranges.items():
            _check_name(name)
            span.check(name)

    @classmethod
    def default(cls) -> Space:
        """Returns a space around the defaults of `HyperParams`.

        It is narrower than `autolfads` because those defaults did well on two recordings. Rates stay inside their
        ranges, lest members wander where they learn little. The best weight of a KL term depends on the number of
        bins and neurons, so its range is ten times as wide to either side, and only where members begin. The learning
        rate is left out: it has its schedule, and in a tournament a smaller one wins at once, whether or not it is
        better in the end. Penalties on recurrent weights are left out, too: there are none by default, and no
        multiplication would bring them back from 0.
        """
        kl = Range(4e-3, 0.4, log=True, width=0.8, bounded=False)
        ranges = {"dropout_rate": Range(0.05, 0.5), "cd_rate": Range(0.1, 0.7), "kl_ic_scale": kl, "kl_co_scale": kl}
        return cls(ranges)

    @classmethod
    def autolfads(cls) -> Space:
        """Returns the space of AutoLFADS, whose scales are those of a mean over bins and neurons.

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
        """Returns the hyperparameters with which n members begin.

        Args:
            rng: Source of all randomness.
            n: Number of members.
            hyper: Numbers, for what is not in the space.
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
        r"""Returns hyperparameters of which some members' are changed at random.

        With a random sign and a random share :math:`s \sim U(0.002, 1)`, both drawn for each member and
        hyperparameter, a value of width w is multiplied by

        .. math::
            (1 + w)^{\pm s} \text{ (log)}, \qquad 1 \pm s w \text{ (linear)}.

        The first leaves the logarithm of a value where it is on average, so that values do not drift; the second lowers
        it. A value outside its bounds is drawn again, and cut off if 100 draws have not brought it inside. No value
        leaves what `HyperParams.check` lets pass, bounded or not.

        Source: linear is the rule of lfads-torch; log is symmetric as that of the AutoLFADS program in TensorFlow.

        Args:
            rng: Source of all randomness.
            hyper: Hyperparameters of all members, arrays of shape (member,).
            which: Members to change; the others stay exactly as they are.
            how: How values are changed.
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
            entries: Number of reconstructed bins times that of reconstructed neurons.
        """
        if reduction == self.reduction:
            return self
        factor = entries if reduction == "sum" else 1.0 / entries
        ranges = {name: s.scaled(factor) if _is_scale(name) else s for name, s in self.ranges.items()}
        return Space(ranges, reduction)

    def to_dict(self) -> dict[str, Any]:
        """Returns the space as a JSON object."""
        return {"reduction": self.reduction, "ranges": {name: dataclasses.asdict(s) for name, s in self.ranges.items()}}

    @classmethod
    def from_dict(cls, content: Any) -> Space:
        """Returns the space that a JSON object describes, such as `to_dict` gives.

        Raises:
            LfadsxError: If keys are missing or unknown, or a value makes no sense.
        """
        _check_keys("The search space", content, cls, ("reduction", "ranges"))
        ranges = content["ranges"]
        if not isinstance(ranges, dict):
            raise LfadsxError(f"The search space has ranges = {ranges!r}. Give an object with a range for each name.")
        return cls({name: _range_of(name, entries) for name, entries in ranges.items()}, content["reduction"])

    def to_json(self, path: str | Path) -> None:
        """Writes the space to a JSON file, which you may edit."""
        write_json(path, self.to_dict())

    @classmethod
    def from_json(cls, path: str | Path) -> Space:
        """Reads a space from a JSON file.

        Raises:
            LfadsxError: If the file cannot be read, is no JSON, or describes no space; it names the file and the key.
        """
        try:
            content = json.loads(Path(path).read_text())
        except OSError as error:
            raise LfadsxError(f"The file {str(path)!r} cannot be read ({error.strerror}). Check the path.") from error
        except ValueError as error:  # no text, or no JSON
            raise LfadsxError(
                f"The file {str(path)!r} is no JSON ({error}). Write one with Space.to_json to see what it looks like."
            ) from error
        try:
            return cls.from_dict(content)
        except ValueError as error:
            raise LfadsxError(f"In {str(path)!r}: {error}") from error

    def _in_order(self) -> list[tuple[str, Range]]:
        """The ranges in the order of `HyperParams`, so that equal spaces draw equal values."""
        return [(name, self.ranges[name]) for name in _names(HyperParams) if name in self.ranges]


def repeat(hyper: HyperParams, n: int) -> HyperParams:
    """Returns the same hyperparameters for each of n members: float64 arrays of shape (member,)."""
    return jax.tree.map(lambda value: np.full(n, value, np.float64), hyper)


def limits(name: str) -> tuple[float, float]:
    """Returns the smallest and the largest value, in float32, that `HyperParams.check` lets pass."""
    numbers = np.finfo(np.float32)
    below_one = float(np.nextafter(np.float32(1), np.float32(0)))
    largest = {"dropout_rate": below_one, "cd_rate": below_one, "cd_pass_rate": 1.0}
    return float(numbers.tiny) if name == "learning_rate" else 0.0, largest.get(name, float(numbers.max))


def _names(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _is_scale(name: str) -> bool:
    """Whether a hyperparameter refers to the sum or the mean, which `HyperParams.summed` knows."""
    return getattr(HyperParams(**{name: 0.5}).summed(2, 1), name) != 0.5


def _check_name(name: str) -> None:
    names = _names(HyperParams)
    if name in names:
        return
    if name in _names(ModelConfig):
        raise LfadsxError(
            f"{name} changes the shapes of arrays or the program, so it cannot be searched inside one program. "
            "Run `lfadsx sweep` over it instead."
        )
    if name in _names(TrainConfig):
        raise LfadsxError(
            f"{name} is a setting of the whole run, which all members share. "
            f"Set it for the run, and search over {', '.join(names)}."
        )
    raise LfadsxError(f"{name!r} is no hyperparameter{nearest(name, names)}. Choose one of {', '.join(names)}.")


def _range_of(name: str, entries: Any) -> Range:
    """The range that a JSON object describes."""
    _check_keys(f"The range of {name}", entries, Range, ("low", "high"))
    words = {float: "a number", bool: "true or false", type(None): "null"}
    hints = get_type_hints(Range)
    for key, value in entries.items():
        kinds = get_args(hints[key]) or (hints[key],)
        if type(value) not in kinds and not (float in kinds and type(value) is int):
            expected = " or ".join(words[kind] for kind in kinds)
            raise LfadsxError(f"The range of {name} has {key} = {value!r}. Give {expected}.")
    return Range(**entries)


def _check_keys(what: str, content: Any, kind: type, required: tuple[str, ...]) -> None:
    """Raises LfadsxError if `content` is no JSON object with the fields of a dataclass as its keys."""
    keys = _names(kind)
    if not isinstance(content, dict):
        raise LfadsxError(f"{what} is {content!r}. Give an object with the keys {', '.join(keys)}.")
    for key in content:
        if key not in keys:
            raise LfadsxError(f"{what} has the unknown key {key!r}. Its keys are {', '.join(keys)}.")
    for key in required:
        if key not in content:
            raise LfadsxError(f"{what} lacks the key {key!r}. Add it.")
