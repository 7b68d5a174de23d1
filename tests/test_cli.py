"""The command line: jobs end to end on small files, and every mistake a user may make."""

import dataclasses
import importlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from making import parse

import lfadsx
from lfadsx import cli
from lfadsx.cli import terminal
from lfadsx.cli.command_flags import flags_of
from lfadsx.cli.command_line import COMMANDS, find
from lfadsx.data import read
from lfadsx.errors import LfadsxError
from lfadsx.parallel import n_data_devices
from lfadsx.pipeline import fit_run
from lfadsx.results.results_file import read_posterior, read_posteriors
from lfadsx.training import RunFolder

SMALL = [
    *("--factors", "3", "--generator-dim", "6", "--ic-dim", "4", "--ic-encoder-dim", "5", "--input-encoder-dim", "4"),
    *("--controller-dim", "5", "--inferred-inputs", "1", "--epochs", "2", "--kl-ramp-epochs", "1"),
    *("--l2-ramp-epochs", "1", "--validate-every", "1", "--batch-size", "16", "--samples", "8"),
]
KEYS = (
    *("split", "bits_per_spike", "co_bps", "masked_bps", "fp_bps", "velocity_r2", "readout_r2", "psth_r2"),
    *("timing_r", "rates_r2", "inputs_r2", "seconds"),
)
UNKNOWN = {"timing_r", "readout_r2"}
"""Scores that the recording does not have: it has no intervals, and the model does not read its behaviour."""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A small recording with held-out neurons, forward bins, conditions, behaviour, truth and a test split."""
    rng = np.random.default_rng(0)
    time_, n = np.linspace(0, 1, 14), 60
    condition = np.arange(n) % 3
    course = np.sin(2 * np.pi * time_[None, :] + 2 * condition[:, None])
    rates = 1.0 + 0.8 * course[:, :, None] * rng.standard_normal(8)
    rates = np.maximum(rates, 0.05)
    data = lfadsx.data.from_arrays(
        rng.poisson(rates),
        held_out=2,
        forward_bins=2,
        truth=rates,
        truth_unit="counts per bin",
        true_inputs=course[:, :, None],
        condition=condition,
        behaviour=np.stack([course, -course], -1),
        bin_width=0.02,
        valid_fraction=0.2,
        test_fraction=0.2,
        session="small",
    )
    (path,) = lfadsx.data.write_dataset(tmp_path_factory.mktemp("data"), data)
    return path


@pytest.fixture(scope="module")
def run(file, tmp_path_factory):
    """A finished run on it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["fit", str(file), "--out", str(out), *SMALL]) == 0
    return out


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def test_fit_writes_everything(run, file):
    names = {path.name for path in run.iterdir()}
    wanted = {"run.json", "history.csv", "posterior.h5", "metrics.json", "report.md", "figures", "best", "last"}
    assert wanted <= names
    figures = {path.name for path in (run / "figures").iterdir()}
    parts = ("rates", "psths", "all_neurons", "predicted_counts", "gain_per_neuron", "behaviour", "summary")
    parts += ("factors", "inputs", "initial_conditions", "kl_per_dimension")
    assert figures == {"loss.png", *(f"test_{part}.png" for part in parts)}
    posteriors = read_posteriors(run / "posterior.h5")
    assert posteriors["test"].rates["spikes"].shape == (12, 14, 8)
    with h5py.File(file) as source:
        np.testing.assert_array_equal(posteriors["train"].trial_id, source["train_inds"])
    with h5py.File(run / "posterior.h5") as written:
        assert written["train/rates_hz"].attrs["unit"] == "Hz"
        np.testing.assert_allclose(written["train/rates_hz"], written["train/rates_counts"][...] / 0.02, rtol=1e-6)
        assert written.attrs["bin_width_s"] == 0.02


def test_samples_of_training_trials_and_format_of_figures_are_those_asked_for(run, file, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "run")
    drawn = {}
    monkeypatch.setattr("lfadsx.plotting.write_figures", lambda *_, **how: drawn.update(how) or ([], []))
    fit = parse(["fit", str(file), "--out", str(tmp_path / "run"), *SMALL, "--figure-format", "pdf"])
    hyper, train = fit.suited(read(file))
    settings = {"model": fit.model, "hyper": hyper, "train": train}
    fit_run(read(file), fit.out, **settings, n_samples=8, n_train_samples=2, figure_format=fit.figure_format)
    assert drawn["figure_format"] == "pdf" and drawn["evaluation"].decoded is not None
    posteriors = read_posteriors(tmp_path / "run" / "posterior.h5")
    assert {name: of.n_samples for name, of in posteriors.items()} == {"train": 2, "valid": 8, "test": 8}


