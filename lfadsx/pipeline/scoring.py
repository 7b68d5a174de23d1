"""`evaluate` and its job: infer and score a split of a data set."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Float

from lfadsx.data.behaviour_target import with_behaviour_target
from lfadsx.data.dataset import Dataset
from lfadsx.data.split_names import ALL, split_name
from lfadsx.dynamics import Trust, step_map, trust, visit
from lfadsx.errors import DataError, LfadsxError
from lfadsx.evaluation import Evaluation, score_posteriors
from lfadsx.files import plain
from lfadsx.findings import Finding, attempt
from lfadsx.inference import infer, masked_rates
from lfadsx.models.lfads import LFADS
from lfadsx.models.new_sessions import with_sessions
from lfadsx.pipeline.outcome import Outcome, scores_text
from lfadsx.results.posterior import Posterior
from lfadsx.training.run_folder import RunFolder, Which
from lfadsx.training.run_info import RunInfo


def evaluate(
    model: LFADS,
    data: Dataset,
    split: str | None = None,
    *,
    n_samples: int = 64,
    seed: int = 0,
    posteriors: Mapping[str, Posterior] | None = None,
    baselines: Mapping[str, Float[np.ndarray, "trial time target_channel"]] | None = None,
    psth_kernel_bins: float | None = None,
    mesh: Mesh | None = None,
) -> Evaluation:
    """Infers a split, also with entries hidden from the encoder, and scores it together with baselines.

    Example:
        >>> import lfadsx
        >>> data = lfadsx.datasets.chaotic_rnn(conditions=2, duration=0.1)
        >>> model = lfadsx.autonomous(data, generator_dim=8, seed=0)
        >>> score = lfadsx.evaluate(model, data, n_samples=2)
        >>> score.scores["split"], score.scores["masked_bps"] is not None
        ('valid', True)

    Args:
        model: The model.
        data: The data set; regressions, alignments and baselines are fitted on its training trials.
        split: "train", "valid" or "test"; by default test if there is one, else valid.
        n_samples: Posterior samples per trial; 0 pushes the posterior means through.
        seed: Seed of the samples and of the hidden entries.
        posteriors: Results of `infer` by split, if they exist already; other splits are inferred.
        baselines: Rates of baselines for this split by name, as `lfadsx.evaluation.baselines.fit_baselines` returns
            them; an empty dictionary for no baselines. By default they are fitted.
        psth_kernel_bins: Standard deviation, in bins, of the Gaussian that smooths PSTHs of the data. By default 50 ms,
            or 2 bins if the bin width is unknown.
        mesh: Devices to spread the trials over, on its axis `data`.

    Returns:
        The scores; printed, a table with standard errors, the verdict and the findings.

    Raises:
        LfadsxError: If the data do not fit the model or have no such split.
    """
    split = split_name(data.splits, split)
    if split == ALL:
        raise LfadsxError(
            f"`split` must be one of {', '.join(map(repr, data.splits))}, got 'all', which mixes trials with those of "
            "training."
        )
    given = posteriors or {}
    found = {
        name: given[name] if name in given else infer(model, data, name, n_samples=n_samples, seed=seed, mesh=mesh)
        for name in dict.fromkeys(("train", split))
    }
    masked = masked_rates(model, data, split, seed=seed, mesh=mesh)
    scores = score_posteriors(
        data,
        found,
        masked,
        split=split,
        baselines=baselines,
        ablated=without_inputs(model, data, split, found[split], mesh=mesh),
        psth_kernel_bins=psth_kernel_bins,
    )
    return with_trust_checks(scores, model, data, found[split])


def with_trust_checks(scores: Evaluation, model: LFADS, data: Dataset, posterior: Posterior) -> Evaluation:
    """Returns scores with the trust checks of the model's dynamics: `detail["dynamics"]`, and their findings."""
    failed: list[Finding] = []
    checks = functools.partial(trust_of, model, data, scores.scores["split"], posterior)
    found = attempt(failed, "check of the dynamics", "", checks)
    findings = (*scores.findings, *(() if found is None else found.findings), *failed)
    detail = scores.detail | plain({"dynamics": found, "findings": findings})
    return dataclasses.replace(scores, findings=findings, detail=detail)


