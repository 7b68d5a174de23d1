"""Augmentations in any order: hidden entries stay hidden, closed ones have no gradient, what is off costs nothing."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest

import lfadsx
from lfadsx.config import HyperParams
from lfadsx.data import batch as batch_of
from lfadsx.modules import (
    AmplitudeNoise,
    CoordinatedDropout,
    NeuronDropout,
    SampleValidation,
    SpikeJitter,
    TemporalShift,
)
from lfadsx.modules.augmentations import combine
from lfadsx.objective import reconstruction
from lfadsx.search import Ensemble, Fixed, RandomSearch, Range, Space
from lfadsx.training.default_augmentations import default_augmentations, switched_on
from lfadsx.training.schedules import Schedule
from lfadsx.training.state import start
from lfadsx.training.step import run_block

HYPER = HyperParams(cd_rate=0.4, sv_rate=0.25, neuron_dropout_rate=0.3, temporal_shift=1.5, amplitude_noise=1e-6)
CD, SV, OFF, SHIFT, NOISE = (
    CoordinatedDropout(),
    SampleValidation(),
    NeuronDropout(),
    TemporalShift(),
    AmplitudeNoise(),
)
QUICK = dict(epochs=2, batch_size=4, kl_ramp_epochs=1, l2_ramp_epochs=1, progress=False)


def orders(*parts):
    """Three of the many orders of all parts: as given, reversed, and rotated."""
    return [parts, parts[::-1], parts[len(parts) // 2 :] + parts[: len(parts) // 2]]


def names(parts):
    return "-".join(type(part).__name__ for part in parts)


def numbered(batch):
    """The batch with a number of its own in every target entry, and the same in the encoder's entries."""
    targets = np.arange(1, 1 + batch.targets["spikes"].size, dtype=np.float32).reshape(batch.targets["spikes"].shape)
    n_bins = batch.encoder_input.shape[1]
    index = np.asarray(batch.target_index)
    seen = np.take_along_axis(targets[:, :n_bins], np.maximum(index, 0)[:, None], axis=2)
    seen = np.where(index[:, None] >= 0, seen, -1.0)
    return dataclasses.replace(batch, encoder_input=jnp.asarray(seen), targets={"spikes": jnp.asarray(targets)})


def applied(parts, batch, hyper=HYPER, seed=0):
    keys = list(jax.random.split(jax.random.key(seed), len(parts)))
    return jax.jit(lambda batch, hyper: combine(parts, batch, hyper, keys))(batch, hyper)


def trained_numbers(changed, weights, opened):
    """The numbers of the target entries through which a gradient flows."""
    mask = np.asarray(changed.scored("spikes"))
    for arrays in (weights, opened):
        if "spikes" in arrays:
            mask = mask & (np.asarray(arrays["spikes"]) > 0)
    return set(np.asarray(changed.targets["spikes"])[mask].tolist())


def seen_numbers(changed):
    return set(np.round(np.asarray(changed.encoder_input)[np.asarray(changed.seen())]).tolist()) - {-1.0}


@pytest.fixture(scope="module")
def batch():
    return batch_of(making.several_sessions())


PAIRS = list(itertools.permutations((CD, SV, SHIFT), 2))


@pytest.mark.parametrize("parts", [*PAIRS, *orders(CD, SV, OFF, SHIFT, NOISE)], ids=names)
def test_in_any_order_hidden_entries_reach_neither_encoder_nor_gradient(parts, batch):
    numbers = numbered(batch)
    changed, weights, opened = applied(parts, numbers)
    seen, trained = seen_numbers(changed), trained_numbers(changed, weights, opened)
    values = np.asarray(numbers.targets["spikes"])
    missing = set(values[~np.asarray(numbers.scored("spikes"))].tolist())
    # Entries without encoder channel or bin always train: held-out neurons and forward bins.
    assert trained and not trained & missing
    if CD in parts:
        assert not seen & trained
    withheld = np.asarray(SV.withheld(numbers, HYPER) & numbers.seen())
    if SV in parts:
        hidden = set(np.asarray(numbers.encoder_input)[withheld].tolist()) - {-1.0}
        assert hidden and not hidden & (seen | trained)
        assert all(min(abs(w - x) for x in (0, 1, 4 / 3)) < 1e-5 for w in np.unique(np.asarray(weights["spikes"])))
    never = np.asarray(numbers.encoder_input)[~np.asarray(numbers.seen())].tolist()
    assert not seen & (set(never) - {-1.0})


