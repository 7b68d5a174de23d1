"""The command line on trained models: generate, parameters, a step's checkpoint, new sessions, alignment."""

import h5py
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import cli
from lfadsx.data import read_posterior
from lfadsx.interop import from_tensorflow
from lfadsx.training.state import path_name

SMALL = [
    *("--factors", "3", "--generator-dim", "6", "--ic-dim", "4", "--ic-encoder-dim", "5", "--input-encoder-dim", "4"),
    *("--controller-dim", "5", "--inferred-inputs", "1", "--epochs", "2", "--kl-ramp-epochs", "1"),
    *("--l2-ramp-epochs", "1", "--validate-every", "1", "--batch-size", "16", "--samples", "8", "--no-figures"),
]


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Files of two days with other neurons and the same three conditions."""
    rng, folder, n = np.random.default_rng(0), tmp_path_factory.mktemp("data"), 45
    condition = np.arange(n) % 3
    course = np.sin(np.linspace(0, 6, 12)[None, :] + 2 * condition[:, None])
    files = []
    for name, width in (("monday", 7), ("tuesday", 5)):
        rates = np.exp(0.5 * course[:, :, None] * rng.standard_normal(width))
        data = lfadsx.data.dataset_from_trials(
            rng.poisson(rates), condition=condition, bin_width=0.02, valid_fraction=0.2, session=name
        )
        files += lfadsx.data.write_dataset(folder / f"{name}.h5", data)
    return files


@pytest.fixture(scope="module")
def run(days, tmp_path_factory):
    """A finished run on the first day that has kept its checkpoints."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["fit", str(days[0]), "--out", str(out), *SMALL, "--checkpoint-minutes", "0"]) == 0
    return out


def values(model):
    return {path_name(path): np.asarray(v[...]) for path, v in nnx.to_flat_state(nnx.state(model))}


def test_generate_writes_new_trials_with_their_units(run, tmp_path):
    assert cli.main(["generate", str(run), "--trials", "6", "--draw-data", "--seed", "3"]) == 0
    with h5py.File(run / "generated.h5") as file:
        assert file["rates_hz"].shape == file["data"].shape == (6, 12, 7) and file["inputs"].shape == (6, 12, 1)
        np.testing.assert_allclose(file["rates_hz"][...], file["rates_counts"][...] / 0.02, rtol=1e-6)
        assert file["rates_hz"].attrs["unit"] == "Hz" and file.attrs["seed"] == 3
        assert list(file["data"].attrs["dims"]) == ["trial", "time", "target_channel"]
        assert (file.attrs["session"], file.attrs["bin_width_s"]) == ("monday", 0.02)
    out = tmp_path / "long.h5"
    assert cli.main(["generate", str(run), "--trials", "2", "--bins", "30", "--out", str(out)]) == 0
    with h5py.File(out) as file:
        assert file["factors"].shape == (2, 30, 3) and "data" not in file


def test_parameters_are_written_by_our_names_and_by_those_of_the_original(run):
    assert cli.main(["parameters", str(run)]) == 0
    model = lfadsx.load(run)
    with h5py.File(run / "parameters.h5") as file:
        for path, expected in values(model).items():
            np.testing.assert_array_equal(file[path][...], expected)
    assert cli.main(["parameters", str(run), "--keys", "tf", "--out", str(run / "model_params")]) == 0
    again = from_tensorflow(run / "model_params", {"dataset_names": ["monday"]})
    for path, expected in values(again).items():
        np.testing.assert_allclose(expected, values(model)[path], rtol=1e-6, atol=1e-7, err_msg=path)


def test_a_step_names_its_checkpoint(run, days, tmp_path, capsys):
    steps = sorted(int(path.name) for path in (run / "checkpoints").iterdir())
    for which in (str(steps[0]), "last"):
        out = str(tmp_path / f"{which}.h5")
        assert cli.main(["infer", str(run), str(days[0]), "--which", which, "--samples", "0", "--out", out]) == 0
    early, last = (read_posterior(tmp_path / f"{name}.h5")["valid"] for name in (str(steps[0]), "last"))
    assert np.any(early.factors != last.factors)
    assert cli.main(["infer", str(run), str(days[0]), "--which", "99999"]) == 2
    assert f"has no checkpoint of step 99999, only of {steps}" in capsys.readouterr().err
    assert cli.main(["infer", str(run), str(days[0]), "--which", "beast"]) == 2
    assert "--which is 'beast'. Give best, last, or the number of a step." in capsys.readouterr().err


def test_a_new_day_is_added_to_a_trained_model(run, days, tmp_path, capsys):
    out, old = tmp_path / "tuesday", lfadsx.load(run)
    words = ["--start-from", str(run), "--new-sessions-only"]
    assert cli.main(["fit", str(days[1]), "--out", str(out), *SMALL, *words]) == 0
    new = lfadsx.load(out)
    assert set(new.readin.weight) == {"tuesday"}
    before = values(old)
    for path, after in values(new).items():
        if not path.startswith(("readin", "readout")):
            np.testing.assert_array_equal(after, before[path])
    assert cli.main(["fit", str(days[0]), "--out", str(tmp_path / "same"), *SMALL, *words]) == 2
    assert "knows all sessions of the data: ['monday']" in capsys.readouterr().err
    assert cli.main(["fit", str(days[1]), "--out", str(tmp_path / "new"), *SMALL, "--new-sessions-only"]) == 2
    assert "Give its run folder: --start-from RUN." in capsys.readouterr().err


def test_a_trained_model_is_trained_on(run, days, tmp_path):
    out = tmp_path / "more"
    words = ["--start-from", str(run), "--epochs", "1", "--learning-rate", "1e-9"]
    assert cli.main(["fit", str(days[0]), "--out", str(out), *SMALL, *words]) == 0
    before = values(lfadsx.load(run))
    for path, after in values(lfadsx.load(out)).items():
        np.testing.assert_allclose(after, before[path], atol=1e-6)


def test_sessions_are_aligned_on_the_way(days, tmp_path, capsys):
    out = tmp_path / "both"
    assert cli.main(["fit", *map(str, days), "--out", str(out), *SMALL, "--align", "2"]) == 0
    assert lfadsx.load(out).readin.n_features == 3  # as wide as the factors
    assert cli.main(["fit", *map(str, days), "--out", str(tmp_path / "x"), *SMALL, "--align", "6"]) == 2
    assert "6 components were asked for and session 'tuesday' has 5 neurons" in capsys.readouterr().err


def test_what_cannot_be_generated_is_said(run, capsys):
    assert cli.main(["generate", str(run), "--session", "sunday"]) == 2
    assert "The model has no session 'sunday', only ['monday']" in capsys.readouterr().err
    assert cli.main(["generate", "nowhere"]) == 2
    assert "The folder nowhere does not exist" in capsys.readouterr().err
