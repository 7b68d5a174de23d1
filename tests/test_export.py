"""Results in MATLAB, CSV, benchmark and ayna files: there and back, names, units, and what cannot be exported."""

import csv
import json

import h5py
import numpy as np
import pytest
from exporting import posteriors_of, two_sessions
from scipy.io import loadmat

import lfadsx
from lfadsx.errors import DataError, LfadsxError, RunError
from lfadsx.results.by_session import by_session

NAMES = ["rates_hz", "emg_rates", "factors", "inputs", "bias"]


@pytest.fixture(scope="module")
def results():
    return posteriors_of(two_sessions())


def rows_of(posteriors, session):
    """Rows of the trials of a session in the order of the input, as pairs of split and row: a plain loop."""
    found = [
        (posterior.row[k], name, k)
        for name, posterior in posteriors.items()
        for k in range(posterior.n_trials)
        if posterior.sessions[posterior.session[k]] == session
    ]
    return [(name, k) for _, name, k in sorted(found)]


def expected(posteriors, session, array):
    """An array of `posterior.h5` of the trials of a session."""
    picks = {
        "rates_hz": lambda p: p.rates["spikes"] / np.float32(p.time.bin_width),
        "emg_rates": lambda p: p.rates["emg"],
        "factors": lambda p: p.factors,
        "inputs": lambda p: p.inputs,
        "bias": lambda p: p.bias,
    }
    values = np.stack([picks[array](posteriors[name])[k] for name, k in rows_of(posteriors, session)])
    n = {"monday": 4, "tuesday": 3}[session]
    return values[..., :n] if array == "rates_hz" else values


def texts(cell):
    return [item.item() if item.size else "" for item in cell.ravel()]


def test_matlab(results, tmp_path):
    outcome = lfadsx.export(results, "matlab", tmp_path / "new" / "rates.mat")
    assert outcome.files == [tmp_path / "new" / "rates.mat"]
    lfads = loadmat(tmp_path / "new" / "rates.mat")["lfads"]
    assert lfads.shape == (1, 2) and lfads.dtype.names[5:10] == tuple(NAMES)
    for element, session in zip(lfads[0], ("monday", "tuesday"), strict=True):
        assert element["session"].item() == session and element["time_unit"].item() == "s"
        np.testing.assert_allclose(element["time"], -0.03 + 0.02 * np.arange(9)[None])
        for name in NAMES:
            np.testing.assert_allclose(element[name], expected(results, session, name), rtol=1e-6)
            assert element[name].dtype == np.float32
        picked = rows_of(results, session)
        table = element["trials"][0, 0]
        assert texts(table["trial_id"]) == [results[name].trial_id[k] for name, k in picked]
        assert texts(table["split"]) == [name for name, _ in picked]
        assert texts(table["condition"]) == [results[name].condition[k] for name, k in picked]
        assert table["n_bins"].ravel().tolist() == [results[name].length[k] for name, k in picked]
        n = 4 if session == "monday" else 3
        assert texts(element["columns"][0, 0]["rates_hz"]) == [f"{session} {k}" for k in range(n)]
        assert texts(element["columns"][0, 0]["inputs"]) == ["input_0", "input_1"]
        assert element["units"][0, 0]["held_out"].ravel().tolist() == [False, True] + [False] * (n - 2)
        units, dims = element["unit"][0, 0], element["dims"][0, 0]
        assert [units[name].item() for name in NAMES] == ["Hz", "mV", "arbitrary", "arbitrary", "arbitrary"]
        assert texts(dims["emg_rates"]) == ["trial", "time", "emg_channel"]
        about = element["about"][0, 0]
        assert (about["seed"].item(), about["lfadsx_version"].item()) == (3, lfadsx.__version__)
        assert about["kappa"].shape == (0, 0) and "monday" in json.loads(about["source"].item())