@pytest.mark.parametrize("parts", orders(CD, SV, OFF, SpikeJitter(2)), ids=names)
def test_in_any_order_no_spike_moves_between_withheld_and_other_entries(parts, batch):
    changed, _, _ = applied(parts, batch)
    before, after = np.asarray(batch.targets["spikes"]), np.asarray(changed.targets["spikes"])
    np.testing.assert_array_equal(after.sum(1), before.sum(1))
    assert np.any(after != before)
    index, withheld = np.asarray(batch.target_index), np.asarray(SV.withheld(batch, HYPER))
    for trial, (channels, mask) in enumerate(zip(index, withheld, strict=True)):
        for channel, target in enumerate(channels[channels >= 0]):
            bins = np.flatnonzero(mask[:, channel])
            np.testing.assert_array_equal(after[trial, bins, target], before[trial, bins, target])


def test_the_gradient_flows_only_through_what_is_open():
    data = making.several_sessions()
    model, batch = making.build(data), batch_of(data)
    changed, weights, opened = applied([SHIFT, OFF, CD, SV], batch)
    output = making.forward(model)(changed)
    loss = lambda p: reconstruction(model, changed, at(output, p), "sum", weights, opened).sum()  # noqa: E731
    through = jax.grad(loss)
    flows = np.any(np.asarray(through(output.params["spikes"])) != 0, axis=-1)
    allowed = changed.scored("spikes") & opened["spikes"] & (weights["spikes"] > 0)
    np.testing.assert_array_equal(flows, np.asarray(allowed))
    assert flows.any() and not flows.all()


def at(output, params):
    return dataclasses.replace(output, params={"spikes": params})


def test_a_shift_takes_masks_and_weights_with_it(batch):
    numbers = numbered(batch)
    whole, _, opened = applied([CD, SHIFT], numbers)
    moved = np.asarray(whole.targets["spikes"])
    assert np.any(moved != np.asarray(numbers.targets["spikes"]))
    # The masks as they are before the shift, with the same key.
    keys = list(jax.random.split(jax.random.key(0), 2))
    _, _, first = combine([CD], numbers, HYPER, keys[:1])
    shown = dict(
        zip(np.asarray(numbers.targets["spikes"]).ravel().tolist(), np.asarray(first["spikes"]).ravel(), strict=True)
    )
    expected = np.vectorize(shown.get)(moved)
    np.testing.assert_array_equal(np.asarray(opened["spikes"]), expected)


def test_shifts_are_rounded_normal_numbers_and_repeat_the_ends():
    n, bins = 300, 25
    course = np.broadcast_to(np.arange(bins)[:, None], (n, bins, 4))
    batch = batch_of(lfadsx.from_arrays(course.astype(np.float32), kind="real", split=["train"] * (n - 1) + ["valid"]))
    changed, _, _ = applied([SHIFT], batch, HyperParams(temporal_shift=3.0))
    moves = {}
    for name, values in (("encoder", changed.encoder_input), ("target", changed.targets["spikes"])):
        values = np.asarray(values)
        moves[name] = (12 - values[:, 12]).ravel()
        np.testing.assert_array_equal(values[:, 0], np.maximum(-moves[name], 0).reshape(values.shape[0], 4))
        assert np.abs(moves[name]).max() == 6 and abs(moves[name].mean()) < 0.3 and 2.5 < moves[name].std() < 3.1
    assert abs(np.corrcoef(moves["encoder"], moves["target"])[0, 1]) < 0.1


