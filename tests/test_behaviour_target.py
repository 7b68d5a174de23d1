"""Behaviour as a target group: what is scored, with which weight and delay, from which factors, with which inputs."""

import dataclasses

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.cli.reading_flags import Reading
from lfadsx.data import concatenate
from lfadsx.errors import DataError, LfadsxError
from lfadsx.objective import Objective, RampWeights, entry_log_likelihood, reconstruction
from lfadsx.pipeline import evaluate_run, infer_run
from lfadsx.results.results_file import read_posterior

LENGTHS = (9, 9, 7, 7, 8, 8)
EPOCH = dict(epochs=1, progress=False, batch_size=4)


def velocity(lengths=LENGTHS, seed=0):
    """Two columns around 40, the first of which is missing in one bin; even trials train."""
    found = [40 + 3 * np.random.default_rng([seed, n]).standard_normal((n + 2, 2))[:n] for n in lengths]
    found[0][2, 0] = np.nan
    return found


def moving(*, lag=0.0, **changes):
    """Ragged trials with behaviour as a target group; bins of 10 ms."""
    settings = dict(behaviour=velocity(), behaviour_lag=lag, bin_width=0.01, likelihood="poisson")
    return making.ragged(lengths=LENGTHS, **(settings | changes)).with_behaviour_target()


@pytest.fixture(scope="module")
def data():
    return moving(lag=0.02)


@pytest.fixture(scope="module")
def model(data):
    return making.build(data, readout_factors=("velocity=1:3",))


def output_of(model, batch, hyper=None):
    return model(batch, model.draw(jax.random.key(0), batch, hyper))


def loss(model, batch, *, objective=None, **changes):
    hyper = dataclasses.replace(making.hyper(), **changes)
    return (objective or Objective())(model, batch, output_of(model, batch, hyper), hyper, RampWeights())


# The target group


def test_behaviour_becomes_a_target_group_whose_missing_entries_are_not_observed(data):
    split = data.train
    assert data.groups["velocity"].kind == "real" and data.behaviour_target and data.with_behaviour_target() is data
    observed, inside = split.target_observed["velocity"], np.arange(9) < split.target_length[:, None]
    assert not observed[0, 2, 0] and observed[0, 2, 1] and observed.sum() == 2 * inside.sum() - 1
    np.testing.assert_array_equal(split.targets["velocity"][observed], split.behaviour[observed].astype(np.float32))
    assert np.array_equal(split.encoder_input, moving().train.encoder_input)  # encoders do not see it


@pytest.mark.slow
def test_sessions_without_behaviour_have_no_channel_of_it():
    both = concatenate(
        making.ragged("monday", LENGTHS, behaviour=velocity()), making.ragged("tuesday", LENGTHS, n_channels=4)
    ).with_behaviour_target()
    assert [session.n_targets["velocity"] for session in both.sessions] == [2, 0]
    model = making.build(both)
    (value, _), batch = loss(model, lfadsx.data.batch(both)), lfadsx.data.batch(both)
    assert np.isfinite(value) and not model.scored(batch, "velocity")[np.asarray(batch.session) == 1].any()
    rates = lfadsx.infer(model, both, "train", n_samples=2).rates["velocity"]
    assert np.isnan(rates[both.train.session == 1]).all() and not np.isnan(rates[both.train.session == 0][:, 0]).any()


def test_behaviour_that_is_missing_or_named_like_another_group_is_refused():
    with pytest.raises(DataError, match="The training trials must have behaviour to make a target group"):
        making.one_session().with_behaviour_target()
    named = making.one_session(behaviour=np.zeros((6, 8, 2)), other_targets={"velocity": np.full((6, 8, 3), 0.5)})
    with pytest.raises(DataError, match="must not have the name of another target group, got 'velocity'"):
        named.with_behaviour_target()


def test_a_trial_without_behaviour_trains_on_its_spikes_alone(data):
    """Its loss and gradient are those of the model without weight on behaviour; another trial's are not."""
    nothing = [np.full_like(trial, np.nan) if n == 2 else trial for n, trial in enumerate(velocity())]
    batch, model = lfadsx.data.batch(moving(behaviour=nothing)), making.build(moving(behaviour=nothing))
    structure, params, fixed = nnx.split(model, nnx.Param, ...)

    @jax.jit
    def gradient(params, row, scale):
        one = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, row, 1), batch)
        model = nnx.merge(structure, params, fixed)
        return jax.grad(lambda p: loss(nnx.merge(structure, p, fixed), one, other_targets_scale=scale)[0])(params), (
            model.scored(one, "velocity").sum()
        )

    for row, is_same in ((0, False), (1, True)):  # the second training trial is the third of all
        (with_it, n), (without, _) = gradient(params, row, 1.0), gradient(params, row, 0.0)
        assert (n == 0) == is_same
        same = [bool((a == b).all()) for a, b in zip(*map(jax.tree.leaves, (with_it, without)), strict=True)]
        assert all(same) == is_same and all(np.isfinite(x).all() for x in jax.tree.leaves(with_it))


