"""The command that trains: lfadsx fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfadsx.cli.population_flags import Population
from lfadsx.cli.terminal import print_scores, report
from lfadsx.cli.training_flags import Training
from lfadsx.errors import LfadsxError
from lfadsx.progress import progress_shown, step

if TYPE_CHECKING:
    from lfadsx.data.dataset import Dataset
    from lfadsx.pipeline import Outcome


@dataclasses.dataclass(kw_only=True)
class Fit(Training):
    """Train LFADS on data files, infer all trials, score them and draw figures.

    The same command resumes an interrupted run; with more --epochs it trains a finished run further.
    """

    common = (
        *("files", "out", "variant", "factors", "generator_dim", "inferred_inputs", "likelihood", "bin_width"),
        *("learning_rate", "epochs", "batch_size", "population", "start_from", "figures", "devices", "seed"),
        *("config", "set", "json"),
    )
    examples = (
        "lfadsx fit day1.h5 --out runs/day1",
        "lfadsx fit day1.h5 day2.h5 --out runs/both --align-sessions 20",
        "lfadsx fit day1.nwb --out runs/day1 --align go_cue --window -0.25 0.45",
        "lfadsx fit day1.h5 --out runs/search --population 16",
    )

    start_from: Path | None = None
    """Run folder whose best model is trained further, instead of a new one. Flags of the architecture are then without
    effect. Sessions that the model lacks get new read-ins and read-outs."""
    new_sessions_only: bool = False
    """Train only the read-ins and read-outs of sessions that the model of --start-from lacks."""
    reset_learning_rate: bool = False
    """Restart the learning rate when a run is resumed."""
    population: Population = dataclasses.field(default_factory=Population)
    """Population of models, and its search."""
    tensorboard: bool = False
    """Write a TensorBoard log into the run folder: scalars and, with --figures, single trials."""

    def run(self) -> int:
        """Trains, infers, scores and writes."""
        from lfadsx.cli.own_parts import parts_by_seam, parts_in
        from lfadsx.pipeline import population_run, start_from
        from lfadsx.pipeline.tensorboard import TensorBoard
        from lfadsx.processes import is_first
        from lfadsx.training import RunFolder

        self._check()
        RunFolder(self.out).check_own()
        RunFolder(self.out).begun(population=self.population.population > 1)
        n_members = self.population.population
        mesh, model = self.mesh(n_members), self.model
        with progress_shown(is_first()), step("reading"):
            data = self.read_aligned(None if self.start_from is None else RunFolder(self.start_from).info.kinds)
        hyper, train = self.suited(data)
        if self.start_from is not None:
            model, train = start_from(
                self.start_from,
                data,
                train,
                new_sessions_only=self.new_sessions_only,
                parts=parts_in(self.parts).values(),
            )
        how: dict[str, Any] = dict(model=model, hyper=hyper, train=train, mesh=mesh)
        how["parts"] = parts_by_seam(self.parts)
        how |= dict(n_samples=self.samples, figures=self.figures, figure_format=self.figure_format)
        if n_members > 1:
            how |= dict(strategy=self.population.strategy(), population=self.population.sizes)
            return report(population_run(data, self.out, **how), self.json, data.findings)
        if self.tensorboard and is_first():
            how["callbacks"] = [TensorBoard(self.out / "tensorboard", data if self.figures else None)]
        code, _ = report_fit(data, self.out, self.json, **how, reset_learning_rate=self.reset_learning_rate)
        return code

    def _check(self) -> None:
        """Raises LfadsxError if a flag is given that needs another one, or does not go with it."""
        if self.new_sessions_only and self.start_from is None:
            raise LfadsxError("`--new-sessions-only` needs a trained model. Give its run folder: --start-from RUN.")
        if self.population.population == 1:
            self.population.check_single()
        elif self.tensorboard or self.reset_learning_rate:
            raise LfadsxError(
                "`--tensorboard` and `--reset-learning-rate` need a single model, got --population "
                f"{self.population.population}. Leave them out, or train one model."
            )


def report_fit(data: Dataset, out: Path, as_json: bool, **how: Any) -> tuple[int, Outcome]:
    """Calls `fit_run`, prints the scores before figures are drawn, and returns the exit code and the outcome."""
    from lfadsx.pipeline import fit_run

    printed = []

    def on_scores(outcome: Outcome) -> None:
        print_scores(outcome, as_json)
        printed.append(True)

    outcome = fit_run(data, out, **how, on_scores=on_scores)
    return report(outcome, as_json, data.findings, scores_printed=bool(printed)), outcome
