"""Latents of other programs beside those of LFADS: the same scores, of the same trials."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

import lfadsx
from benchmarks import accuracy, peers, torch_lfads
from benchmarks.changes import changed
from benchmarks.gpfa import Gpfa

MIXING = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0], [3.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("peers") / "lorenz.h5"
    changes = {"conditions": 6, "trials_per_condition": 5, "duration": 0.3, "units": 6, "split": "conditions"}
    lfadsx.datasets.simulate("lorenz", path, **changes)
    return path


@pytest.fixture(scope="module")
def states(file):
    with h5py.File(file) as opened:
        return {name: opened[f"{name}_states"][:] for name in peers.SPLITS}


@pytest.fixture
def truth(file):
    return accuracy.Truth(lfadsx.data.read(file), "test", "poisson")


def write(path, latents):
    peers.write_latents(path, peers.Latents("a peer", "1.0", {"size": 3}, 12.34, latents))
    return path


def test_mixed_states_are_perfect_latents(truth, states, tmp_path):
    path = write(tmp_path / "a.h5", {name: values @ MIXING + 5 for name, values in states.items()})
    row = truth.score_latents_of(path)
    assert (row.pop("model"), row.pop("seconds")) == ("a peer", 12.3)
    assert set(row) == {"state_1_r2", "state_2_r2", "state_3_r2", "factors_from_states_r2"}
    assert all(value == pytest.approx(1, abs=1e-5) for value in row.values())


def test_a_state_that_is_left_out_and_one_that_is_invented(truth, states, tmp_path):
    random = np.random.default_rng(0)
    two = {n: np.stack([v[..., 0], v[..., 2], random.normal(size=v.shape[:2])], -1) for n, v in states.items()}
    row = truth.score_latents_of(write(tmp_path / "a.h5", two))
    assert row["state_1_r2"] == pytest.approx(1, abs=1e-5) and row["state_3_r2"] == pytest.approx(1, abs=1e-5)
    assert row["state_2_r2"] < 0.97
    assert row["factors_from_states_r2"] == pytest.approx(2 / 3, abs=0.05)  # noise has nothing of the states


def test_regressions_are_fitted_on_the_trials_that_those_of_lfads_are_fitted_on(file, states, tmp_path, monkeypatch):
    monkeypatch.setattr(accuracy, "TRAIN_TRIALS", 7)
    truth = accuracy.Truth(lfadsx.data.read(file), "test", "poisson")
    assert truth.train.n_trials == len(truth.train_rows) == 7
    # Latents of all other training trials are wrong, and no score sees them.
    latents = {name: values @ MIXING for name, values in states.items()}
    others = np.setdiff1d(np.arange(len(latents["train"])), truth.train_rows)
    latents["train"][others] = np.random.default_rng(0).normal(size=latents["train"][others].shape)
    row = truth.score_latents_of(write(tmp_path / "a.h5", latents))
    assert min(row[f"state_{number}_r2"] for number in (1, 2, 3)) > 0.9999


def test_latents_of_other_trials_are_refused(truth, states, tmp_path):
    wrong = write(tmp_path / "wrong.h5", states | {"test": states["test"][1:]})
    with pytest.raises(ValueError, match="'wrong.h5' has 4 test trials of 30 bins, and the data 5 of 30. Infer"):
        truth.score_latents_of(wrong)
    short = write(tmp_path / "short.h5", states | {"train": states["train"][:, 1:]})
    with pytest.raises(ValueError, match="has 20 train trials of 29 bins, and the data 20 of 30"):
        truth.score_latents_of(short)
    with pytest.raises(ValueError, match="has no 'test_latents'. Infer the test trials"):
        truth.score_latents_of(write(tmp_path / "few.h5", {"train": states["train"]}))


def test_a_file_that_no_program_wrote_is_refused(truth, file):
    with pytest.raises(ValueError, match="'lorenz.h5' does not say which program made it"):
        truth.score_latents_of(file)


def test_latents_go_with_lorenz_only(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["accuracy", "integrator_rnn", "--latents", "a.h5"])
    with pytest.raises(SystemExit):
        accuracy.main()
    assert "states of lorenz, which integrator_rnn lacks" in capsys.readouterr().err


def test_the_command_infers_all_splits_from_counts_alone(file, tmp_path, monkeypatch):
    seen = {}

    class Total:
        def latents(self, counts):
            return counts.sum(2, keepdims=True, dtype=float)

    def fit(train, **settings):
        seen.update(settings, train=train)
        return Total()

    monkeypatch.setattr(peers, "fit_gpfa", fit)
    monkeypatch.setattr(peers, "version", lambda package: f"version of {package}")
    out = tmp_path / "new" / "out.h5"
    peers.main(["gpfa", str(file), "--out", str(out), "--components", "4", "--iterations", "9"])
    assert (seen["bin_width"], seen["n_components"], seen["n_iterations"]) == (0.01, 4, 9)
    with h5py.File(file) as data, h5py.File(out) as written:
        np.testing.assert_array_equal(seen["train"], data["train_data"][:])
        assert set(written) == {"train_latents", "valid_latents", "test_latents"}
        for name in peers.SPLITS:
            assert written[f"{name}_latents"].dtype == np.float32
            np.testing.assert_array_equal(written[f"{name}_latents"][..., 0], data[f"{name}_data"][:].sum(2))
        assert written.attrs["program"] == "GPFA, 4 components"
        assert written.attrs["version"] == "elephant version of elephant"
        assert json.loads(written.attrs["settings"]) == {"components": 4, "iterations": 9}
        assert 0 <= written.attrs["seconds"] < 5


def test_rates_of_gpfa_are_its_latents_read_out():
    class Model:
        params_estimated = {"C": np.array([[1.0], [2.0]]), "d": np.array([[1.0], [0.0]]), "R": np.diag([0.5, 0.25])}

    model = Gpfa(Model(), np.array([True, False, True]), 0.01)
    # (C z + d)^2 + R of the two neurons that spoke; a negative root counts as 0.
    np.testing.assert_allclose(model.rates(np.array([[[3.0], [-2.0]]])), [[[16.5, 0, 36.25], [0.5, 0, 0.25]]])


def test_settings_are_changed_by_name():
    found = changed(torch_lfads.SETTINGS, ["cd_rate=0.25", "batch_size=8"])
    assert found == torch_lfads.SETTINGS | {"cd_rate": 0.25, "batch_size": 8}
    with pytest.raises(ValueError, match="There is no setting 'rate'. Give some of fac_dim"):
        changed(torch_lfads.SETTINGS, ["rate=1"])
    with pytest.raises(ValueError, match="The setting cd_rate is 'high'. Give a number, as in cd_rate=0.5"):
        changed(torch_lfads.SETTINGS, ["cd_rate=high"])


def test_lfads_torch_names_what_is_missing(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds no lfads_torch/model.py. Give a clone"):
        torch_lfads.load(tmp_path)
    (tmp_path / "lfads_torch").mkdir()
    (tmp_path / "lfads_torch" / "model.py").touch()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="'torch' is not installed. Run `pip install torch pytorch-lightning"):
        torch_lfads.load(tmp_path)


def test_peers_need_neither_jax_nor_lfadsx():
    code = "import sys; sys.modules |= {'jax': None, 'flax': None, 'lfadsx': None}; import benchmarks.peers"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