def test_matlab_files_have_less_than_two_gigabytes(results, tmp_path, monkeypatch):
    monkeypatch.setattr("lfadsx.exports.matlab_export.LARGEST", 4000)
    with pytest.raises(LfadsxError, match="less than 2 GB together.*rates_hz 0.0 GB.*fewer with `arrays`"):
        lfadsx.export(results, "matlab", tmp_path / "rates.mat")
    lfadsx.export(results, "matlab", tmp_path / "rates.mat", arrays=["bias"])
    assert not {"factors", "rates_hz"} & set(loadmat(tmp_path / "rates.mat")["lfads"].dtype.names)


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return header, rows


def test_csv(results, tmp_path):
    outcome = lfadsx.export(results, "csv", tmp_path / "tables")
    assert len(outcome.files) == 2 * 9 and all(file.is_file() for file in outcome.files)
    for session in ("monday", "tuesday"):
        folder, picked = tmp_path / "tables" / session, rows_of(results, session)
        lengths = [results[name].length[k] for name, k in picked]
        for name in NAMES[:4]:
            header, rows = read_csv(folder / f"{name}.csv")
            values = expected(results, session, name)
            assert [int(row[0]) for row in rows] == np.repeat(np.arange(len(picked)), lengths).tolist()
            times = np.concatenate([-0.03 + 0.02 * np.arange(n) for n in lengths])
            np.testing.assert_allclose([float(row[2]) for row in rows], times, atol=1e-9)
            known = np.concatenate([trial[:n] for trial, n in zip(values, lengths, strict=True)])
            np.testing.assert_array_equal(np.array([row[3:] for row in rows]).astype(np.float32), known)
        assert read_csv(folder / "rates_hz.csv")[0] == [
            *("trial", "trial_id", "time"),
            *(f"{session} {k}" for k in range(values.shape[2] + (2 if session == "monday" else 1))),
        ]
        header, rows = read_csv(folder / "bias.csv")
        assert header == ["trial", "trial_id", "constant_input_0", "constant_input_1"]
        found = np.array([row[2:] for row in rows]).astype(np.float32)
        np.testing.assert_array_equal(found, expected(results, session, "bias"))
        header, rows = read_csv(folder / "trials.csv")
        assert header == ["trial", "trial_id", "split", "condition", "n_bins"]
        assert [row[3] for row in rows] == [results[name].condition[k] for name, k in picked]
        assert read_csv(folder / "units.csv")[1][1] == [f"{session} 1", "1"]
        units = {row[0]: row[2] for row in read_csv(folder / "arrays.csv")[1]}
        assert units == dict(zip(NAMES, ["Hz", "mV", *["arbitrary"] * 3], strict=True))
        facts = json.loads((folder / "about.json").read_text())
        assert (facts["session"], facts["event"], facts["n_samples"]) == (session, "go cue", 8)


def test_one_split_chosen_arrays_and_a_file_of_posteriors(results, tmp_path):
    results["valid"].save(tmp_path / "day.h5")
    with pytest.raises(LfadsxError, match="`split` must be one of 'valid', 'all', got 'train'"):
        lfadsx.export(tmp_path / "day.h5", "csv", split="train")
    outcome = lfadsx.export(tmp_path / "day.h5", "csv", arrays=["generator_states", "emg_rates"])
    names = {str(file.relative_to(tmp_path)) for file in outcome.files if file.parent.name == "monday"}
    tables = ("generator_states", "emg_rates", "trials", "units", "arrays")
    assert names == {f"day_csv/monday/{name}.csv" for name in tables} | {"day_csv/monday/about.json"}
    with pytest.raises(DataError, match="`arrays` must be one of .* got 'factor' .did you mean 'factors'"):
        lfadsx.export(results, "csv", tmp_path / "tables", arrays=["factor"])


