"""Simulations: numbers of the original programs, writing and reading files, splits, and errors."""

import json

import h5py
import numpy as np
import pytest
from scipy.signal import filtfilt

from lfadsx.data import read, split
from lfadsx.datasets import RECIPES, ChaoticRNN, LabeledRNNs, simulate, spikify
from lfadsx.datasets.chaotic_network import align_sessions
from lfadsx.errors import DataError

SMALL = {"conditions": 6, "trials_per_condition": 5, "duration": 0.4}


def arrays_of(recipe):
    """Arrays of the only session of a recipe."""
    (session,) = recipe.simulate()
    return session.arrays


def assert_same(one, other):
    assert set(one) == set(other)
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_the_originals_first_weight_and_sizes():
    for name in ("chaotic_rnn_no_inputs", "chaotic_rnn_inputs_g1p5", "chaotic_rnn_inputs_g2p5"):
        assert RECIPES[name].network().weights[0, 0] == pytest.approx(0.06239899, abs=1e-8)
    names = np.unique(RECIPES["chaotic_rnn_no_inputs"].split_names(), return_counts=True)
    assert dict(zip(*names, strict=True)) == {"train": 3200, "valid": 800}
    many = RECIPES["chaotic_rnn_multisession"]
    assert len(many.condition) == 6000 and [len(p) for p in many.network().readouts] == [20] * 5
    assert (
        RECIPES["chaotic_rnn_inputs_g2p5"].gain == 2.5 and RECIPES["gaussian_chaotic_rnn_no_inputs"].noise == "gaussian"
    )