def test_a_finished_run_says_so_and_computes_nothing_again(run, file, capsys, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in run.glob("*.*")}
    monkeypatch.setattr("lfadsx.pipeline.after_training.infer", None)
    assert cli.main(["fit", str(file), "--out", str(run), *SMALL, "--json"]) == 0
    said = capsys.readouterr()
    assert f"The run in {run} is finished (epochs); these are its results." in said.err and "lfads" in said.err
    assert tuple(last_json(said.out)) == KEYS
    after = {path: path.stat().st_mtime_ns for path in run.glob("*.*")}
    assert {path.name for path in before if before[path] != after[path]} <= {"history.csv", ".lock"}


@pytest.mark.slow
def test_more_epochs_train_a_finished_run_further(run, file, tmp_path, caplog):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    assert cli.main(["fit", str(file), "--out", str(out), *SMALL, "--no-figures", "--epochs", "4"]) == 0
    assert f"Resuming the run in {out} after epoch 2 of 4, with a new cosine from learning rate 0.004." in caplog.text
    assert json.loads((out / "metrics.json").read_text())["training"]["epochs"] == 4
    assert len((out / "history.csv").read_text().splitlines()) == 1 + 4


def test_json_is_the_last_line_and_agrees_with_evaluate(run, file, capsys):
    assert cli.main(["fit", str(file), "--out", str(run), *SMALL, "--json"]) == 0
    fitted = last_json(capsys.readouterr().out)
    assert tuple(fitted) == KEYS and fitted["split"] == "test"
    assert [fitted[key] for key in UNKNOWN] == [None, None]
    assert all(np.isfinite(fitted[key]) for key in KEYS[1:] if key not in UNKNOWN)
    assert cli.main(["evaluate", str(run), str(file), "--samples", "8", "--json"]) == 0
    evaluated = last_json(capsys.readouterr().out)
    assert evaluated["split"] == "test"
    for key in set(KEYS[1:-1]) - UNKNOWN:
        assert evaluated[key] == pytest.approx(fitted[key], rel=1e-4, abs=1e-5), key


def test_evaluate_without_files_reads_those_of_the_run(run, file, capsys, monkeypatch):
    monkeypatch.chdir(file.parent)  # the command of the tests differs from the run's
    assert cli.main(["evaluate", str(run), "--samples", "8", "--json"]) == 0
    found = last_json(capsys.readouterr().out)
    assert found["co_bps"] == pytest.approx(json.loads((run / "metrics.json").read_text())["co_bps"], abs=1e-4)
    monkeypatch.chdir(run)
    assert cli.main(["evaluate", str(run)]) == 2
    assert "is not found" in capsys.readouterr().err


def test_the_settings_of_a_run_are_a_config_file(run):
    for path in (run, run / "run.json"):
        fit = parse(["fit", "a.h5", "--out", "new", "--config", str(path), "--factors", "4"])
        assert (fit.model.factors, fit.model.generator_dim, fit.train.batch_size) == (4, 6, 16)
        assert (fit.train.kl_ramp_epochs, fit.hyper.cd_rate) == (1, 0.3)


def test_the_first_lines_say_what_was_read(file, tmp_path, caplog):
    assert cli.main(["fit", str(file), "--out", str(tmp_path / "run"), *SMALL, "--no-figures", "--epochs", "1"]) == 0
    first = caplog.messages[0]
    for fact in ("36 train, 12 valid, 12 test", "14 of 20 ms", "8 channels (2 held out)", "counts per bin", "Hz", "3"):
        assert fact in first, first