def test_without_a_bin_width_counts_per_bin_are_exported(tmp_path):
    counts = np.random.default_rng(0).poisson(1.0, (8, 5, 3))
    results = posteriors_of(lfadsx.from_arrays(counts, held_out=[0]), bias=False)
    lfadsx.export(results, "matlab", tmp_path / "rates.mat")
    found = loadmat(tmp_path / "rates.mat", simplify_cells=True)["lfads"]
    assert found["unit"]["rates_counts"] == "counts per bin" and "rates_hz" not in found
    assert (
        found["time_unit"] == "bins"
        and found["time"].tolist() == [0, 1, 2, 3, 4]
        and found["about"]["bin_width_s"].size == 0
    )
    for to in ("pynapple", "nwb"):
        with pytest.raises(LfadsxError, match="need the width of a bin, which is unknown"):
            lfadsx.export(results, to, tmp_path / to)
    with pytest.raises(LfadsxError, match="bins of 5 or 20 ms, got bins of unknown width"):
        lfadsx.export(results, "nlb", tmp_path / "s.h5", benchmark="mc_maze")


def benchmark(n_bins=140, *, bin_width=0.005, test=True, **settings):
    rng, n = np.random.default_rng(1), 14
    split = np.array(["train", "valid", "train", "test" if test else "valid", "train", "train", "valid"] * 2)
    known = {"held_out": [1, 3], "bin_width": bin_width, "split": split, **settings}
    return lfadsx.from_arrays(rng.poisson(0.2, (n, n_bins, 5)), **known)


@pytest.mark.parametrize(("n_bins", "bin_width", "forward"), [(140, 0.005, 0), (180, 0.005, 40), (45, 0.02, 10)])
def test_submission(n_bins, bin_width, forward, tmp_path):
    results = posteriors_of(benchmark(n_bins, bin_width=bin_width, forward_bins=forward))
    results["test"].rates["spikes"][0, 0] = 0.0
    file = tmp_path / "submission.h5"
    with h5py.File(file, "w") as earlier:
        earlier["mc_rtt/eval_rates_heldout"] = np.ones((2, 120, 3), np.float32)
        earlier["mc_maze_20/other"] = earlier["mc_maze/other"] = 1.0
    lfadsx.export(results, "nlb", file, benchmark="mc_maze")
    # trials of train and valid in the order of the input, as the benchmark's own tensors are
    both = np.concatenate([results[name].rates["spikes"] for name in ("train", "valid")])
    both = both[np.argsort(np.concatenate([results[name].row for name in ("train", "valid")]))]
    test, observed = results["test"].rates["spikes"], n_bins - forward
    held_in, held_out = [0, 2, 4], [1, 3]
    known = {
        "train_rates_heldin": both[:, :observed, held_in],
        "train_rates_heldout": both[:, :observed, held_out],
        "eval_rates_heldin": test[:, :observed, held_in],
        "eval_rates_heldout": test[:, :observed, held_out],
    }
    if forward:
        known["eval_rates_heldin_forward"] = test[:, observed:, held_in]
        known["eval_rates_heldout_forward"] = test[:, observed:, held_out]
    with h5py.File(file) as found:
        name = "mc_maze" + ("_20" if bin_width == 0.02 else "")
        assert set(found) == {"mc_rtt", "mc_maze", "mc_maze_20"} and found["mc_rtt/eval_rates_heldout"].shape == (
            2,
            120,
            3,
        )
        assert set(found[name]) == set(known)
        for key, values in known.items():
            assert found[name][key].dtype == np.float32 and found[name][key][...].min() >= np.float32(1e-9)
            np.testing.assert_array_equal(found[name][key][...], np.maximum(values, np.float32(1e-9)))
            assert found[name][key].shape[0] == {"train": 12, "eval": 2}[key.split("_")[0]]


