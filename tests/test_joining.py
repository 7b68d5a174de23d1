"""Pieces joined on the time axis: weights, nothing lost at any length, overlap and gap, and files of joined rates."""

import dataclasses

import h5py
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import cli
from lfadsx.data.pieces import lay_pieces, runs_of
from lfadsx.results.joined_file import write_pieces
from lfadsx.results.joining import weights
from lfadsx.results.posterior import Posterior
from lfadsx.types import TargetGroup, TimeAxis


def posterior_of(values, pieces, length, **changes):
    """A posterior whose rates and factors are the values of the bins of each piece, NaN after its end."""
    n, width = len(pieces.first_bin), values.shape[1]
    cut = np.full((n, length, width), np.nan, np.float32)
    for row, (first, own) in enumerate(zip(pieces.first_bin, pieces.n_bins, strict=True)):
        cut[row, :own] = values[first : first + own]
    bare = np.zeros((n, 1), np.float32)
    fields = ("initial_condition", "ic_mean", "ic_std", "initial_state")
    found = Posterior(
        rates={"spikes": cut},
        rates_std={"spikes": 0.1 * cut},
        factors=cut[:, :, :1],
        generator_states=cut,
        **dict.fromkeys(("inputs", "inputs_std", "input_mean", "input_std", "controller_states", "encoding")),
        **dict.fromkeys(fields, bare),
        trial_id=np.arange(n),
        session=np.zeros(n, np.int32),
        length=pieces.n_bins,
        n_samples=4,
        seed=0,
        split="all",
        sessions=("day",),
        time=TimeAxis(0.01, 0.0, "piece start"),
        groups={"spikes": TargetGroup("counts", "counts per bin")},
        start_time=5.0 + 0.01 * pieces.first_bin,
        piece_of=np.zeros(n, np.int64),
        first_bin=pieces.first_bin,
    )
    return dataclasses.replace(found, **changes)


def signal(n):
    """A constant, a ramp and random numbers, shape (bin, 3)."""
    return np.stack([np.full(n, 3.7), 0.01 * np.arange(n), np.random.default_rng(n).random(n)], axis=1)


CASES = [
    # bins, length, overlap, gaps (first bin, bins)
    (1, 5, 0, []),  # a recording of one bin
    (3, 5, 1, []),  # shorter than a piece
    (5, 5, 4, []),  # a single piece
    (100, 10, 0, []),
    (100, 10, 3, []),
    (103, 10, 3, []),  # a tail
    (100, 10, 9, []),  # up to ten pieces in a bin
    (400, 60, 59, [(100, 1)]),
    (97, 8, 5, [(0, 4), (30, 2), (50, 20), (95, 2)]),
    (300, 2, 1, [(150, 1)]),
    (250, 200, 190, [(210, 3)]),
]


