"""Comparison of runs: the same trials, paired differences, settings that differ, and refused comparisons."""

import dataclasses
import json

import h5py
import numpy as np
import pytest

import lfadsx
from lfadsx import cli
from lfadsx.data import write_dataset
from lfadsx.errors import DataError, LfadsxError, RunError

SHORT = dict(epochs=2, kl_ramp_epochs=1, l2_ramp_epochs=1, progress=False)
SMALL = dict(factors=3, ic_dim=4, ic_encoder_dim=4, input_encoder_dim=4, controller_dim=4)


def spikes(seed=0, n_trials=40):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(1.5, (n_trials, 12, 6))
    return lfadsx.from_arrays(counts, held_out=2, bin_width=0.02, split=["train", "train", "valid", "test"] * 10)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a file and three runs on it: `small`, `large` and `other`, whose data are another file."""
    folder = tmp_path_factory.mktemp("runs")
    (file,) = write_dataset(folder / "data", spikes())
    (other,) = write_dataset(folder / "later", spikes(seed=1))
    for name, path, width in (("small", file, 4), ("large", file, 8), ("other", other, 4)):
        data = lfadsx.read(path)
        model = lfadsx.autonomous(data, generator_dim=width, seed=0, **SMALL)
        lfadsx.fit(model, data, out=folder / "data" / name, learning_rate=0.01 * width, **SHORT)
    return folder / "data"


@pytest.fixture(scope="module")
def found(made):
    return lfadsx.compare(made / "small", made / "large", n_samples=4)


@pytest.mark.slow
def test_runs_are_scored_as_evaluate_does_it(made, found):
    data = lfadsx.read(next(made.glob("*.h5")))
    one = lfadsx.evaluate(lfadsx.load(made / "large"), data, n_samples=4)
    assert found.split == one.scores["split"] == "test"
    assert [row["run"] for row in found.table] == ["small", "large"]
    assert found.table[1]["co_bps"] == one.scores["co_bps"]


@pytest.mark.slow
def test_what_only_one_model_has_does_not_differ(made):
    model = lfadsx.inferred_input(spikes(), generator_dim=4, inferred_inputs=2, seed=0, **SMALL)
    found = lfadsx.compare(made / "small", model, data=spikes(), n_samples=1)
    assert found.settings["decoder.generator.n_inferred_inputs"] == {"small": 0, "model 2": 2}
    assert "learning_rate" not in found.settings


def test_differences_are_paired_and_to_the_first_run(made, found):
    small, large = (row["co_bps"] for row in found.table)
    score = found.differences["large"]["co_bps"]
    assert score.value == pytest.approx(large - small)
    assert score.low < score.value < score.high
    assert "bits_per_spike" not in found.differences["large"]  # a contest in copying
    same = lfadsx.compare(made / "small", lfadsx.load(made / "small"), data=spikes(), names="ab", n_samples=4)
    assert same.differences["b"]["co_bps"].value == same.differences["b"]["co_bps"].high == 0


def test_settings_that_differ_are_named_and_no_others(found):
    assert found.settings["learning_rate"] == {"small": 0.04, "large": 0.08}
    assert found.settings["decoder.generator.n_units"] == {"small": 4, "large": 8}
    assert "epochs" not in found.settings and "decoder.n_factors" not in found.settings


def test_the_text_is_short(found):
    text = str(found).splitlines()
    assert len(text) <= 20
    assert text[0] == "2 runs on 10 test trials"
    assert any(line.startswith("learning_rate") for line in text)
    many = dataclasses.replace(found, settings={f"setting {n}": {"small": n, "large": -n} for n in range(50)})
    assert len(str(many).splitlines()) == 20 and str(many).endswith("\nand 40 more")


def test_other_data_are_refused(made):
    with pytest.raises(RunError, match="trained on different data: small on .*, other on .*Give the data"):
        lfadsx.compare(made / "small", made / "other")
    # On data that are given the two can be compared.
    both = lfadsx.compare(made / "small", made / "other", data=spikes(seed=2), n_samples=1)
    assert list(both.evaluations) == ["small", "other"]


def test_data_that_are_gone_or_were_never_files_are_asked_for(made, tmp_path, monkeypatch):
    (file,) = made.glob("*.h5")
    monkeypatch.chdir(tmp_path)
    aside = tmp_path / "aside.h5"
    file.rename(aside)
    try:
        with pytest.raises(RunError, match=f"The training file {file.name} of the run small is not found. G"):
            lfadsx.compare(made / "small", made / "large")
        file.write_bytes(aside.read_bytes()[:-1] + b"?")  # another file of this name is not taken for it
        with pytest.raises(RunError, match="is not found"):
            lfadsx.compare(made / "small", made / "large")
    finally:
        aside.replace(file)
    model = lfadsx.load(made / "small")
    with pytest.raises(RunError, match="All 2 runs must be run folders, .*, got 1"):
        lfadsx.compare(made / "small", model)


def test_runs_that_divided_the_trials_in_other_ways_are_refused(made, tmp_path):
    data = spikes()
    whole = dataclasses.replace(data, test=None)
    (file,) = write_dataset(tmp_path, whole)
    with h5py.File(file, "a") as content:  # a file without valid trials, which are drawn by the seed
        for name in [name for name in content if name.startswith("valid_")]:
            del content[name]
    for seed in (0, 1):
        own = lfadsx.read(file, seed=seed)
        model = lfadsx.autonomous(own, generator_dim=4, seed=0, **SMALL)
        lfadsx.fit(model, own, out=tmp_path / f"s{seed}", **SHORT)
    with pytest.raises(DataError, match="The valid trials must be the same, .* seed 1 in the run s1 and by .* seed 0"):
        lfadsx.compare(tmp_path / "s0", tmp_path / "s1")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: lfadsx.compare(f / "small"), "A comparison needs at least 2 runs, got 1"),
        (lambda f: lfadsx.compare(f / "small", f / "small"), "Runs must be different folders"),
        (lambda f: lfadsx.compare(f / "small", f / "none"), "does not exist"),
        (lambda f: lfadsx.compare(f / "small", f / "large", names=["a"]), "one name for each of 2 runs"),
        (lambda f: lfadsx.compare(f / "small", 3, data=spikes()), "A run must be a run folder, a result of `fit`"),
        (lambda f: lfadsx.compare(f / "small", f / "large", split="tset"), "did you mean 'test'"),
        (lambda f: lfadsx.evaluate(lfadsx.load(f / "small"), spikes(), "all"), "must be one of 'train', .*, got 'all'"),
    ],
)
def test_what_cannot_be_compared_is_named(made, call, message):
    with pytest.raises(LfadsxError, match=message):
        call(made)


def test_the_command_prints_what_compare_returns(made, capsys):
    runs = [str(made / "small"), str(made / "large")]
    assert cli.main(["compare", *runs, "--samples", "4", "--devices", "1"]) == 0
    assert "Settings that differ" in capsys.readouterr().out
    (file,) = made.glob("*.h5")
    assert cli.main(["compare", *runs, "--data", str(file), "--samples", "4", "--devices", "1", "--json"]) == 0
    content = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [run["run"] for run in content["runs"]] == ["small", "large"]
    assert set(content["differences"]["large"]["co_bps"]) == {"value", "error", "low", "high"}
    assert content["settings"]["learning_rate"] == {"small": 0.04, "large": 0.08}
    assert cli.main(["compare", runs[0]]) == 2