def test_without_test_trials_the_valid_trials_are_scored(tmp_path):
    results = posteriors_of(benchmark(test=False))
    outcome = lfadsx.export(results, "nlb", tmp_path / "own.h5", benchmark="mc_maze_small")
    (note,) = outcome.findings
    assert "`eval` holds the valid trials" in note.sentence and "lfadsx.from_nwb(train_file, test_file)" in note.remedy
    with h5py.File(tmp_path / "own.h5") as found:
        np.testing.assert_array_equal(
            found["mc_maze_small/eval_rates_heldout"][...], results["valid"].rates["spikes"][:, :, [1, 3]]
        )


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ({}, {}, "`benchmark` must name the set of the benchmark: mc_maze, "),
        ({}, {"benchmark": "maze"}, "`benchmark` must be one of .* got 'maze' .did you mean 'mc_maze'"),
        ({}, {"benchmark": "mc_rtt"}, "Trials of mc_rtt must have 120 bins of 5 ms, or 160 with forward .* got 140"),
        ({"bin_width": 0.01}, {"benchmark": "mc_maze"}, "bins of 5 or 20 ms, got 10 ms"),
        ({"held_out": 0}, {"benchmark": "mc_maze"}, "the encoder saw all neurons"),
        ({"kind": "real"}, {"benchmark": "mc_maze"}, "the data of 'spikes' are real numbers"),
    ],
)
def test_what_is_no_submission_is_said(data, options, message, tmp_path):
    with pytest.raises(LfadsxError, match=message):
        lfadsx.export(posteriors_of(benchmark(**data)), "nlb", tmp_path / "s.h5", **options)
    assert not (tmp_path / "s.h5").exists()


def test_other_files_are_not_replaced_by_a_submission(tmp_path):
    results = posteriors_of(benchmark())
    results["test"].save(tmp_path / "rates.h5")
    before = (tmp_path / "rates.h5").read_bytes()
    with pytest.raises(DataError, match="must be a new file, or a submission.* it holds 'test'"):
        lfadsx.export(results, "nlb", tmp_path / "rates.h5", benchmark="mc_maze")
    assert (tmp_path / "rates.h5").read_bytes() == before
    with pytest.raises(LfadsxError, match="needs the rates of train, valid and test trials, got test"):
        lfadsx.export(results["test"], "nlb", tmp_path / "s.h5", benchmark="mc_maze")


def simulated(**settings):
    rng, n = np.random.default_rng(2), 12
    lengths = 8 + np.arange(n) % 3
    known = {"truth": [rng.gamma(2.0, 5.0, (k, 4)) for k in lengths], "truth_unit": "Hz", **settings}
    return lfadsx.from_arrays(
        [rng.poisson(0.4, (k, 4)) for k in lengths],
        true_inputs=[rng.normal(size=(k, 1)) for k in lengths],
        held_out=[2],
        bin_width=0.02,
        split=(["train", "valid", "train", "test"] * n)[:n],
        **known,
    )


def test_a_bundle_of_ayna(tmp_path):
    data = simulated()
    results = posteriors_of(data)
    (file,) = lfadsx.export(results, "ayna", tmp_path / "bundle.npz", data=data).files
    with np.load(file, allow_pickle=False) as bundle:
        found = dict(bundle)
    order = np.argsort(np.concatenate([data.train.row, data.valid.row]))

    def joined(pick):
        return np.concatenate([pick(name) for name in ("train", "valid")])[order]

    length = joined(lambda name: results[name].length)
    inside = (np.arange(10) < length[:, None])[:, :, None]
    known = {
        "spikes": joined(lambda name: data.splits[name].targets["spikes"]),
        "rates": joined(lambda name: results[name].rates["spikes"]),
        "latents": joined(lambda name: results[name].generator_states),
        "inputs": joined(lambda name: results[name].inputs),
        "true_rates": joined(lambda name: data.splits[name].truth) * 0.02,
        "true_inputs": joined(lambda name: data.splits[name].true_inputs),
    }
    for name, values in known.items():
        padding = 1e-9 if name == "rates" else 0
        np.testing.assert_allclose(found[name], np.where(inside, values, padding), rtol=1e-6, err_msg=name)
        assert np.isfinite(found[name]).all()
    assert found["heldout"].tolist() == [False, False, True, False] and found["trial_lens"].tolist() == length.tolist()
    assert (
        found["val"].tolist() == (np.repeat([False, True], [data.train.n_trials, data.valid.n_trials])[order]).tolist()
    )
    meta = json.loads(str(found["meta"]))
    assert (meta["bin_ms"], meta["readout_bottleneck"], meta["latent_dim"]) == (20, 3, 5)
    assert meta["inputs_kind"] == "inferred" and set(found) == {*known, "heldout", "val", "trial_lens", "meta"}


