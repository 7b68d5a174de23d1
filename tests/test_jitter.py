"""Spike jitter: every spike moves by itself, evenly, and stays in its trial."""

import jax
import making
import numpy as np
import pytest

import lfadsx
from lfadsx.data import batch as batch_of
from lfadsx.modules import SpikeJitter


def jittered(batch, width=2, key=0):
    """The counts of the loss and of the encoders after the jitter."""
    changed, weights, opened = jax.jit(SpikeJitter(width))(batch, lfadsx.HyperParams(), jax.random.key(key))
    assert weights == {} and opened == {}
    return np.asarray(changed.targets["spikes"]), np.asarray(changed.encoder_input)


def counts_of(values):
    """A batch with these counts, shape (trial, time, channel)."""
    names = ["train"] * (len(values) - 1) + ["valid"]
    return batch_of(lfadsx.data.from_arrays(values, split=names), "train")


@pytest.mark.slow
def test_moves_are_even_and_unbiased():
    n, n_bins, middle, width = 4000, 15, 7, 3
    values = np.zeros((n + 1, n_bins, 2), int)
    values[:, middle] = 1
    moved, _ = jittered(counts_of(values), width)
    found = moved.sum((0, 2))
    share = 1 / (2 * width + 1)
    expected = np.where(np.abs(np.arange(n_bins) - middle) <= width, 2 * n * share, 0)
    assert found.sum() == 2 * n
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(2 * n * share * (1 - share)) * (expected > 0))
    # The mean move is 0: its standard deviation is sqrt(width (width + 1) / 3).
    mean = (found @ (np.arange(n_bins) - middle)) / (2 * n)
    assert abs(mean) < 5 * np.sqrt(width * (width + 1) / 3 / (2 * n))


def test_each_spike_of_a_bin_moves_by_itself():
    values = np.zeros((500, 9, 1), int)
    values[:, 4] = 5
    moved, _ = jittered(counts_of(values), 1)
    assert np.all(moved.sum(1) == 5)
    # Counts of the middle bin are binomial, not 0 or 5.
    middle = moved[:, 4, 0]
    assert middle.mean() == pytest.approx(5 / 3, abs=5 * np.sqrt(5 * (1 / 3) * (2 / 3) / 500))
    assert middle.var() == pytest.approx(5 * (1 / 3) * (2 / 3), rel=0.3)


def test_reflection_leaves_an_even_rate_even():
    n = 4000
    moved, _ = jittered(counts_of(np.ones((n + 1, 6, 1), int)), 2)
    assert np.all(np.abs(moved.mean(0) - 1) < 5 * moved.std(0) / np.sqrt(n))


def test_encoders_and_loss_see_the_same_spikes_and_none_is_lost():
    batch = batch_of(making.several_sessions())
    targets, seen = jittered(batch)
    before = np.asarray(batch.targets["spikes"])
    assert np.any(targets != before)
    observed = np.asarray(batch.scored("spikes"))
    np.testing.assert_array_equal(targets[~observed], before[~observed])
    np.testing.assert_array_equal((targets * observed).sum(1), (before * observed).sum(1))
    n_encoder = seen.shape[1]
    for trial in range(batch.n_trials):
        # No spike moves between the encoder's bins and the predicted bins.
        end = int(batch.encoder_length[trial])
        inside = observed[trial, :end]
        np.testing.assert_array_equal((targets[trial, :end] * inside).sum(0), (before[trial, :end] * inside).sum(0))
        for channel, target in enumerate(np.asarray(batch.target_index[trial])):
            expected = targets[trial, :n_encoder, target] if target >= 0 else batch.encoder_input[trial, :, channel]
            np.testing.assert_array_equal(seen[trial, :, channel], np.asarray(expected))


def test_more_spikes_may_meet_in_a_bin_than_the_data_ever_had():
    values = np.full((3, 6, 1), 255)
    batch = counts_of(values)
    assert batch.targets["spikes"].dtype == np.uint8
    moved, _ = jittered(batch, 1)
    assert moved.max() > 255 and np.all(moved.sum(1) == 6 * 255)


@pytest.mark.slow
def test_moves_do_not_depend_on_company_order_or_padding():
    batch = making.rows(batch_of(making.several_sessions()), range(4))
    targets, _ = jittered(batch)
    long, _ = jittered(making.lengthen(batch, 3))
    same = np.asarray(batch.scored("spikes"))
    np.testing.assert_array_equal(long[:, : targets.shape[1]][same], targets[same])
    turned, _ = jittered(making.rows(batch, [2, 0]))
    np.testing.assert_array_equal(turned, targets[[2, 0]])
    assert np.any(jittered(batch, key=1)[0] != targets)


@pytest.mark.slow
def test_a_run_with_jitter_trains_on_other_spikes_and_validates_on_the_same():
    data = making.one_session(n_trials=12)
    histories = []
    for width in (0, 2):
        config = lfadsx.TrainConfig(epochs=1, batch_size=8, kl_ramp_epochs=0, l2_ramp_epochs=0, spike_jitter=width)
        hyper = lfadsx.HyperParams(learning_rate=1e-12, cd_rate=0.0, dropout_rate=0.0)
        histories.append(lfadsx.fit(making.build(data), data, hyper=hyper, config=config).history)
    assert histories[0]["reconstruction"] != histories[1]["reconstruction"]
    np.testing.assert_allclose(histories[0]["valid_reconstruction"], histories[1]["valid_reconstruction"], rtol=1e-5)


def test_jitter_of_what_is_no_spikes_is_refused():
    with pytest.raises(ValueError, match="`width` of SpikeJitter must be at least 1 bin, got 0"):
        SpikeJitter(0)
    data = making.one_session(likelihood="gaussian")
    model = making.build(data, likelihood="gaussian")
    with pytest.raises(
        ValueError, match="`spike_jitter` must be 0 for real-valued data such as those of 'spikes', got 1"
    ):
        lfadsx.fit(model, data, config=lfadsx.TrainConfig(spike_jitter=1))
