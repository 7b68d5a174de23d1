"""The command line on trained models: generate, parameters, a step's checkpoint, new sessions, alignment."""

import json

import h5py
import numpy as np
import pytest
from flax import nnx
from scipy.io import loadmat

import lfadsx
from lfadsx import cli
from lfadsx.interop import from_tensorflow
from lfadsx.results.results_file import read_posterior
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
        data = lfadsx.data.from_arrays(
            rng.poisson(rates), condition=condition, bin_width=0.02, valid_fraction=0.2, session=name
        )
        files += lfadsx.data.write_dataset(folder / f"{name}.h5", data)
    return files


@pytest.fixture(scope="module")
def run(days, tmp_path_factory):
    """A finished run on the first day that has kept its checkpoints."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(["fit", str(days[0]), "--out", str(out), *SMALL, "--checkpoints", "0", "2"]) == 0
    return out


def values(model):
    return {path_name(path): np.asarray(v[...]) for path, v in nnx.to_flat_state(nnx.state(model))}


def test_generate_writes_new_trials_with_their_units(run, tmp_path):
    assert cli.main(["generate", str(run), "--trials", "6", "--draw-data", "--seed", "3"]) == 0
    with h5py.File(run / "generated.h5") as file:
        assert file["rates_hz"].shape == file["data"].shape == (6, 12, 7) and file["inputs"].shape == (6, 12, 1)
        np.testing.assert_allclose(file["rates_hz"][...], file["rates_counts"][...] / 0.02, rtol=1e-6)
        assert file["rates_hz"].attrs["unit"] == "Hz" and file.attrs["seed"] == 3
        assert list(file["data"].attrs["dims"]) == ["trial", "time", "channel"]
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
    early, last = (read_posterior(tmp_path / f"{name}.h5", "valid") for name in (str(steps[0]), "last"))
    assert np.any(early.factors != last.factors)
    assert cli.main(["infer", str(run), str(days[0]), "--which", "99999"]) == 2
    assert f"which has those of {steps}, got 99999." in capsys.readouterr().err
    assert cli.main(["infer", str(run), str(days[0]), "--which", "beast"]) == 2
    assert "`--which` must be best, last or the number of a step, got 'beast'." in capsys.readouterr().err


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
    assert "must have a session that is new to the model" in capsys.readouterr().err
    assert cli.main(["fit", str(days[1]), "--out", str(tmp_path / "new"), *SMALL, "--new-sessions-only"]) == 2
    assert "Give its run folder: --start-from RUN." in capsys.readouterr().err


@pytest.mark.slow
def test_a_trained_model_is_trained_on(run, days, tmp_path):
    out = tmp_path / "more"
    words = ["--start-from", str(run), "--epochs", "1", "--learning-rate", "1e-9"]
    assert cli.main(["fit", str(days[0]), "--out", str(out), *SMALL, *words]) == 0
    before = values(lfadsx.load(run))
    for path, after in values(lfadsx.load(out)).items():
        np.testing.assert_allclose(after, before[path], atol=1e-6)


@pytest.mark.slow
def test_sessions_are_aligned_on_the_way(days, tmp_path, capsys):
    out = tmp_path / "both"
    assert cli.main(["fit", *map(str, days), "--out", str(out), *SMALL, "--align-sessions", "2"]) == 0
    assert lfadsx.load(out).readin.n_features == 3  # as wide as the factors
    assert cli.main(["fit", *map(str, days), "--out", str(tmp_path / "x"), *SMALL, "--align-sessions", "6"]) == 2
    assert "must be from 1 to 5, the neurons of session 'tuesday', got 6" in capsys.readouterr().err


@pytest.mark.slow
def test_results_are_written_by_the_names_of_the_original(run, days, tmp_path):
    folder = tmp_path / "tf"
    words = [str(run), str(days[0]), "--out", str(folder), "--keys", "tf", "--max-trials", "4"]
    assert cli.main(["infer", *words, "--samples", "8"]) == 0
    assert cli.main(["infer", *words, "--samples", "0"]) == 0
    kinds = ("posterior_sample_and_average", "posterior_push_mean")
    expected = {f"model_runs_monday_{split}_{kind}" for split in ("train", "valid") for kind in kinds}
    assert {path.name for path in folder.iterdir()} == expected
    data, model = lfadsx.data.read(days[0]), lfadsx.load(run)
    averaged = lfadsx.infer(model, data, "valid", n_samples=8)
    found = lfadsx.bounds(model, data, "valid", n_samples=8)
    with h5py.File(folder / f"model_runs_monday_valid_{kinds[0]}") as file:
        shapes = {name: values.shape for name, values in file.items()}
        assert shapes["gen_states"] == (4, 12, 6) and shapes["post_g0_mean"] == shapes["prior_g0_logvar"] == (4, 4)
        assert all(values.dtype == np.float64 for values in file.values())
        pairs = {
            "output_dist_params": averaged.rates["spikes"],
            "controller_outputs": averaged.inputs,
            "factors": averaged.factors,
            "gen_ics": averaged.initial_state,
            "post_g0_mean": averaged.ic_mean,
            "post_g0_logvar": 2 * np.log(averaged.ic_std),
            "nll_bound_vaes": -found.elbo,
            "nll_bound_iwaes": -found.importance_weighted,
            "costs": found.terms["reconstruction"] + 0.04 * (found.terms["kl_ic"] + found.terms["kl_inputs"]),
        }
        for name, values in pairs.items():
            np.testing.assert_allclose(file[name][...], values[:4], rtol=1e-4, atol=1e-5, err_msg=name)
        best_epoch = json.loads((run / "metrics.json").read_text())["training"]["best_epoch"]
        steps = best_epoch * -(-data.train.n_trials // 16)
        np.testing.assert_array_equal(file["train_steps"][...], [steps] * 4)
        np.testing.assert_allclose(file["prior_g0_logvar"][...], np.log(0.1), rtol=1e-6)
    pushed = lfadsx.infer(model, data, "valid", n_samples=0)
    with h5py.File(folder / f"model_runs_monday_valid_{kinds[1]}") as file:
        np.testing.assert_allclose(file["output_dist_params"][...], pushed.rates["spikes"][:4], rtol=1e-5)


def test_generated_trials_by_the_names_of_the_original(run, tmp_path):
    assert cli.main(["generate", str(run), "--trials", "3", "--keys", "tf", "--seed", "2"]) == 0
    found = lfadsx.generate(lfadsx.load(run), 3, 12, seed=2)
    with h5py.File(run / "model_runs_prior_sample") as file:
        assert set(file) == {
            *("gen_ics", "gen_states", "factors", "output_dist_params", "prior_zs_ar_con"),
            *("prior_g0_mean", "prior_g0_logvar"),
        }
        np.testing.assert_allclose(file["output_dist_params"][...], found.rates["spikes"], rtol=1e-5)
        np.testing.assert_allclose(file["prior_zs_ar_con"][...], found.inputs, rtol=1e-5)


def test_bounds_are_written_beside_what_is_inferred(run, days, tmp_path, capsys):
    out = tmp_path / "found.h5"
    assert cli.main(["infer", str(run), str(days[0]), "--out", str(out), "--bounds", "--samples", "4"]) == 0
    data, model = lfadsx.data.read(days[0]), lfadsx.load(run)
    found = lfadsx.bounds(model, data, "valid", n_samples=4)
    with h5py.File(out) as file:
        group = file["valid/bounds"]
        np.testing.assert_allclose(group["elbo"][...], found.elbo, rtol=1e-5)
        assert group["elbo"].attrs["unit"] == "nats" and group["n_spikes"].attrs["unit"] == "spikes"
        bits = group.attrs["importance_weighted_bits_per_spike"]
    assert bits == pytest.approx(found.bits_per_spike(), abs=1e-5)
    said = capsys.readouterr().out
    assert f"{bits:.4f} bits per spike" in said and "4 samples" in said
    assert set(read_posterior(out, "valid").rates) == {"spikes"}  # bounds are not a target group
    assert cli.main(["infer", str(run), str(days[0]), "--max-trials", "0"]) == 2
    assert "`--max-trials` must be at least 1, got 0" in capsys.readouterr().err


def test_bounds_that_fail_take_no_rates_with_them(run, days, tmp_path, capsys, monkeypatch):
    def broken(*arguments, **settings):
        raise RuntimeError("no bound today")

    monkeypatch.setattr("lfadsx.pipeline.infer_job.bounds_of", broken)
    out = tmp_path / "found.h5"
    assert cli.main(["infer", str(run), str(days[0]), "--out", str(out), "--bounds", "--samples", "4"]) == 0
    assert set(read_posterior(out, "valid").rates) == {"spikes"}
    assert "no bound today" in capsys.readouterr().err


def test_a_run_is_exported_with_the_spikes_of_its_files(run, days, capsys, monkeypatch):
    assert cli.main(["export", str(run), "--to", "ayna"]) == 2
    said = capsys.readouterr().err
    assert "The training file monday.h5 of the run run is not found. Give the command in the folder of the data" in said
    monkeypatch.chdir(days[0].parent)
    assert cli.main(["export", str(run), "--to", "ayna"]) == 0
    data = lfadsx.data.read(days[0])
    with np.load(run / "ayna" / "monday.npz", allow_pickle=False) as bundle:
        np.testing.assert_array_equal(bundle["spikes"][bundle["val"]], data.valid.targets["spikes"])
        valid = read_posterior(run / "posterior.h5", "valid")
        np.testing.assert_array_equal(bundle["rates"][bundle["val"]], valid.rates["spikes"])
    assert cli.main(["export", str(run), "--to", "matlab", "--split", "valid", "--arrays", "rates_hz"]) == 0
    assert loadmat(run / "lfads.mat")["lfads"]["rates_hz"][0, 0].shape == valid.rates["spikes"].shape
    assert cli.main(["export", str(run), "--to", "matlab", "--splt", "valid"]) == 2
    assert "`--splt` is not a flag of lfadsx export (did you mean '--split'?)" in capsys.readouterr().err


def test_inferred_trials_know_the_recording_that_they_came_from(run, tmp_path):
    with h5py.File(tmp_path / "monday.h5", "w") as file:
        file["data"], file.attrs["bin_width_s"] = np.ones((3, 12, 7), int), 0.02
        file.attrs["lfadsx_source"] = '{"format": "NWB", "path": "/data/monday.nwb"}'
    assert cli.main(["infer", str(run), str(tmp_path / "monday.h5"), "--samples", "0"]) == 0
    found = read_posterior(run / "monday_posterior.h5", "all")
    assert found.source["monday"]["made_from"]["path"] == "/data/monday.nwb"
    assert found.source["file"] == str(tmp_path / "monday.h5")


@pytest.mark.slow
def test_scalars_and_single_trials_for_tensorboard(days, tmp_path):
    out = tmp_path / "logged"
    assert cli.main(["fit", str(days[0]), "--out", str(out), *SMALL, "--tensorboard"]) == 0
    (events,) = (out / "tensorboard").iterdir()
    tags = events.read_bytes()
    for tag in (b"loss/valid", b"kl_ic/train", b"input_prior/tau_0", b"optimiser/learning_rate"):
        assert tags.count(tag) >= 2  # one for each epoch


def test_what_cannot_be_generated_is_said(run, capsys):
    assert cli.main(["generate", str(run), "--session", "sunday"]) == 2
    assert "`--session` must be one of ['monday'] or its number, got 'sunday'" in capsys.readouterr().err
    assert cli.main(["generate", "nowhere"]) == 2
    assert "The run folder nowhere does not exist" in capsys.readouterr().err