def test_progress_without_a_terminal_is_one_line_per_few_percent(file, tmp_path, capsys):
    assert cli.main(["fit", str(file), "--out", str(tmp_path / "run"), *SMALL, "--no-figures", "--epochs", "3"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 3
    assert re.match(r"epoch 2 of 3, \d\d:\d\d left, loss [\d.]+, validation [\d.]+ \(best", lines[1])


OWN = """
import jax.numpy as jnp
import lfadsx


class Leaky(lfadsx.modules.AbstractGenerator):
    def __init__(self, n_ic, n_inferred_inputs, n_units, *, rngs):
        self.n_ic, self.n_inferred_inputs, self.n_units, self.n_state = n_ic, n_inferred_inputs, n_units, n_units
        self.start = lfadsx.modules.Linear(n_ic, n_units, rngs=rngs)
        self.drive = lfadsx.modules.Linear(n_units + n_inferred_inputs, n_units, rngs=rngs)

    def initial_state(self, initial_condition):
        return self.start(initial_condition)

    def step(self, state, projected_t, live_t):
        return 0.7 * state + 0.3 * jnp.tanh(self.drive(jnp.concatenate([state, live_t], axis=-1)))
"""


@pytest.mark.slow
def test_parts_of_ones_own_in_every_command(file, tmp_path, capsys):
    own, run = tmp_path / "own.py", tmp_path / "run"
    own.write_text(OWN)
    words = [str(file), *SMALL, "--epochs", "1", "--no-figures", "--parts", str(own)]
    assert cli.main(["fit", *words, "--out", str(run)]) == 0
    assert (
        json.loads((run / "run.json").read_text())["model"]["arguments"]["decoder"]["arguments"]["generator"]["part"]
        == "Leaky"
    )
    assert cli.main(["infer", str(run), str(file), "--samples", "0"]) == 2
    assert "load(run, parts=[Leaky]), or --parts FILE on the command line" in capsys.readouterr().err
    parts = ["--parts", str(own)]
    assert cli.main(["infer", str(run), str(file), "--samples", "0", *parts]) == 0
    assert cli.main(["evaluate", str(run), str(file), "--samples", "2", *parts]) == 0
    assert cli.main(["generate", str(run), "--trials", "2", *parts]) == 0
    assert cli.main(["parameters", str(run), *parts]) == 0
    shutil.copytree(run, tmp_path / "copy")
    assert cli.main(["compare", str(run), str(tmp_path / "copy"), "--data", str(file), "--samples", "2", *parts]) == 0
    again = ["fit", *words, "--out", str(tmp_path / "more"), "--start-from", str(run), "--new-sessions-only"]
    assert cli.main(again) == 2 and "new to the model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, code, message",
    [
        ("x = 1", 2, "must be a Python file that defines parts"),
        ("x = ", 1, "cannot be imported: SyntaxError"),
        (OWN + "class Other(Leaky):\n    pass", 2, 'Add to the file: PARTS = {"generator": Other}'),
        (OWN + 'PARTS = {"generatr": Leaky}', 2, "got 'generatr' (did you mean 'generator'?)"),
    ],
)
def test_files_of_parts_that_cannot_be_used(text, code, message, file, tmp_path, capsys):
    own = tmp_path / "own.py"
    own.write_text(text)
    assert cli.main(["fit", str(file), "--out", str(tmp_path / "run"), *SMALL, "--parts", str(own)]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_outputs_are_checked_before_the_work(run, file, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lfadsx.training.run_folder.RunFolder.load", None)
    (tmp_path / "taken").write_text("")
    out = str(tmp_path / "taken" / "rates.h5")
    for words in (["infer", str(run), str(file)], ["generate", str(run)], ["parameters", str(run)]):
        assert cli.main([*words, "--out", out]) == 2
        assert "cannot be written, because" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("")
    assert cli.main(["fit", "no.h5", "--out", str(tmp_path / "full")]) == 2
    assert "it holds other files, such as notes.txt" in capsys.readouterr().err


def test_infer_on_a_new_file_without_splits(run, file, tmp_path):
    with h5py.File(file) as source, h5py.File(tmp_path / "new.h5", "w") as new:
        new["data"] = source["test_encod_data"][...][::-1]
        new.attrs["bin_width_s"] = 0.02
    out = tmp_path / "rates.h5"
    options = ["--samples", "8", "--out", str(out), "--keep-samples", "--controller-states", "--encoder-states"]
    assert cli.main(["infer", str(run), str(tmp_path / "new.h5"), *options]) == 0
    (posterior,) = read_posteriors(out).values()
    known = read_posterior(run / "posterior.h5", "test")
    assert posterior.controller_states is not None and posterior.encoding is not None
    assert posterior.samples["rates"].shape == (8, 12, 14, 8)
    np.testing.assert_allclose(posterior.ic_mean[::-1], known.ic_mean, rtol=1e-4, atol=1e-5)


def test_infer_pushes_means_without_samples(run, file, tmp_path):
    assert cli.main(["infer", str(run), str(file), "--samples", "0", "--out", str(tmp_path / "m.h5")]) == 0
    posterior = read_posterior(tmp_path / "m.h5", "test")
    assert posterior.n_samples == 0 and not posterior.inputs_std[:, :-2].any()
    np.testing.assert_allclose(posterior.initial_condition, posterior.ic_mean, rtol=1e-5)


def test_report_names_data_versions_seed_and_score(run, capsys):
    assert cli.main(["report", str(run)]) == 0
    text = capsys.readouterr().out
    info = RunFolder(run).info
    (source,) = info.data["source"].values()
    for fact in (
        source["sha256"],
        "36 train, 12 valid, 12 test",
        "seed 0",
        f"jax {info.versions['jax']}",
        "co-smoothing",
        "the KL weight of the initial condition rose over 1 epochs from 0 to 1, and the KL weight of inputs from 0;",
    ):
        assert fact in text


@pytest.fixture
def devices_used(monkeypatch):
    """The numbers of devices of all inferences of a test."""
    module = importlib.import_module("lfadsx.inference.posterior_inference")
    found, original = set(), module.map_trials

    def spy(*arguments, mesh, **settings):
        found.add(n_data_devices(mesh))
        return original(*arguments, mesh=mesh, **settings)

    monkeypatch.setattr(module, "map_trials", spy)
    return found


@pytest.mark.slow
def test_fit_on_two_devices_gives_nearly_the_same_scores(run, file, tmp_path, capsys, devices_used):
    out = str(tmp_path / "two")
    assert cli.main(["fit", str(file), "--out", out, *SMALL, "--devices", "2", "--no-figures", "--json"]) == 0
    assert devices_used == {2}
    two = last_json(capsys.readouterr().out)
    one = json.loads((run / "metrics.json").read_text())
    assert two["bits_per_spike"] == pytest.approx(one["bits_per_spike"], abs=1e-3)


def test_infer_and_evaluate_spread_trials_over_devices(run, file, tmp_path, capsys, monkeypatch, devices_used):
    """Two host devices exist in all tests, so that a computer of two cores uses them by default."""
    monkeypatch.setattr(terminal, "_cores", lambda: 2)
    found, scores = [], []
    for words, n in (([], 2), (["--devices", "1"], 1)):
        out = tmp_path / f"on_{n}.h5"
        assert cli.main(["infer", str(run), str(file), "--samples", "2", "--out", str(out), *words]) == 0
        assert cli.main(["evaluate", str(run), str(file), "--samples", "2", "--json", *words]) == 0
        assert devices_used == {n}
        devices_used.clear()
        found.append(read_posterior(out, "test"))
        scores.append(last_json(capsys.readouterr().out))
    np.testing.assert_allclose(found[0].rates["spikes"], found[1].rates["spikes"], rtol=1e-4)
    for key in set(KEYS[1:-1]) - UNKNOWN:
        assert scores[0][key] == pytest.approx(scores[1][key], rel=1e-4, abs=1e-5), key


@pytest.mark.parametrize("command", ["infer", "evaluate"])
@pytest.mark.parametrize(
    "number, message",
    [
        ("0", "`--devices` must be at least 1, got 0."),
        ("99", "number of devices must be from 1 to 2, got 99"),
        ("two", "`--devices` must be a whole number, got 'two'."),
    ],
)
def test_a_wrong_number_of_devices_ends_with_code_2(command, number, message, run, file, capsys):
    assert cli.main([command, str(run), str(file), "--devices", number]) == 2
    said = capsys.readouterr()
    assert message in said.out + said.err and "Traceback" not in said.err


def test_by_default_every_core_with_enough_to_do_is_a_device(monkeypatch):
    """Two host devices exist in all tests."""
    cores = {"n": 2}
    monkeypatch.setattr(terminal, "_cores", lambda: cores["n"])
    assert [terminal.use_devices(None, batch) for batch in (16, 31, 32, 500)] == [1, 1, 2, 2]
    cores["n"] = 64
    assert terminal.use_devices(None, 64) == 2  # four are wanted, two are there
    assert terminal.use_devices(7, 1) == 7  # `make_mesh` gets the requested value
    with pytest.raises(ValueError, match="`--devices` must be at least 1, got 0"):
        terminal.use_devices(0, 64)


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


QUICK = {"JAX_NUM_CPU_DEVICES": "1", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
COUNTS = np.ones((6, 5, 4), int)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: p / "none.h5", "none.h5"),
        (lambda p: (p / "text.h5", (p / "text.h5").write_text("a, b"))[0], "HDF5"),
        (lambda p: write(p / "a.h5", train_dat=COUNTS, valid_data=COUNTS), "train_data"),
        (lambda p: write(p / "a.h5", spikes=COUNTS), "spikes"),
        (lambda p: write(p / "a.h5", train_data=COUNTS[0], valid_data=COUNTS), "dimension|axes"),
        (lambda p: write(p / "a.h5", train_data=COUNTS, valid_data=COUNTS[:, :, :3]), "4.*3|3.*4"),
        (lambda p: write(p / "a.h5", train_data=COUNTS, valid_data=COUNTS[:, :3]), "5.*3|3.*5"),
        (lambda p: write(p / "a.h5", train_data=-COUNTS, valid_data=COUNTS), "-1"),
        (lambda p: write(p / "a.h5", train_data=COUNTS * 0.5, valid_data=COUNTS), r"0\.5"),
        (lambda p: write(p / "a.h5", train_data=COUNTS * np.nan, valid_data=COUNTS), "NaN"),
        (lambda p: write(p / "a.h5", train_data=COUNTS[:0], valid_data=COUNTS), "train_data"),
        (lambda p: write(p / "a.h5", train_data=COUNTS[:, :, :0], valid_data=COUNTS[:, :, :0]), "0"),
    ],
)
def test_bad_files_end_with_two_sentences_and_code_2(make, message, tmp_path, capsys):
    out = tmp_path / "run"
    assert cli.main(["fit", str(make(tmp_path)), "--out", str(out), *SMALL]) == 2
    said = capsys.readouterr().err.strip()
    assert re.search(message, said), said
    assert "Traceback" not in said and said.count(". ") >= 1 and said.endswith(".")
    assert not out.exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--factors", "0"], "`--factors` must be at least 1, got 0"),
        (["--batch-size", "0"], "`--batch-size` must be at least 1, got 0"),
        (["--dropout-rate", "1.5"], "`--dropout-rate` must be .*, got 1.5"),
        (["--devices", "99"], "devices must be from 1 to .*, got 99"),
        (["--variant", "external_input"], "needs known inputs, but the data have none"),
        (["--train", "nothing/*"], "`--train` must match at least one parameter"),
        (["--bin-width", "0.01"], "bin"),
        (["--search", "pbt", "--burn-in", "9"], "--burn-in, --search need a population, got a single model"),
        (["--population", "2", "--halvings", "1"], "`--halvings` needs --search random, got --search pbt"),
        (
            ["--population", "2", "--search", "ensemble", "--space", "autolfads"],
            "`--space` needs --search pbt or random, got --search ensemble",
        ),
        (
            ["--population", "2", "--space", "defualt"],
            "`--space` must be default, autolfads or the path of a JSON file, got 'defualt' .did you mean 'default'",
        ),
        (["--population", "2", "--tensorboard"], "need a single model, got --population 2"),
    ],
)
def test_bad_settings_end_with_code_2_and_write_nothing(flags, message, file, tmp_path, capsys):
    out = tmp_path / "run"
    assert cli.main(["fit", str(file), "--out", str(out), *SMALL, *flags]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said.replace("\n", " ")), said
    assert "Traceback" not in said and not out.exists()


