"""A callback for TensorBoard: terms of the loss, prior of the inputs, and figures of single trials."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from lfadsx.data.dataset import Dataset
from lfadsx.data.splits import choose
from lfadsx.distributions import CorrelatedPrior
from lfadsx.errors import LfadsxError, MissingExtraError
from lfadsx.files import writing
from lfadsx.inference import infer_trials
from lfadsx.models.lfads import LFADS
from lfadsx.results.labels import Labels
from lfadsx.training.callbacks import AbstractCallback, Progress
from lfadsx.training.history import STEP_SIZE

TAGS = {
    "loss": "loss/train",
    "valid_loss": "loss/valid",
    "reconstruction": "reconstruction/train",
    "valid_reconstruction": "reconstruction/valid",
    "sv_trained": "sample_validation/trained",
    "sv_withheld": "sample_validation/withheld",
    "kl_ic": "kl_ic/train",
    "valid_kl_ic": "kl_ic/valid",
    "kl_inputs": "kl_inputs/train",
    "valid_kl_inputs": "kl_inputs/valid",
    "kl_bias": "kl_bias/train",
    "valid_kl_bias": "kl_bias/valid",
    "score": "selection_score/valid",
    "l2": "penalty/l2",
    "correlation": "penalty/correlation_of_inputs",
    "kl_ic_weight": "weight/kl_ic",
    "kl_co_weight": "weight/kl_co",
    "l2_weight": "weight/l2",
    "learning_rate": "optimiser/learning_rate",
    "grad_norm": "optimiser/gradient_norm",
}
"""Names in TensorBoard of the figures of the history."""


class TensorBoard(AbstractCallback):
    """Writes scalars after every epoch, and regularly a figure of one training and one validation trial.

    Scalars are the terms of the loss in nats per trial, their weights, learning rate, norm of the gradient, and time
    constant (bins) and stationary variance of each input's prior, if it has them. The figure is
    `lfadsx.plotting.example_figure` of random trials. Steps of the file are epochs, and a resumed run continues it.
    Each member of a population has its own tags; the figure shows the first member.

    Example:
        ```python
        lfadsx.fit(model, data, out="run", callbacks=[TensorBoard("run/tensorboard", data)])
        ```

    Args:
        folder: Folder of the event files.
        data: The data set for figures; without it no figures are drawn.
        figure_every: Epochs between two figures.
        n_samples: Posterior samples of the averages in a figure.
        seed: Seed of the choice of trials.

    Raises:
        MissingExtraError: If tensorboardX is missing, or figures are requested and matplotlib is missing.
    """

    def __init__(
        self,
        folder: str | Path,
        data: Dataset | None = None,
        *,
        figure_every: int = 10,
        n_samples: int = 64,
        seed: int = 0,
    ) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "Logs for TensorBoard need tensorboardX, which is not installed. Install it with "
                '`pip install "lfadsx[log]"`.'
            ) from error
        if figure_every < 1:
            raise LfadsxError(f"`figure_every` must be at least 1 epoch, got {figure_every}.")
        if data is not None:
            import lfadsx.plotting  # noqa: F401 - fails now if matplotlib is missing, not after ten epochs
        self._folder = Path(folder)
        self._open = lambda: SummaryWriter(str(folder))
        self._writer: Any = None
        self.data, self.figure_every, self.n_samples = data, figure_every, n_samples
        self._random = np.random.default_rng(seed)

    def on_start(self, progress: Progress) -> None:
        """Opens the event file."""
        self._writer = self._open()

    def on_epoch_end(self, progress: Progress) -> None:
        """Writes the scalars of an epoch, and a figure every `figure_every` epochs."""
        with writing(self._folder):
            self._write(progress)

    def _write(self, progress: Progress) -> None:
        epoch, latest = progress.epoch, progress.latest
        for member, row in enumerate(latest):
            model = progress.model(member)
            row = row | {"learning_rate": row.get(STEP_SIZE, row["learning_rate"])}
            scalars = {tag: row[name] for name, tag in TAGS.items() if name in row} | _prior_of_inputs(model)
            of = f"/member_{member}" if len(latest) > 1 else ""
            for tag, value in scalars.items():
                if math.isfinite(value):
                    self._writer.add_scalar(tag + of, value, epoch)
        if self.data is not None and epoch % self.figure_every == 0:
            self._writer.add_figure("example", self._figure(progress.model(0), self.data), epoch)
        self._writer.flush()

    def on_end(self, progress: Progress) -> None:
        """Closes the event file."""
        self._writer.close()

    def _figure(self, model: LFADS, data: Dataset) -> Any:
        from lfadsx.plotting import example_figure

        trials = {}
        for title, split in {"Training": data.train, "Validation": data.valid}.items():
            one = choose(split, self._random.integers(split.n_trials, size=1))
            trials[title] = (one, infer_trials(model, Labels.of(data), one, self.n_samples, 0))
        return example_figure(data, trials)


def _prior_of_inputs(model: LFADS) -> dict[str, float]:
    """Returns time constant (bins) and stationary variance of each input's prior; empty for priors without them."""
    prior = model.decoder.input_prior
    if not isinstance(prior, CorrelatedPrior):
        return {}
    values = {"tau": np.exp(np.asarray(prior.log_tau[...])).ravel()}
    values["variance"] = np.asarray(prior.stationary_variance).ravel()
    return {f"input_prior/{name}_{i}": float(v) for name, own in values.items() for i, v in enumerate(own)}