def test_spikes_follow_the_originals_loops():
    """The order of all draws of two sessions, written out in loops."""
    recipe = ChaoticRNN(
        conditions=3, trials_per_condition=4, train_fraction=0.75, units=10, recorded=4, components=2, gain=2.0,
        input_magnitude=20.0, duration=0.3, seed=3,
    )  # fmt: skip
    sessions = recipe.simulate()
    assert [session.suffix for session in sessions] == ["_n0", "_n1"]
    random = np.random.RandomState(3)
    weights, b, _ = random.randn(10, 10) / np.sqrt(10), random.randn(10), random.randn(10)
    starts = [random.randn(10) for _ in range(3)]
    for number, session in enumerate(sessions):
        times = random.choice(15, 12) + 7
        readout = np.roll(np.eye(4, 10), 4 * number, axis=1)
        rates = np.empty((12, 4, 30))
        for trial in range(12):
            x = starts[trial // 4]
            for t in range(30):
                x = 0.6 * x + 0.4 * 2.0 * weights @ np.tanh(x) + 0.4 * b * 20.0 * (t == times[trial])
                rates[trial, :, t] = readout @ np.tanh(x)
        low, high = rates.min(2, keepdims=True), rates.max(2, keepdims=True)
        truth = (rates - low) / (high - low)
        counts = np.array([[random.poisson(neuron * 0.3) for neuron in trial] for trial in truth])
        rows = {"train": [0, 1, 2, 4, 5, 6, 8, 9, 10], "valid": [3, 7, 11]}
        for name, own in rows.items():
            np.testing.assert_array_equal(session.arrays[f"{name}_data"], counts[own].transpose(0, 2, 1))
            np.testing.assert_allclose(session.arrays[f"{name}_truth"], truth[own].transpose(0, 2, 1), atol=1e-6)
            np.testing.assert_array_equal(session.arrays[f"input_times_{name}"], times[own])
            np.testing.assert_array_equal(session.arrays[f"{name}_inds"], own)
            np.testing.assert_array_equal(session.arrays[f"condition_labels_{name}"], np.array(own) // 4)
            pulse = session.arrays[f"input_{name}_truth"]
            assert np.all(pulse.sum(1) == 20) and np.all(pulse[:, :, 0].argmax(1) == times[own])
        np.testing.assert_array_equal(session.arrays["P_sxn"], readout)


def test_pulses_lie_in_the_middle_half_and_kick():
    recipe = ChaoticRNN(conditions=40, input_magnitude=20.0)
    arrays = arrays_of(recipe)
    times = arrays["input_times_train"]
    assert times.min() == 25 and times.max() == 74
    # Before its pulse a trial is as without one, after it no longer.
    calm = arrays_of(ChaoticRNN(conditions=40))
    trial = int(np.argmax(times == 74))
    scaled = np.corrcoef(arrays["train_truth"][trial, :74, 0], calm["train_truth"][trial, :74, 0])[0, 1]
    after = np.corrcoef(arrays["train_truth"][trial, 74:, 0], calm["train_truth"][trial, 74:, 0])[0, 1]
    assert scaled == pytest.approx(1, abs=1e-5) and after < 0.99


@pytest.mark.parametrize("name", ["chaotic_rnn_no_inputs", "chaotic_rnn_inputs_g1p5", "chaotic_rnns_labeled"])
def test_a_file_reads_as_expected_counts(name, tmp_path):
    (file,) = simulate(name, tmp_path / "one.h5", **SMALL)
    data = read(file)
    with h5py.File(file) as raw:
        stored = {key: values[...] for key, values in raw.items()}
    assert stored["train_data"].dtype == np.uint8 and stored["conversion_factor"] == pytest.approx(1 / 0.3)
    assert data.truth_unit == "counts per bin" and data.bin_width == 0.01 and data.test is None
    for split_name, part in data.splits.items():
        np.testing.assert_array_equal(part.encoder_input, stored[f"{split_name}_data"])
        np.testing.assert_allclose(part.truth, stored[f"{split_name}_truth"] * 0.3, rtol=1e-6)
        assert part.truth.max() == pytest.approx(0.3) and part.truth.min() == 0
        assert abs(part.truth.mean() - part.encoder_input.mean()) < 4 * np.sqrt(0.15 / part.truth.size)
        np.testing.assert_array_equal(part.trial_id // 5, part.condition)
    made = data.source["one"]["made_from"]
    assert made["conditions"] == 6 and made["seed"] == 5 and made["lfadsx"]
    if name == "chaotic_rnns_labeled":
        np.testing.assert_array_equal(data.valid.known_inputs, stored["valid_ext_input"])


def test_sessions_share_states_and_record_different_units(tmp_path):
    files = simulate("chaotic_rnn_multisession", tmp_path, conditions=4, trials_per_condition=10)
    assert [file.name for file in files] == [f"chaotic_rnn_multisession_n{n}.h5" for n in range(5)]
    data = read(*files)
    assert [session.n_channels for session in data.sessions] == [20] * 5
    # Without pulses all trials of a condition are the same; together the sessions are the network.
    whole = arrays_of(ChaoticRNN(conditions=4, trials_per_condition=10, units=100, recorded=100))["train_truth"]
    parts = [data.train.truth[data.train.session == number] / 0.3 for number in range(5)]
    np.testing.assert_allclose(np.concatenate(parts, axis=2), whole, atol=1e-6)
    assert not np.array_equal(data.train.encoder_input[:32], data.train.encoder_input[32:64])
    with pytest.raises(DataError, match=r"has 5 sessions and '.*one\.h5' is one file\. Name a folder"):
        simulate("chaotic_rnn_multisession", tmp_path / "one.h5", conditions=4)


def test_alignment_is_principal_component_regression():
    recipe = ChaoticRNN(conditions=6, trials_per_condition=20, units=30, recorded=10, components=4)
    sessions = [session.arrays for session in recipe.simulate()]
    rows = []
    for arrays in sessions:
        data, condition = arrays["train_data"], arrays["condition_labels_train"]
        course = np.concatenate([data[condition == c].mean(0) for c in range(6)]).T
        rows.append(filtfilt(np.ones(6) / 6, [1.0], course, axis=1))
    together = np.concatenate(rows)
    means = together.mean(1, keepdims=True)
    _, values, components = np.linalg.svd(together - means, full_matrices=False)
    for number, arrays in enumerate(sessions):
        own = slice(10 * number, 10 * number + 10)
        np.testing.assert_allclose(arrays["alignment_bias_c"], means[own, 0], rtol=1e-10)
        expected = np.linalg.pinv((together - means)[own].T) @ (components[:4] * values[:4, None]).T
        found = arrays["alignment_matrix_cxf"]
        signs = np.sign((found * expected).sum(0))
        np.testing.assert_allclose(found * signs, expected, rtol=1e-6, atol=1e-9)
    # Aligned sessions agree on the components of their conditions.
    matrices = [arrays["alignment_matrix_cxf"] for arrays in sessions]
    aligned = [(x - x.mean(1, keepdims=True)).T @ matrix for x, matrix in zip(rows, matrices, strict=True)]
    assert np.corrcoef(aligned[0][:, 0], aligned[1][:, 0])[0, 1] > 0.8


def test_alignment_of_a_short_recording():
    rng = np.random.default_rng(0)
    (matrix, bias), _ = align_sessions([(rng.poisson(2.0, (4, 8, 3)), np.zeros(4))] * 2, 2)
    assert matrix.shape == (3, 2) and np.isfinite(matrix).all() and bias.min() > 0


@pytest.mark.parametrize("recipe", [ChaoticRNN(**SMALL, input_magnitude=20.0), LabeledRNNs(**SMALL)])
def test_whole_conditions_are_kept_apart_and_nothing_else_changes(recipe):
    kept = type(recipe)(**{**vars(recipe), "split": "conditions", "train_fraction": 0.6})
    arrays, before = arrays_of(kept), arrays_of(recipe)
    conditions = {name: set(arrays[f"condition_labels_{name}"]) for name in ("train", "valid", "test")}
    assert (
        len(conditions["test"]) == 2
        and conditions["train"] == conditions["valid"] == set(range(6)) - conditions["test"]
    )
    assert [len(arrays[f"{name}_data"]) for name in ("train", "valid", "test")] == [12, 8, 10]

    def by_number(arrays):
        names = [name for name in ("train", "valid", "test") if f"{name}_data" in arrays]
        order = np.argsort(np.concatenate([arrays[f"{name}_inds"] for name in names]))
        return np.concatenate([arrays[f"{name}_data"] for name in names])[order]

    np.testing.assert_array_equal(by_number(arrays), by_number(before))


def test_seeds_reproduce_and_the_global_generator_does_not_matter():
    for noise in ("poisson", "gaussian"):
        np.random.seed(0)
        one = arrays_of(ChaoticRNN(**SMALL, noise=noise))
        np.random.seed(1)
        assert_same(one, arrays_of(ChaoticRNN(**SMALL, noise=noise)))
        other = arrays_of(ChaoticRNN(**SMALL, noise=noise, seed=6))
        assert not np.array_equal(one["train_data"], other["train_data"])


def test_the_gaussian_twin_has_the_same_rates_on_the_scale_of_the_data(tmp_path):
    (file,) = simulate("gaussian_chaotic_rnn_no_inputs", tmp_path, **{**SMALL, "conditions": 30})
    data = read(file, kind="real")
    assert data.truth_unit == "data" and file.name == "gaussian_chaotic_rnn_no_inputs.h5"
    truth, values = data.train.truth, data.train.encoder_input
    assert np.polyfit(truth.ravel(), values.ravel(), 1)[0] == pytest.approx(1, abs=0.03)
    assert np.std(values - truth) == pytest.approx(15, rel=0.01) and truth.max() == pytest.approx(30)
    spikes = arrays_of(ChaoticRNN(**{**SMALL, "conditions": 30}))
    np.testing.assert_allclose(truth, spikes["train_truth"] * 30, rtol=1e-6)


def test_labels_choose_between_two_networks_with_one_start():
    recipe = LabeledRNNs(**SMALL)
    arrays, (both, starts, readout, all_labels, _) = arrays_of(recipe), recipe.draw()
    for seed, weights in zip((6, 7), both, strict=True):
        np.testing.assert_array_equal(weights, np.random.RandomState(seed).randn(50, 50) / np.sqrt(50))
    np.testing.assert_array_equal(all_labels, np.random.RandomState(5).randint(2, size=30))
    for name in ("train", "valid"):
        labels = all_labels[arrays[f"{name}_inds"]]
        expected = np.broadcast_to(labels[:, None, None], (len(labels), 40, 1))
        np.testing.assert_array_equal(arrays[f"{name}_ext_input"], expected)
        for trial, (label, number) in enumerate(zip(labels, arrays[f"{name}_inds"], strict=True)):
            x, courses = starts[number // 5], []
            for _ in range(40):
                x = 0.6 * x + 0.4 * 1.5 * both[label] @ np.tanh(x)
                courses.append(readout @ np.tanh(x))
            rates = np.array(courses)
            low, high = rates.min(0), rates.max(0)
            np.testing.assert_allclose(arrays[f"{name}_truth"][trial], (rates - low) / (high - low), atol=1e-6)


def test_spikify_counts_scatter_like_poisson_and_noise_like_gauss():
    rates = np.full((200, 50, 4), [5.0, 10.0, 20.0, 40.0])
    counts = spikify(rates, bin_width=0.02, seed=1)
    np.testing.assert_allclose(counts.mean((0, 1)), [0.1, 0.2, 0.4, 0.8], atol=0.03)
    np.testing.assert_allclose(counts.var((0, 1)), [0.1, 0.2, 0.4, 0.8], atol=0.05)
    noisy = spikify(rates, bin_width=0.01, noise="gaussian", seed=1)
    np.testing.assert_allclose((noisy - rates).std((0, 1)), 5 * 40 * 0.1, rtol=0.03)
    assert spikify(rates, bin_width=0.01, noise="gaussian", noise_std=2.0).std((0, 1))[0] == pytest.approx(2, rel=0.03)
    going = np.random.RandomState(1)
    np.testing.assert_array_equal(spikify(rates, bin_width=0.02, seed=going), counts)
    assert not np.array_equal(spikify(rates, bin_width=0.02, seed=going), counts)


def test_split_by_trials_and_by_conditions():
    condition = np.repeat(["a", "b", "c", "d", "e"], 10)
    by_trials = split(condition, test_fraction=0.2)
    for name, n in (("train", 6), ("valid", 2), ("test", 2)):
        assert [np.sum((by_trials == name) & (condition == c)) for c in "abcde"] == [n] * 5
    by_conditions = split(condition, by="conditions", test_fraction=0.2)
    found = {name: set(condition[by_conditions == name]) for name in ("train", "valid", "test")}
    assert [len(found[name]) for name in ("train", "valid", "test")] == [3, 1, 1]
    assert set.union(*found.values()) == set("abcde")
    np.testing.assert_array_equal(split(condition, by="conditions", test_fraction=0.2), by_conditions)
    with pytest.raises(DataError, match="2 conditions cannot be split .* Give more conditions or smaller"):
        split([0, 1], by="conditions", test_fraction=0.4)


@pytest.mark.parametrize(
    "name, changes, message",
    [
        (
            "chaotic_rnn_no_input",
            {},
            r"must be one of .*, got .chaotic_rnn_no_input. .did you mean 'chaotic_rnn_no_inputs'",
        ),
        ("chaotic_rnn_no_inputs", {"condition": 3}, r"setting of .* must be one of .*did you mean 'conditions'"),
        ("chaotic_rnn_no_inputs", {"conditions": 0}, "`conditions` must be a finite number above 0, got 0"),
        ("chaotic_rnn_no_inputs", {"train_fraction": 1.0}, "`train_fraction` must be between 0 and 1, got 1.0"),
        ("chaotic_rnn_no_inputs", {"noise": "poison"}, "`noise` must be one of 'poisson', 'gaussian', got 'poison'"),
        ("chaotic_rnn_no_inputs", {"split": "days"}, "`split` must be one of 'trials', 'conditions', got 'days'"),
        ("chaotic_rnn_no_inputs", {"conditions": 2, "split": "conditions"}, "give 0 conditions to test on"),
        ("chaotic_rnn_no_inputs", {"recorded": 60}, r"`recorded` must be at most `units` \(50\), got 60"),
        ("chaotic_rnn_no_inputs", {"recorded": 5}, r"`components` must be at most `recorded` \(5\), .* got 10"),
        ("chaotic_rnn_no_inputs", {"duration": 0.02}, "has 2 bins of 0.01 s"),
        (
            "chaotic_rnn_no_inputs",
            {"conditions": 3, "start_std": 0.0},
            "trial 0 must vary .* got 0 in every bin",
        ),
        ("chaotic_rnns_labeled", {"time_constant": 0.0}, "`time_constant` must be a finite number above 0, got 0.0"),
    ],
)
def test_bad_settings_are_named_and_write_nothing(name, changes, message, tmp_path):
    with pytest.raises(DataError, match=message):
        simulate(name, tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value, message", [(-1.0, "got -1 at trial 1, bin 2, neur"), (np.nan, "got nan at trial 1")])
def test_rates_that_are_none(value, message):
    rates = np.ones((2, 4, 3))
    rates[1, 2, 0] = value
    with pytest.raises(DataError, match=message):
        spikify(rates, bin_width=0.01)


def test_the_source_of_a_file_is_its_settings(tmp_path):
    (file,) = simulate("chaotic_rnn_inputs_g2p5", tmp_path / "deep" / "folder", **SMALL, seed=9)
    with h5py.File(file) as content:
        made = json.loads(content.attrs["lfadsx_source"])
        assert content.attrs["bin_width_s"] == 0.01 and content.attrs["seed"] == 9
    del made["simulation"], made["lfadsx"]
    again = arrays_of(ChaoticRNN(**made))
    np.testing.assert_array_equal(again["train_data"], read(file).train.encoder_input)