def test_log_messages_have_no_prefix_whoever_set_up_logging(monkeypatch, tmp_path):
    earlier = logging.StreamHandler()
    earlier.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
    monkeypatch.setattr(logging.getLogger(), "handlers", [*logging.getLogger().handlers, earlier])
    cli.main(["fit", str(tmp_path / "none.h5"), "--out", str(tmp_path / "run")])
    record = logging.makeLogRecord({"name": "lfadsx", "levelname": "INFO", "msg": "Testing fold 2 of 3."})
    assert earlier.format(record) == "Testing fold 2 of 3."


def test_a_folder_with_a_run_of_other_settings_is_left_alone(run, file, capsys):
    before = (run / "run.json").read_bytes()
    assert cli.main(["fit", str(file), "--out", str(run), *SMALL, "--seed", "7"]) == 2
    assert "holds a run with other settings: `--seed` is 0 in that run and 7 in this one" in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before


def test_an_output_folder_that_cannot_be_written(file, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    assert cli.main(["fit", str(file), "--out", str(tmp_path / "taken" / "run"), *SMALL]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_folder_without_a_run(tmp_path, file, capsys):
    assert cli.main(["evaluate", str(tmp_path), str(file)]) == 2
    assert "has no run.json" in capsys.readouterr().err


def test_other_bins_at_inference_are_an_error(run, file, tmp_path, capsys):
    with h5py.File(file) as source:
        write(tmp_path / "small.h5", test_data=source["test_encod_data"][...])
    with h5py.File(tmp_path / "small.h5", "a") as other:
        other.attrs["bin_width_s"] = 0.01
    assert cli.main(["infer", str(run), str(tmp_path / "small.h5")]) == 2
    said = capsys.readouterr().err
    assert "0.01" in said and "0.02" in said


def test_a_fault_of_ours_ends_with_code_1(run, file, capsys, monkeypatch):
    monkeypatch.setattr("lfadsx.pipeline.infer_job.infer_trials", lambda *a, **k: None)
    assert cli.main(["infer", str(run), str(file)]) == 1
    assert "This is a fault of lfadsx" in capsys.readouterr().err


def test_ctrl_c_saves_and_says_how_to_resume(run, file, tmp_path):
    """A real process is stopped in the middle; the same command then ends where the whole run ended."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "lfadsx.cli", "fit", str(file), "--out", str(out), *SMALL, "--epochs", "400"]
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=os.environ | QUICK)
        deadline = time.time() + 240
        while not (out / "history.csv").exists() and time.time() < deadline and process.poll() is None:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=120)
    said = log.read_text()
    assert code == 128 + signal.SIGINT, said
    assert re.search(r"Saved after step [\d,]+ \(took \d+\.\d s\)\.", said), said
    assert "Stopped and saved" in said and "the same command again to resume" in said
    assert len(list((out / "checkpoints").iterdir())) == 1
    assert not (out / "metrics.json").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_one_screen_and_names_the_rest(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 80, "\n".join(lines)
    assert cli.main([command, "--help-all"]) == 0
    text = capsys.readouterr().out
    for flag in flags_of(find([command])[0]).values():
        assert flag.doc, flag.name
        assert flag.metavar or f"{flag.option[2:]}" in text


def test_the_list_of_commands_repeats_what_they_say_of_themselves():
    for name, (module, kind, what) in COMMANDS.items():
        command = getattr(importlib.import_module(f"lfadsx.cli.{module}"), kind)
        assert what and what.endswith("."), name
        assert command.__doc__.split()[0] == what.split()[0], name


def test_help_of_a_narrow_terminal_is_cut_nowhere(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["fit", "--help-all"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("  lfadsx ")]
    assert max(map(len, lines)) <= 60


def test_the_version_and_the_list_of_commands(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"lfadsx {lfadsx.__version__}\n"
    assert cli.main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


def test_help_needs_no_jax():
    code = "import sys; from lfadsx.cli import main; main(['--help']); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "words, message",
    [
        (["fitt"], "`fitt` is not a command of lfadsx (did you mean 'fit'?). lfadsx --help lists them."),
        (["fit", "--factorz", "3"], "`--factorz` is not a flag of lfadsx fit (did you mean '--factors'?)."),
        (["fit", "--ic_dim", "3"], "`--ic_dim` is not a flag of lfadsx fit (did you mean '--ic-dim'?)."),
        (["fit", "a.h5"], "`--out` must be given."),
        (["fit", "--out", "run"], "`FILE` must be given."),
        (["fit", "a.h5", "--out"], "`--out` must be followed by one value."),
        (["fit", "a.h5", "--out", "run", "--epochs", "ten"], "`--epochs` must be a whole number, got 'ten'."),
        (["fit", "a.h5", "--out", "run", "--adam", "0.9", "0.9"], "`--adam` must be followed by 3 values."),
        (["fit", "a.h5", "--out", "run", "--schedule", "cosin"], "got 'cosin' (did you mean 'cosine'?)."),
        (["fit", "a.h5", "--out", "run", "--set", "epoch=1"], "must be a setting (did you mean 'epochs'?)."),
        (["fit", "a.h5", "--out", "run", "--set", "epochs"], "`--set` must be followed by NAME=VALUE, got 'epochs'."),
        (["fit", "a.h5", "--out", "run", "--config", "no.toml"], "`--config` must be a file that can be read"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line_and_code_2(words, message, capsys):
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_generators_and_priors_are_flags():
    words = "--generator low_rank --generator-rank 3 --ic-prior mixture --ic-prior-components 4 --input-prior smooth"
    model = parse(["fit", "a.h5", "--out", "run", *words.split()]).model
    expected = dict(generator="low_rank", generator_rank=3, ic_prior="mixture", ic_prior_components=4)
    assert model == lfadsx.ModelConfig(**expected, input_prior="smooth")
    with pytest.raises(LfadsxError, match="`--ic-prior` must be one of 'gaussian', .*did you mean 'mixture'"):
        parse(["fit", "a.h5", "--out", "run", "--ic-prior", "mixtur"])
    sweep = parse(["sweep", "a.h5", "--out", "runs", "--generator", "neural_ode", "--generator-dim", "3,5"])
    assert sweep.grids == {"generator_dim": (3, 5)}


def test_flags_replace_set_which_replaces_the_file(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text("""
        epochs = 7
        ic-dim = 5
        missing = true
        figures = false
        [model]
        factors = 9
        weight_scales = [1, 2, 3]
        [train]
        learning_rate_factor = 0.5
        batch_size = 8
    """)
    words = ["--config", str(file), "--set", "ic_dim=6", "batch_size=9", "adam=0.8,0.9,1e-6", "--batch-size", "10"]
    fit = parse(["fit", "a.h5", "--out", "run", *words])
    assert (fit.train.epochs, fit.model.ic_dim, fit.train.batch_size) == (7, 6, 10)
    assert (fit.model.factors, fit.model.weight_scales) == (9, (1.0, 2.0, 3.0))
    assert (fit.train.adam, fit.train.learning_rate_factor) == ((0.8, 0.9, 1e-6), 0.5)
    assert fit.reading.missing is True and fit.figures is False
    assert parse(["fit", "a.h5", "--out", "run", "--config", str(file), "--figures"]).figures is True
    file.write_text("epoch = 7")
    with pytest.raises(LfadsxError, match="must be a setting .did you mean 'epochs'"):
        parse(["fit", "a.h5", "--out", "run", "--config", str(file)])
    file.write_text("epochs 7")
    with pytest.raises(LfadsxError, match="must be a TOML file"):
        parse(["fit", "a.h5", "--out", "run", "--config", str(file)])


def test_lists_of_a_sweep_are_grids():
    words = ["--factors", "4,8", "--cd-rate", "0.1,0.2", "--ic-dim", "3", "--epochs", "2"]
    sweep = parse(["sweep", "a.h5", "--out", "run", *words])
    assert sweep.grids == {"factors": (4, 8), "cd_rate": (0.1, 0.2)}
    assert (sweep.model.factors, sweep.model.ic_dim, sweep.hyper.cd_rate) == (4, 3, 0.1)
    with pytest.raises(LfadsxError, match="`--epochs` must be a whole number, got '2,3'"):
        parse(["sweep", "a.h5", "--out", "run", "--epochs", "2,3"])


@pytest.mark.parametrize("name, said", [("chaotic_rnn_no_inputs", "400"), ("chaotic_rnn_multisession", "150")])
def test_help_of_a_simulation_has_every_setting_with_the_originals_default(name, said, capsys):
    assert cli.main(["simulate", name, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert f"--conditions N Number of conditions ({said})" in text
    for field in dataclasses.fields(lfadsx.datasets.RECIPES[name]):
        assert f"--{field.name.replace('_', '-')} " in text


@pytest.mark.parametrize(
    "name, flags",
    [
        ("chaotic_rnn_inputs_g1p5", ""),
        ("gaussian_chaotic_rnn_no_inputs", " --likelihood gaussian"),
        ("chaotic_rnns_labeled", " --variant external_input"),
    ],
)
def test_simulate_writes_what_fit_reads(name, flags, tmp_path, capsys):
    out = tmp_path / "data" / "set.h5"
    words = ["--conditions", "6", "--trials-per-condition", "5", "--duration", "0.2", "--units", "12"]
    words += [] if name == "chaotic_rnns_labeled" else ["--recorded", "12"]
    assert cli.main(["simulate", name, "--out", str(out), *words, "--split", "conditions"]) == 0
    wrote, command = capsys.readouterr().err.splitlines()
    assert wrote.startswith(f"Wrote {out}: 20 train, 5 valid, 5 test trials of 20 bins, 12 neurons, ")
    assert command == f"  lfadsx fit {out} --out runs/{name}{flags}"
    (again,) = lfadsx.datasets.simulate(
        name, tmp_path / "again.h5", split="conditions", conditions=6, trials_per_condition=5, duration=0.2, units=12,
        **({} if name == "chaotic_rnns_labeled" else {"recorded": 12}),
    )  # fmt: skip
    with h5py.File(out) as one, h5py.File(again) as other:
        assert set(one) == set(other)
        for key in one:
            np.testing.assert_array_equal(one[key][...], other[key][...])


def test_simulate_all_writes_every_set_split_alike(tmp_path, capsys, monkeypatch):
    recipes = lfadsx.datasets.RECIPES
    few = {"conditions": 5, "trials_per_condition": 5, "duration": 0.2, "trials": 50}
    for name, recipe in recipes.items():
        known = {field.name for field in dataclasses.fields(recipe)}
        changes = {setting: value for setting, value in few.items() if setting in known}
        monkeypatch.setitem(recipes, name, dataclasses.replace(recipe, **changes))
    assert cli.main(["simulate", "all", "--out", str(tmp_path), "--split", "conditions"]) == 0
    commands = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  lfadsx fit ")]
    assert len(commands) == len(recipes)
    for name in recipes:
        files = sorted(tmp_path.glob(f"{name}.h5")) or sorted(tmp_path.glob(f"{name}_n*.h5"))
        assert len(files) == (5 if name == "chaotic_rnn_multisession" else 1)
        data = lfadsx.data.read(*files, kind="real" if name.startswith("gaussian") else None)
        assert data.train.truth is not None and abs(data.train.truth.mean() / data.train.encoder_input.mean() - 1) < 0.1
        if "split" in {field.name for field in dataclasses.fields(recipes[name])}:
            with h5py.File(files[0]) as file:
                assert len(np.unique(file["condition_labels_test"])) == 1


@pytest.mark.parametrize(
    "words, message",
    [
        (["chaotic_rnn"], "`chaotic_rnn` is not a data set (did you mean 'chaotic_rnn"),
        ([], "must be given"),
        (["chaotic_rnn_no_inputs"], "--out"),
        (["chaotic_rnn_no_inputs", "--out", "OUT", "--condition", "3"], "--conditions"),
        (
            ["chaotic_rnn_no_inputs", "--out", "OUT", "--conditions", "0"],
            "must be a finite number above 0, got 0",
        ),
        (["chaotic_rnn_multisession", "--conditions", "5", "--out", "OUT.h5"], "Name a folder"),
        (["all", "--out", "OUT.h5"], "`--out` must be a folder for 10 data sets"),
    ],
)
def test_simulate_ends_with_code_2_for_what_it_does_not_know(words, message, tmp_path, capsys):
    words = [word.replace("OUT", str(tmp_path / "out")) for word in words]
    assert cli.main(["simulate", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err + captured.out and "Traceback" not in captured.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_tensorflow_keys_without_bin_width_train(recordings, tmp_path, capsys):
    file = recordings / "macaque_reach_day31" / "lfads_format.h5"
    out = tmp_path / "run"
    assert cli.main(["fit", str(file), "--out", str(out), *SMALL, "--no-figures", "--json"]) == 0
    scores = last_json(capsys.readouterr().out)
    assert scores["split"] == "valid" and scores["co_bps"] is None and np.isfinite(scores["masked_bps"])
    with h5py.File(out / "posterior.h5") as written:
        assert "rates_hz" not in written["valid"] and "bin_width_s" not in written.attrs