@pytest.mark.slow
def test_ayna_reads_and_checks_a_bundle(tmp_path):
    ayna = pytest.importorskip("ayna.bundle", reason="needs ayna, an outside check of bundles")
    data = simulated()
    lfadsx.export(posteriors_of(data), "ayna", tmp_path, data=data)
    bundle = ayna.load_bundle(tmp_path / "session.npz")
    assert (bundle.n_trials, bundle.n_bins, bundle.n_neurons, bundle.n_latents) == (9, 10, 4, 5)
    assert bundle.inputs_kind == "inferred" and bundle.notes == [] and bundle.has_ground_truth
    from ayna.scan import scan

    assert scan(bundle) is not None


def test_data_of_other_trials_make_no_bundle(tmp_path):
    data = simulated()
    results = posteriors_of(data)
    other = data.select(trials=np.arange(10))
    for wrong, message in ((other, "theirs are others"), (None, "which these results lack")):
        with pytest.raises(LfadsxError, match=message):
            lfadsx.export(results, "ayna", tmp_path, data=wrong)
    with pytest.raises(LfadsxError, match="results of train and valid trials, got valid"):
        lfadsx.export(results["valid"], "ayna", tmp_path, data=data)
    several = two_sessions()
    with pytest.raises(LfadsxError, match="`out` must be a folder, because the results have 2 sessions"):
        lfadsx.export(posteriors_of(several), "ayna", tmp_path / "a.npz", data=several)
    observed = np.ones((12, 6, 4), bool)
    observed[0, 2:4, 1] = False
    hidden = lfadsx.from_arrays(np.ones((12, 6, 4), int), observed=observed, split=["train", "valid"] * 6)
    (finding,) = lfadsx.export(posteriors_of(hidden), "ayna", tmp_path, data=hidden).findings
    assert "2 counts of 'session' were not observed" in finding.sentence


@pytest.mark.parametrize(
    ("to", "out", "options", "message"),
    [
        ("excel", "a", {}, "`to` must be one of 'nwb', 'matlab', .* got 'excel'"),
        ("csv", "a", {"benchmark": "mc_maze"}, "`benchmark` is for nlb, not for csv"),
        ("nlb", "a.h5", {"split": "valid"}, "`split` is for nwb and matlab and pynapple and csv, not for nlb"),
        ("csv", "a.csv", {}, "`out` must be a folder, because csv is several files"),
        ("matlab", "a.h5", {}, "`out` must end in .mat"),
        ("matlab", None, {}, "`out` must be given for results in memory"),
        ("csv", "taken", {}, "cannot be written, because .*taken is a file"),
        ("nwb", "a.nwb", {}, "NWB needs the times at which the trials of 'monday' began"),
    ],
)
def test_what_cannot_be_exported_is_said(results, to, out, options, message, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(LfadsxError, match=message):
        lfadsx.export(results, to, None if out is None else tmp_path / out, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["taken"]


def test_unknown_runs(tmp_path):
    with pytest.raises(RunError, match="The run folder .*nowhere does not exist"):
        lfadsx.export(tmp_path / "nowhere", "csv")
    assert not (tmp_path / "nowhere").exists()
    for file, what in (("ensemble.h5", "a population"), ("cross_validated.h5", "a cross-validation")):
        (tmp_path / what).mkdir()
        (tmp_path / what / file).touch()
        with pytest.raises(RunError, match=f"holds {what}, .* Give .*{file}"):
            lfadsx.export(tmp_path / what, "csv")


def test_channels_without_names_are_numbered_and_padding_is_no_channel(results):
    one, two = by_session(results)
    assert (one.channels(4)[0], two.columns("rates_hz")) == ("monday 0", [f"tuesday {k}" for k in range(3)])
    bare = lfadsx.from_arrays(np.ones((8, 5, 3), int))
    (session,) = by_session(posteriors_of(bare))
    assert session.columns("rates_counts") == ["0", "1", "2"] and session.units()["held_out"].tolist() == [False] * 3
