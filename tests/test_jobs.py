"""Jobs and how they end: nothing after training takes its results along, findings are said, failures are told apart."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from test_choosing import MODEL, QUICK, TRAIN, marked, recording
from test_cli import SMALL, last_json

import lfadsx
from lfadsx import cli
from lfadsx.data import write_dataset
from lfadsx.errors import LfadsxError, PartError, RunError
from lfadsx.files import write_text
from lfadsx.pipeline import cross_validate, evaluate_run, fit_run, sweep
from lfadsx.results.results_file import read_posteriors
from lfadsx.training import RunFolder, checkpoint

HOW = dict(model=MODEL, train=TRAIN, n_samples=4, figures=False, progress=False)


@pytest.fixture(scope="module")
def data():
    return recording()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A finished run, which is only inferred and scored when its job is called again."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, fit_run(data, out, **HOW)


def breaks(*_, **__):
    raise ZeroDivisionError("no scores today")


def names(outcome):
    return [finding.name for finding in outcome.findings]


# After training


@pytest.mark.slow
def test_an_outcome_keeps_what_was_inferred(run):
    out, outcome = run
    written = read_posteriors(out / "posterior.h5")
    assert list(outcome.posteriors) == list(written) == ["train", "valid", "test"]
    np.testing.assert_array_equal(outcome.posteriors["test"].rates["spikes"], written["test"].rates["spikes"])
    assert outcome.evaluation.verdict in outcome.text and "Judge by co_bps" in outcome.text
    assert len(repr(outcome).splitlines()) <= 20
    assert json.loads(outcome.json_line)["co_bps"] == outcome.evaluation.scores["co_bps"]


def test_scores_that_fail_leave_posterior_report_and_a_note(run, data, monkeypatch, caplog):
    out, _ = run
    (out / "posterior.h5").unlink()
    monkeypatch.setattr("lfadsx.pipeline.after_training.score_posteriors", breaks)
    outcome = fit_run(data, out, **HOW)
    assert outcome.evaluation is None and set(read_posteriors(out / "posterior.h5")) == {"train", "valid", "test"}
    reason = "The evaluation failed and is left out (ZeroDivisionError: no scores today)."
    assert outcome.findings[-1].sentence == reason
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["findings"][-1]["sentence"] == reason and metrics["co_bps"] is None and metrics["training"]
    report = (out / "report.md").read_text()
    assert f"- warning: {reason}" in report and "No scores were computed" in report
    assert ZeroDivisionError in [record.exc_info[0] for record in caplog.records if record.exc_info]
    summary = json.loads(outcome.json_line)
    assert summary["split"] == "test" and summary["co_bps"] is None and summary["seconds"] >= 0


def test_masked_inference_that_fails_costs_its_own_scores_only(run, data, monkeypatch):
    out, before = run
    (out / "posterior.h5").unlink()  # or the finished job would not run again
    monkeypatch.setattr("lfadsx.pipeline.after_training.masked_rates", breaks)
    outcome = fit_run(data, out, **HOW)
    assert outcome.evaluation.scores["masked_bps"] is None
    assert outcome.evaluation.scores["co_bps"] == pytest.approx(before.evaluation.scores["co_bps"])
    assert "inference of hidden entries failed" in names(outcome)


@pytest.mark.parametrize(
    ("broken", "name"),
    [("lfadsx.pipeline.after_training.write_methods", "report.md"), ("lfadsx.plotting.write_figures", "")],
)
def test_a_report_or_figures_that_fail_become_a_finding(broken, name, run, data, monkeypatch):
    out, before = run
    (out / "metrics.json").unlink(missing_ok=True)  # so that the job is not finished yet
    monkeypatch.setattr(broken, breaks)
    outcome = fit_run(data, out, **HOW | {"figures": True})
    assert outcome.evaluation.scores["co_bps"] == pytest.approx(before.evaluation.scores["co_bps"])
    failed = [finding for finding in outcome.findings if finding.name.endswith("failed")]
    assert "no scores today" in failed[0].sentence and failed[0].where == name
    assert out / "metrics.json" in outcome.files


def test_a_baseline_that_overflows_never_takes_a_training_along(data, tmp_path, monkeypatch, capsys):
    def overflows(*_):
        raise OverflowError("math range error")

    monkeypatch.setattr("lfadsx.evaluation.baselines.all_baselines.condition_average", overflows)
    (file,) = write_dataset(tmp_path / "rat.h5", data)
    out = tmp_path / "run"
    assert cli.main(["fit", str(file), "--out", str(out), *SMALL, "--no-figures", "--json"]) == 0
    said = capsys.readouterr()
    assert np.isfinite(last_json(said.out)["co_bps"])
    assert "The baseline 'condition average' failed and is left out (OverflowError: math range error)." in said.err
    assert "OverflowError" in (out / "report.md").read_text()
    assert (out / "posterior.h5").exists() and (out / "metrics.json").exists()


@pytest.mark.slow
def test_collapsed_latents_are_said_wherever_results_are(tmp_path, capsys):
    """A KL that weighs so much that the initial condition carries nothing."""
    phase, t = 6.28 * np.random.default_rng(0).random(40), np.arange(20)
    rates = 0.3 * (1 + 0.8 * np.sin(phase[:, None, None] + t[None, :, None] / 4 + np.arange(8)))
    data = lfadsx.from_arrays(np.random.default_rng(1).poisson(rates), bin_width=0.01, valid_fraction=0.2)
    (file,) = write_dataset(tmp_path / "weak.h5", data)
    out, heavy = tmp_path / "run", ["--kl-co-scale", "50", "--kl-ic-scale", "50", "--learning-rate", "0.02"]
    words = [*SMALL, "--epochs", "60", "--validate-every", "10", "--no-figures", "--devices", "1", *heavy]
    assert cli.main(["fit", str(file), "--out", str(out), *words]) == 0
    said, metrics = capsys.readouterr().err, json.loads((out / "metrics.json").read_text())
    for text in (said, (out / "report.md").read_text()):
        assert (
            "warning: The posterior of the initial condition has collapsed" in text
            and "Lower kl_ic_scale (it was 50)" in text
        )
    assert "collapsed latents" in [finding["name"] for finding in metrics["findings"]]


def test_findings_of_the_data_are_kept_with_the_run(tmp_path):
    silent = recording().train.targets["spikes"] * np.array([1, 1, 0, 1, 1, 1])
    data = lfadsx.from_arrays(silent.astype(int), bin_width=0.02, valid_fraction=0.3)
    outcome = fit_run(data, tmp_path / "run", **HOW)
    assert "silent neurons" in names(outcome)
    assert "never have a count" in (tmp_path / "run" / "report.md").read_text()


@pytest.mark.slow
def test_a_model_is_read_once_to_be_scored(run, data, monkeypatch):
    out, _ = run
    restored, original = [], checkpoint.restore
    monkeypatch.setattr(checkpoint, "restore", lambda *given: restored.append(given[0]) or original(*given))
    evaluate_run(out, data, n_samples=2)
    assert len(restored) == 1


def test_a_run_folder_that_is_damaged_is_said(tmp_path):
    write_text(tmp_path / "run.json", "{")
    with pytest.raises(RunError, match=r"run.json cannot be read .*Check its permissions"):
        _ = RunFolder(tmp_path).info


# Jobs that choose and test


@pytest.mark.slow
def test_a_sweep_needs_no_folder_and_takes_settings_by_name(data):
    settings = {field.name: getattr(MODEL, field.name) for field in dataclasses.fields(MODEL)} | {"dropout_rate": 0.1}
    settings |= {"epochs": 2, "batch_size": 16, "kl_ramp_epochs": 1, "l2_ramp_epochs": 1, "validate_every": 1}
    found = sweep(data, sizes={"factors": (2, 3)}, seeds=1, n_samples=4, progress=False, **settings)
    assert len(found.rows) == 2 and found.files == [] and marked(found, "is_chosen")["factors"] in (2, 3)
    assert found.summary["chosen"].keys() == {"factors"} and "one seed" in names(found)
    assert found.posteriors["test"].rates["spikes"].shape[0] == data.test.n_trials
    with pytest.raises(LfadsxError, match="`facters` must be a setting of `sweep` .did you mean 'factors'"):
        sweep(data, sizes={"ic_dim": (2, 3)}, facters=4)


def test_a_cross_validation_without_scores_leaves_its_posterior(data, tmp_path, monkeypatch):
    monkeypatch.setattr("lfadsx.pipeline.cross_validation_job.evaluate_folds", breaks)
    found = cross_validate(data, tmp_path, folds=3, model=MODEL, **QUICK)
    assert found.evaluation is None and "evaluation failed" in names(found)
    (posterior,) = read_posteriors(tmp_path / "cross_validated.h5").values()
    np.testing.assert_array_equal(posterior.rates["spikes"], found.posteriors["all"].rates["spikes"])
    assert len(json.loads((tmp_path / "cv.json").read_text())["trials"]["fold"]) == 24
    with pytest.raises(LfadsxError, match="`fold` must be a setting of `cross_validate`"):
        cross_validate(data, fold=3)


# How commands end


@pytest.fixture
def ends(monkeypatch, capsys):
    """Runs a command with a replaced action, and returns the exit code and the output."""

    def end(does, *words):
        class Command:
            def run(self):
                return does()

        monkeypatch.setattr("lfadsx.cli.command_line.parse", lambda *_: Command())
        return cli.main(["fit", *words]), capsys.readouterr().err

    return end


def raises(error):
    def does():
        raise error

    return does


def test_what_the_user_can_mend_ends_with_code_2_and_no_traceback(ends, tmp_path):
    assert ends(raises(LfadsxError("`epochs` must be at least 1."))) == (2, "`--epochs` must be at least 1.\n")
    code, said = ends(lambda: (tmp_path / "run" / "history.csv").read_text(), "--out", str(tmp_path / "run"))
    assert code == 2 and "history.csv cannot be read or written (No such file or directory)" in said
    assert "Traceback" not in said


def test_a_full_device_names_the_settings_to_change(ends):
    for error in (
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\na long dump"),
        MemoryError("too much"),
    ):
        code, said = ends(raises(error))
        assert code == 2 and all(flag in said for flag in ("--trials-at-once", "--batch-size", "--samples"))
        assert "Traceback" not in said and "dump" not in said


@pytest.mark.parametrize(
    "does",
    [
        lambda: write_text(None, ""),  # a slip of ours is a TypeError, as the user's mistakes once were
        lambda: lfadsx.data.fold_datasets.stratified_folds(None, 3),
        lambda: checkpoint._sha256(Path("/proc/no such folder/file")),  # no path of the user's
    ],
)
def test_a_slip_of_ours_ends_with_code_1_and_a_traceback(does, ends):
    code, said = ends(does, "--out", "elsewhere")
    assert code == 1 and said.startswith("Traceback") and "This is a fault of lfadsx" in said


def test_a_part_of_the_users_own_is_named_in_the_first_line(ends):
    class Bouncing:
        def step(self):
            return 1 / 0

    code, said = ends(lambda: Bouncing().step())
    first, second, *_ = said.splitlines()
    assert code == 1 and first.startswith("Your own part Bouncing.step (") and second.startswith("Traceback")
    assert "fault of lfadsx" not in said
    code, said = ends(raises(PartError("The generator Bouncing raises ValueError on n_ic = 4.")))
    assert code == 1 and said.splitlines()[0] == "The generator Bouncing raises ValueError on n_ic = 4."