@pytest.mark.parametrize("power", [0.5, 2.0, 20.0])
@pytest.mark.parametrize("n, length, overlap, gaps", CASES)
def test_what_was_cut_comes_back(n, length, overlap, gaps, power):
    values, seen = signal(n), np.ones(n, bool)
    for first, width in gaps:
        seen[first : first + width] = False
    pieces = lay_pieces(runs_of(seen), length, overlap)
    joined = lfadsx.join(posterior_of(values, pieces, length), power=power)["day"]
    last = int(np.flatnonzero(seen)[-1]) + 1
    assert joined.n_bins == last and joined.length.tolist() == [last]
    np.testing.assert_array_equal(joined.n_pieces > 0, seen[:last])
    np.testing.assert_array_equal(np.isnan(joined.rates["spikes"]), ~np.repeat(seen[:last, None], 3, axis=1))
    np.testing.assert_allclose(joined.rates["spikes"][seen[:last]], values[:last][seen[:last]], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(joined.rates_std["spikes"], 0.1 * joined.rates["spikes"], rtol=1e-5)
    np.testing.assert_allclose(joined.time, 5.0 + 0.01 * (np.arange(last) + 0.5))
    assert joined.rates["spikes"].dtype == np.float32 and joined.inputs is None


def test_random_cuts_come_back():
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, length = int(rng.integers(1, 300)), int(rng.integers(2, 50))
        seen = rng.random(n) > rng.choice([0.0, 0.02, 0.2])
        if seen.any():
            pieces = lay_pieces(runs_of(seen), length, int(rng.integers(0, length)))
            joined = lfadsx.join(posterior_of(signal(n), pieces, length))["day"].rates["spikes"]
            own = np.flatnonzero(seen)
            np.testing.assert_allclose(joined[own], signal(n)[own], rtol=1e-6, atol=1e-6)


def test_pieces_stand_at_their_own_times():
    """Frames of a clock that drifts, with a pause of seven and a half frames: joined bins do not drift."""
    frames = 2.0 + np.cumsum(np.linspace(0.00999, 0.01002, 900))
    frames[500:] += 0.075
    bins = np.arange(900) + (np.arange(900) >= 500) * 8
    pieces = lay_pieces(np.array([[0, 500], [508, 908]]), 50, 10)
    start = frames[np.searchsorted(bins, pieces.first_bin)]
    day = lfadsx.join(posterior_of(signal(908), pieces, 50, start_time=start))["day"]
    np.testing.assert_allclose(day.time[bins], frames + 0.005, atol=1e-3)
    assert np.all(np.diff(day.time) > 0)


def test_weights_are_those_of_the_usual_program():
    np.testing.assert_allclose(
        weights(8, 4, 4, 2.0), [0.0625, 0.1736, 0.3403, 0.5625, 0.9375, 0.8264, 0.6597, 0.4375], atol=1e-4
    )
    assert weights(6, 0, 0, 2.0).tolist() == [1.0] * 6 and weights(2, 1, 1, 1.0).tolist() == [0.5, 0.5]
    for n in (2, 7, 30):  # two pieces alone have weights that sum to 1
        np.testing.assert_allclose(weights(n, 0, n, 3.0) + weights(n, n, 0, 3.0), 1.0)


def test_the_mean_of_all_pieces_that_cover_a_bin():
    """Pieces that disagree, against a loop over bins and pieces."""
    n, length, rng = 60, 16, np.random.default_rng(3)
    pieces = lay_pieces(np.array([[0, n]]), length, 12)
    post = posterior_of(signal(n), pieces, length)
    rates = rng.random(post.rates["spikes"].shape).astype(np.float32)
    post = dataclasses.replace(post, rates={"spikes": rates})
    first, expected = pieces.first_bin, np.zeros((n, 3))
    for b in range(n):
        total = 0.0
        for k, start in enumerate(first):
            if start <= b < start + length:
                before = 0 if k == 0 else first[k - 1] + length - start
                after = 0 if k == len(first) - 1 else start + length - first[k + 1]
                weight, i = 1.0, b - start
                if i < before:
                    weight *= np.linspace(1 / before, 1 - 1 / before, before)[i] ** 2
                if i >= length - after:
                    weight *= 1 - np.linspace(1 / after, 1 - 1 / after, after)[i - length + after] ** 2
                expected[b] += weight * rates[k, i]
                total += weight
        expected[b] /= total
    np.testing.assert_allclose(lfadsx.join(post)["day"].rates["spikes"], expected, rtol=1e-5)


def test_bins_that_a_read_out_does_not_reach_come_from_other_pieces():
    pieces = lay_pieces(np.array([[0, 40]]), 10, 4)
    post = posterior_of(signal(40), pieces, 10)
    late = post.rates["spikes"].copy()
    late[:, :2] = np.nan  # a delay of two bins
    joined = lfadsx.join(dataclasses.replace(post, rates={"spikes": late}))["day"]
    assert np.isnan(joined.rates["spikes"][:2]).all() and not np.isnan(joined.factors).any()
    np.testing.assert_allclose(joined.rates["spikes"][2:], signal(40)[2:], rtol=1e-6, atol=1e-6)


def test_splits_are_joined_together_or_one_by_one():
    pieces = lay_pieces(np.array([[0, 100]]), 10, 4)
    whole = posterior_of(signal(100), pieces, 10)
    rows = np.arange(whole.n_trials) % 3 == 1
    parts = [
        posterior_of(
            signal(100),
            dataclasses.replace(pieces, **{n: getattr(pieces, n)[own] for n in ("first_bin", "n_bins", "stretch")}),
            10,
        )
        for own in (rows, ~rows)
    ]
    np.testing.assert_array_equal(lfadsx.join(*parts)["day"].rates["spikes"], lfadsx.join(whole)["day"].rates["spikes"])
    alone = lfadsx.join(parts[0])["day"]
    assert (alone.n_pieces == 0).any() and np.isnan(alone.factors[alone.n_pieces == 0]).all()


def test_trials_and_sessions_are_joined_on_their_own():
    stretches = np.array([[0, 25], [0, 8], [0, 31]])
    pieces = lay_pieces(stretches, 10, 3)
    values = signal(31)
    post = posterior_of(values, pieces, 10, piece_of=np.array([4, 7, 9])[pieces.stretch], trial_id=pieces.stretch + 40)
    joined = lfadsx.join(post)["day"]
    assert joined.length.tolist() == [25, 8, 31] and joined.trial_id.tolist() == [40, 41, 42]
    for part, n in zip(joined.by_trial(joined.rates["spikes"]), (25, 8, 31), strict=True):
        np.testing.assert_allclose(part, values[:n], rtol=1e-6, atol=1e-6)
    two = dataclasses.replace(post, sessions=("day", "night"), session=(pieces.stretch == 2).astype(np.int32))
    two.rates["spikes"][pieces.stretch == 2, :, 2] = np.nan  # the second session has a channel less
    found = lfadsx.join(two)
    assert {name: one.rates["spikes"].shape for name, one in found.items()} == {"day": (33, 3), "night": (31, 2)}


def test_mistakes():
    pieces = lay_pieces(np.array([[0, 30]]), 10, 4)
    post = posterior_of(signal(30), pieces, 10)
    for given, power, said in (
        ((), 2.0, "at least one posterior"),
        ((post,), 0.0, "`power` must be a finite number above 0"),
        ((dataclasses.replace(post, first_bin=None),), 2.0, "these are whole trials. Cut the recording"),
        ((post, dataclasses.replace(post, sessions=("other",))), 2.0, "must be of the same data"),
    ):
        with pytest.raises(lfadsx.LfadsxError, match=said):
            lfadsx.join(*given, power=power)
    joined = lfadsx.join(post)["day"]
    np.testing.assert_allclose(joined.rates_hz(), joined.rates["spikes"] / 0.01)
    with pytest.raises(lfadsx.LfadsxError, match="`group` must be one of 'spikes', got 'spike'"):
        joined.rates_hz("spike")
    with pytest.raises(lfadsx.LfadsxError, match="Rates in Hz need counts in bins of known width"):
        dataclasses.replace(joined, bin_width=None).rates_hz()
    assert "30 bins, 30 of them covered" in repr(joined)


OBSERVED = np.arange(900) // 10 != 43  # a gap of ten bins


@pytest.fixture(scope="module")
def inferred():
    """Pieces with a gap, and their posterior under a model that was not trained."""
    counts = np.random.default_rng(0).poisson(0.5, (900, 5))
    data = lfadsx.from_continuous(
        counts, bin_width=0.01, length=0.3, observed=OBSERVED, session="day", channel_names=list("abcde")
    )
    model = lfadsx.autonomous(data, generator_dim=8, rngs=nnx.Rngs(0))
    return data, lfadsx.infer(model, data, "all", n_samples=0)


def check_file(path, joined):
    """Arrays of a file of joined pieces are those of `join`, with units and descriptions."""
    with h5py.File(path) as file:
        group = file["day"]
        np.testing.assert_allclose(group["rates_hz"][...], joined.rates_hz(), rtol=1e-4)
        np.testing.assert_allclose(group["factors"][...], joined.factors, rtol=1e-3, atol=1e-5)
        np.testing.assert_array_equal(group["time"][...], joined.time)
        assert group["rates_hz"].attrs["unit"] == "Hz" and list(group["rates_hz"].attrs["dims"]) == ["bin", "channel"]
        assert group["channel_names"].asstr()[...].tolist() == list("abcde")
        assert all(array.attrs["unit"] and array.attrs["description"] for array in group.values())
        return list(group)


def test_a_posterior_of_all_pieces_becomes_a_file_on_the_axis_of_the_recording(inferred, tmp_path):
    joined = lfadsx.join(inferred[1])["day"]
    np.testing.assert_array_equal(np.isnan(joined.factors[:, 0]), ~OBSERVED)
    np.testing.assert_allclose(joined.time, 0.01 * (np.arange(900) + 0.5))
    joined.save(tmp_path / "joined.h5")
    assert "inputs" not in check_file(tmp_path / "joined.h5", joined)
    inferred[1].save(tmp_path / "post.h5")
    again = lfadsx.join(lfadsx.read_posterior(tmp_path / "post.h5"))["day"]
    np.testing.assert_array_equal(again.rates["spikes"], joined.rates["spikes"])
    assert not write_pieces(tmp_path / "post.h5", {"all": dataclasses.replace(inferred[1], first_bin=None)})


def test_a_figure_of_joined_rates(inferred):
    pytest.importorskip("matplotlib")
    data, post = inferred
    figure = lfadsx.plotting.joined_rates(post, data)
    line = figure.axes[2].get_lines()[0]
    joined = lfadsx.join(post)["day"]
    shown = joined.rates_hz()[np.isin(joined.time, line.get_xdata())]
    assert any(np.allclose(line.get_ydata(), shown[:, neuron]) for neuron in range(5))
    images = [np.asarray(ax.get_images()[0].get_array()) for ax in figure.axes[:2]]
    np.testing.assert_allclose([image.max(axis=1) for image in images], 1.0)  # no neuron hides the others
    assert "Time in the recording (s)" in [ax.get_xlabel() for ax in figure.axes]


@pytest.mark.slow
def test_the_commands_write_joined_rates(inferred, tmp_path):
    data, _ = inferred
    (file,) = lfadsx.data.write_dataset(tmp_path / "day.h5", data)
    small = "--factors 3 --generator-dim 6 --ic-dim 4 --ic-encoder-dim 5 --input-encoder-dim 4 --controller-dim 5"
    run = [*small.split(), *"--inferred-inputs 1 --epochs 1 --samples 4 --devices 1".split()]
    assert cli.main(["fit", str(file), "--out", str(tmp_path / "run"), *run]) == 0
    assert (tmp_path / "run" / "posterior_joined.h5").is_file()
    assert (tmp_path / "run" / "figures" / "test_joined_rates.png").is_file()
    out = tmp_path / "rates.h5"
    assert cli.main(["infer", str(tmp_path / "run"), str(file), "--samples", "0", "--out", str(out)]) == 0
    model = lfadsx.load(tmp_path / "run")
    joined = lfadsx.join(lfadsx.infer(model, data, "all", n_samples=0))["day"]
    assert {"inputs", "inputs_std", "rates_std"} < set(check_file(tmp_path / "rates_joined.h5", joined))