# Weights


def test_weights_of_groups_multiply_their_share_of_the_loss_and_reported_terms_have_none(data, model):
    batch = lfadsx.data.batch(data)
    (none, parts), (one, again) = (loss(model, batch, other_targets_scale=scale) for scale in (0.0, 1.0))
    by_name, _ = loss(model, batch, objective=Objective(group_weights=(("velocity", 0.5),)), other_targets_scale=0.2)
    np.testing.assert_allclose(by_name - none, 0.1 * (one - none), rtol=1e-4)
    np.testing.assert_array_equal(parts.reconstruction, again.reconstruction)
    spikes, _ = loss(model, batch, objective=Objective(group_weights=(("spikes", 0.0), ("velocity", 0.0))))
    output = output_of(model, batch, making.hyper())
    of_spikes = entry_log_likelihood(model, batch, output, "spikes", model.scored(batch, "spikes")).sum()
    np.testing.assert_allclose(none - spikes, -of_spikes / batch.n_trials, rtol=1e-4)


@pytest.mark.slow
def test_the_selection_score_adds_chosen_groups_without_weights(data):
    def score(**settings):
        run = lfadsx.fit(making.build(data), data, **EPOCH, learning_rate=1e-9, validate_every=1, **settings)
        return run.history["score"][-1]

    chosen = [score(selection_groups=("velocity",), group_weights=weights) for weights in ((), ("velocity=0",))]
    assert chosen[0] > score() + 10 and chosen[0] == pytest.approx(chosen[1], rel=1e-5)
    unknown = "must name target groups among"
    for setting, message in (
        (dict(group_weights=("speed=1",)), f"`group_weights` {unknown} .*, got 'speed'"),
        (dict(selection_groups=("spikes",)), rf"`selection_groups` {unknown} \['velocity'\], got 'spikes'"),
        (dict(group_weights=("velocity=-1",)), "`group_weights` must hold GROUP=WEIGHT with a number of at least 0"),
        (dict(group_weights=(("velocity", 0.1),)), r"`group_weights` must hold GROUP=WEIGHT.* got \('velocity', 0.1\)"),
    ):
        with pytest.raises(LfadsxError, match=message):
            score(**setting)


# Delays and factors


@pytest.mark.parametrize("delay", [2, -2, 8])
def test_a_read_out_reads_its_factors_at_its_delay(delay):
    data = moving()
    model = making.build(data, readout_factors=("velocity=1:3",), readout_delays=(f"velocity={delay}",))
    batch = lfadsx.data.batch(data)
    output, scored = output_of(model, batch), np.asarray(model.scored(batch, "velocity"))
    readout = model.readout["velocity"]
    now = readout.readout(output.factors[:, :, 1:3], batch.session)
    for trial, length in enumerate(np.asarray(batch.target_length)):
        for time in range(batch.n_bins):
            there = time < length and 0 <= time - delay < length
            observed = np.asarray(batch.target_observed["velocity"])[trial, time]
            np.testing.assert_array_equal(scored[trial, time], there & observed)
            if there:
                np.testing.assert_allclose(output.params["velocity"][trial, time], now[trial, time - delay], rtol=1e-6)
    # Predictions keep the time of the data; bins without factors hold NaN, unobserved ones a value.
    rates = lfadsx.infer(model, data, "train", n_samples=2).rates["velocity"]
    np.testing.assert_array_equal(~np.isnan(rates).any(2), _predicted(data.train, delay))
    assert np.isfinite(reconstruction(model, batch, output)).all()


def _predicted(split, delay):
    bins, length = np.arange(split.n_bins), split.target_length[:, None]
    return (bins < length) & (bins - delay >= 0) & (bins - delay < length)


def test_other_factors_have_no_part_in_behaviour(data, model):
    batch = lfadsx.data.batch(data)
    factors = output_of(model, batch).factors
    readout = model.readout["velocity"]
    assert (readout.factors, readout.delay, readout.readout.n_factors) == ((1, 3), 2, 2)  # 20 ms is the lag of the data
    gradient = jax.grad(lambda f: readout(f, batch.session).sum())(factors)
    assert not gradient[:, :, 0].any() and gradient[:, 0, 1:].all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(readout_factors=("velocity=5:4",)), "`readout_factors` must hold GROUP=N or GROUP=FIRST:END .*5:4"),
        (dict(readout_factors=("velocity=4",)), "`readout_factors` must name some of the 3 factors, got 4 as the end"),
        (dict(readout_factors=("speed=2",)), "`readout_factors` must name target groups of the data"),
        (dict(readout_delays=("velocity=0.1",)), "`readout_delays` must hold GROUP=N with whole bins or GROUP=Xs"),
        (dict(readout_delays=("spikes=1",)), "`readout_delays` must name target groups other than 'spikes'"),
        ({"readout_delays": ("velocity=100",)}, "The delay of 'velocity' must be shorter than the trials"),
        ({"readout_delays": ("velocity=infs",)}, "`readout_delays` must hold GROUP=N with whole bins"),
    ],
)
def test_settings_of_read_outs_that_do_not_fit_are_refused(data, settings, message):
    with pytest.raises(LfadsxError, match=message):
        making.outline(data, **settings)