def test_neuron_dropout_hides_whole_channels_and_keeps_the_sum():
    data = making.one_session(n_trials=200, n_channels=20)
    changed, weights, opened = applied([OFF], batch_of(data), HyperParams(neuron_dropout_rate=0.3))
    seen = np.asarray(changed.seen())
    assert weights == {} and opened == {} and np.all(seen == seen[:, :1])
    assert np.mean(~seen) == pytest.approx(0.3, abs=0.05)
    assert float(changed.encoder_gain) == pytest.approx(1 / 0.7)


def test_a_share_of_the_spikes_moves():
    values = np.zeros((501, 9, 2), int)
    values[:, 4] = 4
    batch = batch_of(lfadsx.from_arrays(values, split=["train"] * 500 + ["valid"]))
    for rate in (0.0, 0.5, 1.0):
        changed, _, _ = applied([SpikeJitter(1)], batch, HyperParams(spike_jitter_rate=rate))
        stayed = np.asarray(changed.targets["spikes"])[:, 4].mean() / 4
        assert stayed == pytest.approx(1 - rate * 2 / 3, abs=0.03)


def test_noise_has_the_unit_of_the_channel_and_does_not_touch_the_targets():
    data, hyper = making.one_session(n_trials=60, n_bins=30, likelihood="gaussian"), HyperParams(amplitude_noise=0.5)
    batch = batch_of(data)
    changed, _, _ = applied([NOISE], batch, hyper)
    noise = np.asarray(changed.encoder_input) - np.asarray(batch.encoder_input)
    std = np.asarray(batch.encoder_input).std(1, keepdims=True)
    assert np.std(noise / std) == pytest.approx(0.5, rel=0.05)
    np.testing.assert_array_equal(changed.targets["spikes"], batch.targets["spikes"])
    volts = dataclasses.replace(batch, encoder_input=1e3 * batch.encoder_input + 7.0)
    in_volts = np.asarray(applied([NOISE], volts, hyper)[0].encoder_input)
    np.testing.assert_allclose(in_volts, 1e3 * np.asarray(changed.encoder_input) + 7.0, rtol=1e-3, atol=0.5)


def test_withheld_entries_are_always_the_same_and_never_train():
    """Other values in the withheld entries change their own score and nothing else, bit for bit."""
    data, hyper = making.one_session(n_trials=8), HyperParams(sv_rate=0.3, cd_rate=0.2)
    batch = batch_of(data, "train")
    withheld = np.asarray(SV.withheld(batch, hyper))
    assert 0.15 < withheld.mean() < 0.45
    train = data.train
    other = np.where(withheld, train.encoder_input + 3, train.encoder_input).astype(train.encoder_input.dtype)
    changed = dataclasses.replace(
        data, train=dataclasses.replace(train, encoder_input=other, targets={"spikes": other})
    )
    model = making.build(data)
    one, two = (lfadsx.fit(model, d, hyper=hyper, **QUICK) for d in (data, changed))
    for name in ("loss", "sv_trained"):
        np.testing.assert_array_equal(one.history[name], two.history[name])
    withheld_scores = [run.history["sv_withheld"] for run in (one, two)]
    assert np.all(np.isfinite(withheld_scores)) and np.all(withheld_scores[0] != withheld_scores[1])
    weights = [making.flat(making.split(run.last)[1]) for run in (one, two)]
    jax.tree.map(np.testing.assert_array_equal, *weights)
    # In expectation both parts are the whole; the reported loss is that of the entries that train.
    assert one.history["sv_trained"] == pytest.approx(one.history["reconstruction"], rel=1e-4)
    assert one.history["sv_withheld"] == pytest.approx(one.history["sv_trained"], rel=0.5)


