"""Encoders that see further target groups: what they see, what is hidden from them, and what knows about it."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx import cli
from lfadsx.config import HyperParams
from lfadsx.data import batch as batch_of
from lfadsx.data import concatenate, write_dataset
from lfadsx.distributions import GaussianByChannel, SquaredErrorByChannel
from lfadsx.errors import DataError, LfadsxError
from lfadsx.evaluation.candidates import readout_behaviour
from lfadsx.evaluation.task import Task
from lfadsx.evaluation.verdict import targets_note
from lfadsx.inference.masked import hide as hide_on_host
from lfadsx.modules import CoordinatedDropout, IdentityReadin, LinearReadin, NeuronDropout, SampleValidation
from lfadsx.objective import entry_log_likelihood
from lfadsx.pipeline import infer_run
from lfadsx.results.results_file import read_posterior
from lfadsx.training import step
from lfadsx.training.default_augmentations import default_augmentations

SEEN = ("spikes", "emg", "lfp")
HYPER = HyperParams(cd_rate=0.4, cd_pass_rate=0.2, sv_rate=0.3, neuron_dropout_rate=0.3)


def session(name="monday", lengths=(9, 9, 7, 7), n_emg=3, seed=0, **changes):
    """A ragged session with real values `emg` around 40, some of them missing, and counts `lfp` of two channels."""
    rng = np.random.default_rng([seed, 7])
    emg = [40 + 3 * rng.standard_normal((n, n_emg)) for n in lengths]
    emg[0][2, 0] = np.nan
    others = {"emg": emg, "lfp": [rng.poisson(2.0, (n, 2)) for n in lengths]}
    return making.ragged(name, lengths, other_targets=others, missing=True, seed=seed, **changes)


@pytest.fixture(scope="module")
def data():
    """Two sessions with different numbers of channels in each group."""
    return concatenate(session(), session("tuesday", n_channels=4, n_emg=2, seed=3))


@pytest.fixture(scope="module")
def model(data):
    return making.build(data, encoder_groups=SEEN)


@pytest.fixture(scope="module")
def batch(data):
    return batch_of(data)


@pytest.fixture(scope="module")
def encode(model):
    """A compiled batch -> parameters of the initial condition, which depend on all that the encoders see."""
    graphdef, state = nnx.split(model)
    run = jax.jit(lambda batch: nnx.merge(graphdef, state).encode(batch).ic_params)
    return lambda batch: np.asarray(run(batch))


def with_target(batch, group, values):
    return dataclasses.replace(batch, targets={**batch.targets, group: jnp.asarray(values)})


def sees(data, group, split="train"):
    """True for entries of a group that the encoders see, by a plain loop."""
    chosen = data.splits[split]
    found = np.zeros(chosen.targets[group].shape, bool)
    observed = chosen.target_observed[group]
    for trial in range(chosen.n_trials):
        for channel in range(data.sessions[chosen.session[trial]].n_targets[group]):
            for t in range(chosen.encoder_length[trial]):
                found[trial, t, channel] = observed is None or observed[trial, t, channel]
    return found


# What is built


def test_by_default_the_encoders_see_the_input_group_alone(data):
    plain = making.outline(data)
    assert plain.encoder_groups == ("spikes",) and plain.seen_groups is None
    assert nnx.graphdef(making.outline(data, encoder_groups=("spikes",))) == nnx.graphdef(plain)
    kinds = [type(own) for own in default_augmentations(plain, data, lfadsx.TrainConfig())]
    assert kinds == [CoordinatedDropout]


def test_every_group_has_a_read_in_and_real_values_are_standardised(data, model):
    assert model.encoder_groups == ("spikes", "emg", "lfp") and model.n_features == 3 * making.SIZES["readin_dim"]
    emg, lfp = (model.seen_groups[group] for group in ("emg", "lfp"))
    assert type(emg.readin) is LinearReadin and emg.readin.n_channels == (("monday", 3), ("tuesday", 2))
    assert emg.standardiser is not None and lfp.standardiser is None
    mean, unit = emg.standardiser.units(0)
    own = data.train.targets["emg"][data.train.session == 0].astype(float)
    known = data.train.target_observed["emg"][data.train.session == 0]
    for channel in range(3):
        values = own[..., channel][known[..., channel]]
        np.testing.assert_allclose([mean[channel], 0.2 * unit[channel]], [values.mean(), values.std()], rtol=1e-4)
    one = making.outline(session(), encoder_groups=("emg", "spikes"))
    assert type(one.seen_groups["emg"].readin) is IdentityReadin and one.n_features == 4 + 3
    assert "seen_groups/emg: SeenGroup" in repr(model)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (("spikes", "egm"), "must name target groups of the data.*did you mean 'emg'"),
        (("emg",), "must name the input group 'spikes'"),
        (("spikes", "emg", "emg"), "each further group once"),
    ],
)
def test_wrong_groups_are_named(data, groups, words):
    with pytest.raises(LfadsxError, match=words):
        making.outline(data, encoder_groups=groups)


def test_the_command_line_takes_the_groups():
    command = making.parse(["fit", "day.h5", "--out", "run", "--encoder-groups", "spikes", "emg"])
    assert command.model.encoder_groups == ("spikes", "emg")


def test_further_groups_of_real_values_have_one_variance_for_each_channel(model):
    assert type(model.likelihood["emg"]) is SquaredErrorByChannel and model.readout["emg"].n_constant == 1


def test_no_gradient_reaches_a_fixed_variance():
    values = jnp.array([0.0, 3.0])

    def slope(kind):
        return jax.grad(lambda params: kind().log_prob(params, values).sum())(jnp.array([[0.5, 0.1], [0.2, -1.0]]))

    fixed, trained = slope(SquaredErrorByChannel), slope(GaussianByChannel)
    np.testing.assert_array_equal(fixed[:, 0], trained[:, 0])
    assert not np.any(fixed[:, 1]) and np.all(trained[:, 1])


# What the encoders see


@pytest.mark.parametrize("group", ["emg", "lfp"])
def test_encoders_see_observed_entries_of_their_window_and_nothing_else(data, batch, encode, group):
    seen, before = sees(data, group), encode(batch)
    np.testing.assert_array_equal(np.asarray(batch.seen_of(group)), seen[:, : batch.encoder_input.shape[1]])
    values = np.asarray(batch.targets[group])
    assert seen.any((1, 2)).all() and not seen.all()
    np.testing.assert_array_equal(encode(with_target(batch, group, np.where(seen, values, 99))), before)
    assert np.all(np.any(encode(with_target(batch, group, np.where(seen, values + 1, values))) != before, axis=1))


@pytest.mark.slow
def test_a_trial_in_a_batch_is_the_trial_alone(data, model, batch):
    output = making.forward(model)(batch)
    for trial in (0, 3):
        one = making.alone(batch, trial)
        own = making.forward(model)(one)
        n = int(one.target_length[0])
        np.testing.assert_allclose(own.factors[0], output.factors[trial, :n], rtol=2e-5, atol=2e-6)


def test_another_unit_of_real_values_changes_no_factor():
    data = session()
    scaled = {
        n: dataclasses.replace(s, targets=s.targets | {"emg": s.targets["emg"] * 1024}) for n, s in data.splits.items()
    }
    found = []
    for own in (data, dataclasses.replace(data, **scaled)):
        model = lfadsx.build(own, seed=0, encoder_groups=("spikes", "emg"), **making.SIZES)
        found.append(np.asarray(making.forward(model)(batch_of(own)).factors))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-6)


# What is hidden from them


def augmented(augmentation, batch, seed=0):
    return jax.jit(lambda batch, key: augmentation(batch, HYPER, key))(batch, jax.random.key(seed))


def many(augmentation, batch, n=60):
    """What encoders are shown of further groups, and the open entries, for many keys."""
    keys = jax.random.split(jax.random.key(0), n)
    run = jax.jit(jax.vmap(lambda key: (augmentation(batch, HYPER, key)[0].shown, augmentation(batch, HYPER, key)[2])))
    return jax.tree.map(np.asarray, run(keys))


def test_coordinated_dropout_hides_all_groups_alike(data, model, batch):
    (augmentation,) = default_augmentations(model, data, lfadsx.TrainConfig())
    all_shown, all_open = many(augmentation, batch)
    assert set(all_open) == set(SEEN) and set(all_shown) == {"emg", "lfp"}
    for group in ("emg", "lfp"):
        exists, n_bins = sees(data, group), batch.encoder_input.shape[1]
        shown, opened = all_shown[group], all_open[group]
        assert abs(shown[:, exists[:, :n_bins]].mean() - 0.6) < 0.03
        # Hidden entries, and a share of the visible ones, are open; so are all that encoders never see.
        assert opened[:, :, :n_bins][~shown & exists[:, :n_bins]].all()
        assert abs(opened[:, :, :n_bins][shown & exists[:, :n_bins]].mean() - 0.2) < 0.04
        after = np.arange(batch.n_bins) >= np.asarray(batch.encoder_length)[:, None]
        assert opened[:, after].all()
    # One draw for each group: which entries are hidden in one says nothing about the other.
    first, second = (all_shown[group][..., :2].ravel() for group in ("emg", "lfp"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06


def test_hidden_entries_are_0_and_the_others_scaled(data, model, batch, encode):
    """As on the host, where values are changed in place of masks."""
    changed, *_ = augmented(CoordinatedDropout("spikes", ("emg", "lfp")), batch)
    trials = data.train
    for group in SEEN:
        shown = changed.seen() if group == "spikes" else changed.shown[group]
        trials = hide_on_host(model, trials, ~np.asarray(shown), 0.4, group)
    for_encoders = batch_of(dataclasses.replace(data, train=trials))
    np.testing.assert_allclose(encode(changed), encode(for_encoders), rtol=1e-4, atol=1e-5)
    assert np.abs(encode(changed) - encode(batch)).max() > 1e-2


def test_withheld_entries_of_every_group_have_no_weight(batch, data):
    augmentation = SampleValidation("spikes", others=("emg",))
    changed, weights, _ = augmented(augmentation, batch)
    n_bins, withheld = batch.encoder_input.shape[1], ~np.asarray(changed.shown["emg"])
    in_window = np.arange(n_bins) < np.asarray(batch.encoder_length)[:, None]
    expected = np.ones(batch.targets["emg"].shape)
    expected[:, :n_bins][in_window] = 1 / 0.7
    expected[:, :n_bins][withheld] = 0
    np.testing.assert_allclose(weights["emg"], expected, rtol=1e-6)
    assert 0.1 < withheld[in_window].mean() < 0.5 and set(weights) == {"spikes", "emg"}
    np.testing.assert_array_equal(np.asarray(augmentation.withheld_targets(batch, HYPER)["emg"])[:, :n_bins], withheld)


def test_whole_channels_of_every_group_are_hidden(batch):
    shown = many(NeuronDropout(("emg",)), batch, 30)[0]["emg"]
    shown = shown.reshape(-1, *shown.shape[2:])
    assert np.all(shown.any(1) == shown.all(1)) and abs(shown.mean() - 0.7) < 0.08


@pytest.mark.slow
def test_the_selection_score_counts_hidden_entries_of_seen_groups(model, batch):
    key, sample_key = jax.random.split(jax.random.key(0))
    score = jax.jit(lambda batch, others: step._hidden_nll(model, batch, key, sample_key, 2, others), static_argnums=1)
    hiding = CoordinatedDropout("spikes", ("emg", "lfp"))
    masked, _, opened = hiding(batch, HyperParams(cd_rate=step.SELECTION_HIDDEN), key)
    expected = np.zeros(batch.n_trials)
    hidden = np.asarray(opened["emg"][:, : masked.shown["emg"].shape[1]] & batch.seen_of("emg"))
    assert np.array_equal(hidden, np.asarray(batch.seen_of("emg") & ~masked.shown["emg"]))
    hidden = np.pad(hidden, ((0, 0), (0, batch.n_bins - hidden.shape[1]), (0, 0)))
    for number in range(2):
        noise = model.draw(lfadsx.random.derive(sample_key, jnp.asarray(number)), batch)
        output = model.decode(model.encode(masked), batch, noise)
        own = np.asarray(entry_log_likelihood(model, batch, output, "emg", model.scored(batch, "emg")))
        expected = own if number == 0 else np.logaddexp(expected, own)
    expected = -np.where(hidden, expected - np.log(2), 0).sum((1, 2)) / step.SELECTION_HIDDEN
    np.testing.assert_allclose(score(batch, ("emg",)) - score(batch, ()), expected, rtol=2e-3, atol=2e-3)


def test_masked_inference_of_a_seen_group_predicts_entries_without_them(data, model):
    how = dict(n_masks=3, n_samples=1, seed=1, group="emg")
    rates, hidden = lfadsx.masked_rates(model, data, "valid", **how)
    np.testing.assert_array_equal(hidden, sees(data, "emg", "valid"))
    trial, t, channel = np.argwhere(hidden)[5]
    values = data.valid.targets["emg"].copy()
    values[trial, t, channel] += 50
    changed = dataclasses.replace(data.valid, targets=data.valid.targets | {"emg": values})
    other, _ = lfadsx.masked_rates(model, dataclasses.replace(data, valid=changed), "valid", **how)
    assert other[trial, t, channel] == rates[trial, t, channel] and np.any(other[trial] != rates[trial])
    np.testing.assert_array_equal(np.delete(other, trial, 0), np.delete(rates, trial, 0))
    unseen = making.outline(data, encoder_groups=("spikes", "emg"))
    with pytest.raises(LfadsxError, match="`group` must be a target group that the encoders see, spikes, emg, got"):
        lfadsx.masked_rates(unseen, data, "valid", group="lfp")


# What knows about it


@pytest.mark.slow
def test_known_sessions_keep_their_maps_of_every_group(data):
    monday = session()
    old = making.build(monday, encoder_groups=("spikes", "emg"), readin="linear")
    new = lfadsx.with_sessions(old, data, rngs=nnx.Rngs(1))
    ours, theirs = (np.asarray(making.forward(m)(batch_of(d)).factors) for m, d in ((old, monday), (new, data)))
    np.testing.assert_allclose(theirs[data.train.session == 0], ours, rtol=1e-4, atol=1e-5)
    patterns = lfadsx.session_patterns(["tuesday"])
    paths = [path for path in making.flat(nnx.state(new, nnx.Param)) if path.endswith("tuesday")]
    trained = [path for path in paths if lfadsx.training.state.matches(path, patterns)]
    assert trained == paths and any(path.startswith("seen_groups/emg/readin") for path in paths)


def test_behaviour_that_encoders_saw_has_no_score_of_its_read_out():
    behaviour = np.random.default_rng(0).standard_normal((12, 8, 2))
    data = making.one_session(12, behaviour=behaviour, bin_width=0.01).with_behaviour_target()
    task = Task(data, "valid")
    post = SimpleNamespace(rates={"velocity": data.valid.behaviour}, encoder_groups=("spikes",))
    assert readout_behaviour(task, post) is not None
    post.encoder_groups = ("spikes", "velocity")
    assert readout_behaviour(task, post) is None
    first, second = targets_note({"velocity": {"seen": 0.5}, "emg": {}}, ("spikes", "velocity"))
    assert first == "R2 of other target groups: velocity 0.500." and 'group="velocity"' in second


def test_a_session_without_the_group_is_encoded_without_it():
    data = concatenate(session(), making.ragged("tuesday", n_channels=4, seed=3))
    model = making.build(data, encoder_groups=("spikes", "emg"))
    assert [own.n_targets["emg"] for own in data.sessions] == [3, 0]
    assert np.isfinite(making.forward(model)(batch_of(data)).factors).all()


@pytest.mark.slow
def test_a_run_folder_and_files_keep_the_groups(tmp_path):
    data = session(bin_width=0.01)
    model = lfadsx.build(data, seed=0, encoder_groups=("spikes", "emg"), **making.SIZES)
    run = lfadsx.fit(model, data, epochs=1, batch_size=2, progress=False, out=tmp_path / "run")
    loaded = lfadsx.load(tmp_path / "run")
    assert loaded.encoder_groups == ("spikes", "emg")
    post = lfadsx.infer(run.model, data, "valid", n_samples=0)
    (file,) = write_dataset(tmp_path / "monday.h5", data)
    infer_run(tmp_path / "run", file, tmp_path / "rates.h5", split="valid", n_samples=0)
    again = read_posterior(tmp_path / "rates.h5", "valid")
    assert again.encoder_groups == post.encoder_groups == ("spikes", "emg")
    np.testing.assert_allclose(again.rates["emg"], post.rates["emg"], rtol=1e-5)

    bare = dataclasses.replace(data.sessions[0], n_targets={"spikes": 6})
    splits = {
        name: dataclasses.replace(split, targets={"spikes": split.targets["spikes"]})
        for name, split in data.splits.items()
    }
    write_dataset(tmp_path / "without.h5", dataclasses.replace(data, sessions=(bare,), **splits))
    with pytest.raises(DataError, match="must hold the target group 'emg', which the encoders .* see. Add"):
        infer_run(tmp_path / "run", tmp_path / "without.h5", tmp_path / "b.h5", session="monday", n_samples=0)


@pytest.mark.slow
def test_the_whole_job_says_which_scores_reward_copying(tmp_path, capsys):
    data = session(lengths=(9,) * 16, bin_width=0.01, condition=np.arange(16) // 4)
    (file,) = write_dataset(tmp_path / "monday.h5", data)
    words = ["fit", str(file), "--out", str(tmp_path / "run"), "--encoder-groups", "spikes", "emg", "--missing"]
    sizes = [f"--set={name}={value}" for name, value in making.SIZES.items()]
    assert cli.main([*words, *sizes, "--epochs", "2", "--batch-size", "4", "--samples", "2"]) == 0
    said = capsys.readouterr().out
    assert "R2 of other target groups: emg" in said and "The encoders see emg, so this R2 rewards copying" in said
    assert "the encoders also see emg" in (tmp_path / "run" / "report.md").read_text()