def test_delays_in_seconds_need_the_width_of_a_bin(data):
    assert making.outline(data, readout_delays=("velocity=-0.03s",)).readout["velocity"].delay == -3
    with pytest.raises(LfadsxError, match="The delay of 'velocity', 0.03 s, needs the width of the bins"):
        making.outline(moving(bin_width=None), readout_delays=("velocity=0.03s",))
    with pytest.raises(LfadsxError, match="must be 0 or at least half a bin of 0.01 s, got 0.003 s"):
        making.outline(data, readout_delays=("velocity=0.003s",))


# Without inputs


def test_rates_without_inputs_are_those_of_the_generator_alone(data, model):
    both = [lfadsx.infer(model, data, "train", n_samples=0, without_inputs=without) for without in (False, True)]
    batch = lfadsx.data.batch(data)
    z = model.ic_prior.posterior_mean(model.encode(batch).ic_params)
    zeros = jnp.zeros((batch.n_bins, batch.n_trials, 2))
    alone = np.swapaxes(model.decoder(z, batch.n_bins, inputs=zeros).factors, 0, 1)
    inside = np.arange(batch.n_bins) < np.asarray(batch.target_length)[:, None]
    np.testing.assert_allclose(both[1].factors[inside], alone[inside], rtol=1e-5, atol=1e-6)
    assert both[1].without_inputs and not np.nan_to_num(both[1].inputs).any()
    assert not np.allclose(both[0].factors[inside], alone[inside], atol=1e-3)
    with pytest.raises(LfadsxError, match="`without_inputs` must be False for a model without inferred inputs"):
        lfadsx.infer(making.build(data, variant="autonomous"), data, without_inputs=True)


# Runs and scores


def test_a_run_knows_that_it_was_trained_on_behaviour(tmp_path):
    plain = making.one_session(24, behaviour=np.random.default_rng(0).normal(size=(24, 8, 2)), bin_width=0.01)
    (file,) = lfadsx.data.write_dataset(tmp_path, plain)
    read = Reading(behaviour_lag=0.02).read((file,), None, 0)
    assert Reading(behaviour_target=True).read((file,), None, 0).behaviour_target
    model = lfadsx.build(read.with_behaviour_target(), **making.SIZES, readout_factors=("velocity=2",), seed=0)
    run = lfadsx.fit(model, read.with_behaviour_target(), out=tmp_path / "run", **EPOCH)
    outcome = evaluate_run(tmp_path / "run", read, n_samples=2)
    found = outcome.evaluation
    own = outcome.posteriors["valid"].rates["velocity"]
    known, truth = ~np.isnan(own), read.valid.behaviour
    error = [((own - truth)[..., d][known[..., d]] ** 2).sum() for d in range(2)]
    total = [np.var(truth[..., d][known[..., d]]) * known[..., d].sum() for d in range(2)]
    assert known[:, 2:].all() and not known[:, :2].any()
    assert found.scores["readout_r2"] == pytest.approx(1 - np.mean(np.divide(error, total)), rel=1e-3)
    without = found.detail["readout"]["r2_without_inputs"]
    assert without is not None and without != found.scores["readout_r2"]
    assert set(found.detail["targets_r2_without_inputs"]["velocity"]) == {"seen"}
    infer_run(tmp_path / "run", file, tmp_path / "posterior.h5", n_samples=2, without_inputs=True)
    post = read_posterior(tmp_path / "posterior.h5")
    assert post.without_inputs and post.rates["velocity"].shape == own.shape
    assert run.best_epoch == 1
    # Data without behaviour, or with nothing but NaN, are predicted and scored alike.
    for behaviour in (None, np.full_like(read.train.behaviour, np.nan)):
        splits = {
            name: dataclasses.replace(split, behaviour=behaviour if behaviour is None else behaviour[: split.n_trials])
            for name, split in read.splits.items()
        }
        lacking = evaluate_run(tmp_path / "run", dataclasses.replace(read, **splits), n_samples=2)
        np.testing.assert_array_equal(lacking.posteriors["valid"].rates["velocity"], own)
        scores = lacking.evaluation.scores
        assert scores["masked_bps"] == found.scores["masked_bps"] and scores["readout_r2"] is None