def test_what_is_off_is_no_part_of_the_program(batch):
    data = making.one_session()
    model, config = making.outline(data), lfadsx.TrainConfig()
    off = switched_on([HyperParams()], Ensemble())
    assert off == set() and [type(a) for a in default_augmentations(model, data, config, off)] == [CoordinatedDropout]
    one = switched_on([HyperParams(), HyperParams(sv_rate=0.2)], Ensemble())
    assert [type(a) for a in default_augmentations(model, data, config, one)] == [CoordinatedDropout, SampleValidation]
    searched = switched_on([HyperParams()], RandomSearch(Space({"temporal_shift": Range(0.0, 2.0)})))
    assert searched == {"temporal_shift"}
    with pytest.raises(lfadsx.LfadsxError, match="`amplitude_noise` must be 0, and not be searched, for counts"):
        lfadsx.fit(making.build(data), data, amplitude_noise=0.1, **QUICK)


def test_another_rate_does_not_compile_again():
    data, config = making.one_session(n_trials=8), lfadsx.TrainConfig(batch_size=4)
    parts = [SpikeJitter(1), CD, SV, OFF, SHIFT]
    program, state = start(making.build(data), parts, config, n_trials=data.train.n_trials)
    block = jax.tree.map(lambda x: jnp.stack([x, x]), batch_of(data, "train"))
    schedule = Schedule.of(config, 2)
    state, _ = run_block(program, state, HyperParams(), schedule, block)
    compiled = run_block._cache_size()
    for rate in (0.1, 0.6):
        hyper = HyperParams(sv_rate=rate, neuron_dropout_rate=rate, temporal_shift=rate, spike_jitter_rate=rate)
        state, figures = run_block(program, state, hyper, schedule, block)
        assert np.all(np.isfinite(np.asarray(figures)))
    assert run_block._cache_size() == compiled


def test_members_of_a_population_have_rates_of_their_own():
    data = making.one_session(n_trials=8)
    grid = Fixed((HyperParams(), HyperParams(sv_rate=0.4, neuron_dropout_rate=0.2)))
    result = lfadsx.population(making.build(data), data, members=2, strategy=grid, **QUICK)
    without, with_rate = (member.history["sv_withheld"] for member in result.members)
    assert np.all(np.isnan(without)) and np.all(np.isfinite(with_rate))


def test_a_search_cannot_raise_what_the_program_lacks():
    class Raises(Ensemble):
        def decide(self, rng, generation):
            decision = super().decide(rng, generation)
            return dataclasses.replace(
                decision, hyper=dataclasses.replace(decision.hyper, sv_rate=np.array([0.1, 0.1]))
            )

    data = making.one_session(n_trials=8)
    with pytest.raises(lfadsx.LfadsxError, match="`sv_rate` must stay 0, because no member started with it above 0"):
        lfadsx.population(
            making.build(data), data, members=2, strategy=Raises(), epochs_per_generation=1, **QUICK | {"epochs": 6}
        )


def test_the_command_line_has_their_rates():
    words = ["fit", "a.h5", "--out", "run", "--sv-rate", "0.1", "--temporal-shift", "2", "--neuron-dropout-rate", "0.2"]
    hyper = making.parse(
        [*words, "--amplitude-noise", "0.3", "--spike-jitter", "2", "--spike-jitter-rate", "0.5"]
    ).hyper
    assert (hyper.sv_rate, hyper.temporal_shift, hyper.neuron_dropout_rate) == (0.1, 2.0, 0.2)
    assert (hyper.amplitude_noise, hyper.spike_jitter_rate) == (0.3, 0.5)


@pytest.mark.parametrize("name", ["sv_rate", "neuron_dropout_rate", "spike_jitter_rate", "temporal_shift"])
def test_rates_have_ranges(name):
    with pytest.raises(lfadsx.LfadsxError, match=f"`{name}` must be .*, got -0.1"):
        HyperParams(**{name: -0.1}).check()