def trust_of(model: LFADS, data: Dataset, split: str, posterior: Posterior | None = None) -> Trust:
    """Returns the trust checks of a model in the trials of a split; `posterior` as in `lfadsx.dynamics.visit`."""
    system = step_map(model, data)
    return trust(system, visit(model, data, system, split, posterior=posterior))


def without_inputs(
    model: LFADS, data: Dataset, split: str, posterior: Posterior, *, mesh: Mesh | None = None
) -> Posterior | None:
    """Returns the posterior of a split with inferred inputs set to 0, which other groups are scored by, too.

    None without other groups or inferred inputs.
    """
    if model.decoder.input_prior is None or len(model.likelihood) == 1:
        return None
    n_samples, seed = posterior.n_samples, posterior.seed
    return infer(model, data, split, n_samples=n_samples, seed=seed, without_inputs=True, mesh=mesh)


def evaluate_run(
    run: str | Path,
    data: Dataset,
    *,
    split: str | None = None,
    which: Which = "best",
    n_samples: int = 64,
    seed: int = 0,
    mesh: Mesh | None = None,
    parts: Iterable[type[nnx.Module]] = (),
) -> Outcome:
    """Scores a run's model on a data set of the same sessions.

    `which` and `parts` are as in `lfadsx.load`, the other arguments as in `lfadsx.evaluate`.

    Raises:
        RunError: If the folder holds no run.
        DataError: If the model does not know a session of the data.
        LfadsxError: If the data do not fit the model or have no such split.
    """
    began, folder, split = time.monotonic(), RunFolder(run), split_name(data.splits, split)
    info = folder.info
    check_bin_width(info, data.bin_width)
    data, model = matched(info, data, folder.load(which=which, parts=parts))
    posteriors = {
        name: infer(model, data, name, n_samples=n_samples, seed=seed, mesh=mesh)
        for name in dict.fromkeys(("train", split))
    }
    evaluation = evaluate(model, data, split, seed=seed, posteriors=posteriors, mesh=mesh)
    return Outcome(
        text=scores_text(evaluation),
        evaluation=evaluation,
        posteriors=posteriors,
        findings=(*data.findings, *evaluation.findings),
        summary=evaluation.scores,
        seconds=time.monotonic() - began,
    )


def check_bin_width(info: RunInfo, bin_width: float | None) -> None:
    """Raises DataError if the bin width of data differs from that of a model."""
    trained = info.bin_width
    if trained is not None and bin_width is not None and not np.isclose(trained, bin_width, rtol=1e-6):
        raise DataError(
            f"The bin width of the data must equal the model's, {trained} s, got {bin_width} s. Bin the data again, "
            "or train a model on them."
        )


def matched(info: RunInfo, data: Dataset, model: LFADS) -> tuple[Dataset, LFADS]:
    """Returns data and model with the same sessions in the same order, and behaviour as a target if the model has it.

    If both have one session, its name may differ. Behaviour that the data lack is missing. Raises DataError if the
    model does not know a session of the data.
    """
    known = [session.name for session in info.sessions]
    if len(known) == len(data.sessions) == 1:
        data = dataclasses.replace(data, sessions=(dataclasses.replace(data.sessions[0], name=known[0]),))
    names = [session.name for session in data.sessions]
    if unknown := [name for name in names if name not in known]:
        raise DataError(
            f"The sessions of the data must be among those of the model, {', '.join(known)}, got {unknown[0]!r}. "
            "Rename the files, or add the session to the model (--start-from RUN --new-sessions-only)."
        )
    if (group := info.data.get("behaviour_target")) is not None:
        named = data if data.train.behaviour is not None else dataclasses.replace(data, behaviour_name=group)
        data = with_behaviour_target(named, {session.name: session.n_targets[group] for session in info.sessions})
    return data, model if names == known else with_sessions(model, data, rngs=nnx.Rngs(0))
