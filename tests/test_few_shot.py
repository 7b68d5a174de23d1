"""Few-shot co-smoothing: read-outs of unseen neurons from the factors of a few trials."""

import json

import making
import numpy as np
import pytest

import lfadsx
from lfadsx import cli
from lfadsx.data import concatenate, from_arrays
from lfadsx.evaluation.few_shot import _predicted, score_few_shot
from lfadsx.evaluation.metrics import smooth
from lfadsx.evaluation.task import Task

N_TRIALS, N_BINS, N_CHANNELS = 80, 12, 8


def simulate(session="session", seed=0, **settings):
    """Counts that depend on two latent signals, and these signals."""
    rng = np.random.default_rng(seed)
    latent = smooth(3.0 * rng.normal(size=(N_TRIALS, N_BINS, 2)), 1.5)
    counts = rng.poisson(np.exp(0.6 * latent @ rng.normal(size=(2, N_CHANNELS))))
    names = [f"{session} {i}" for i in range(N_CHANNELS)]
    given = dict(test_fraction=0.3, bin_width=0.02, session=session, channel_names=names)
    return from_arrays(counts, **(given | settings)), latent


def features(data, latent):
    return {name: latent[split.row] for name, split in data.splits.items()}


UNSEEN = np.arange(N_CHANNELS)[None] >= 5


@pytest.fixture(scope="module")
def true():
    return simulate()


def test_true_latents_need_few_trials_and_others_never_learn(true):
    data, latent = true
    rng = np.random.default_rng(1)
    noise = rng.normal(size=latent.shape)
    of = {"lfads": features(data, latent), "noise": features(data, noise)}
    found = score_few_shot(Task(data, "test"), of, UNSEEN, k=[2, 32], n_draws=2, n_bootstrap=300)
    true_bits = [found.scores[k]["lfads"].value for k in (2, 32)]
    assert true_bits[0] < true_bits[1] and true_bits[1] > 0.1
    assert found.scores[32]["noise"].value < 0.01
    assert found.differences[32].low > 0 and found.split == "test"
    assert found.unseen == {"session": ("session 5", "session 6", "session 7")}
    for k in (2, 32):
        assert np.mean(found.draws[k]["lfads"]) == pytest.approx(found.scores[k]["lfads"].value)
        assert found.scores[k]["lfads"].low < found.scores[k]["lfads"].value < found.scores[k]["lfads"].high
    assert len(repr(found).splitlines()) == 4 and json.dumps(found.to_dict())


def test_read_outs_know_only_the_drawn_training_trials(true):
    data, latent = true
    rates = _predicted(Task(data, "test"), features(data, latent), UNSEEN, 4, 0)
    assert np.isnan(rates[:, :, :5]).all() and (rates[:, :, 5:] > 0).all()
    chosen = np.random.default_rng([0, 0]).permutation(data.train.n_trials)[:4]
    kept = np.isin(np.arange(N_TRIALS), data.train.row[chosen])
    counts = np.zeros((N_TRIALS, N_BINS, N_CHANNELS), int)
    for split in data.splits.values():
        counts[split.row] = split.targets["spikes"]
    other = np.where(kept[:, None, None], counts, np.random.default_rng(2).poisson(5.0, counts.shape))
    split = np.full(N_TRIALS, "valid")
    for name, of in data.splits.items():
        split[of.row] = name
    changed = from_arrays(other, split=split)
    same = _predicted(Task(changed, "test"), features(changed, latent), UNSEEN, 4, 0)
    np.testing.assert_allclose(same, rates)


def test_sessions_are_read_out_apart_and_pooled():
    parts = [simulate("a", 0), simulate("b", 1)]
    both = concatenate(*(data for data, _ in parts))
    latent = {
        name: np.concatenate([own[data.splits[name].row] for data, own in parts]) for name in ("train", "valid", "test")
    }
    unseen = np.concatenate([UNSEEN, UNSEEN])
    rates = _predicted(Task(both, "test"), latent, unseen, 8, 0)
    first = _predicted(Task(parts[0][0], "test"), features(*parts[0]), UNSEEN, 8, 0)
    np.testing.assert_allclose(rates[both.test.session == 0], first)


def test_neurons_without_spikes_in_the_drawn_trials_get_a_rate(true):
    data, latent = true
    quiet = lfadsx.from_arrays(
        np.where(np.arange(N_CHANNELS) == 7, 0, 1) * np.ones((N_TRIALS, N_BINS, 1), int), valid_fraction=0.3
    )
    rates = _predicted(Task(quiet, "valid"), features(quiet, latent), UNSEEN, 3, 0)
    np.testing.assert_allclose(rates[:, :, 7], 0.5 / (3 * N_BINS))
    np.testing.assert_allclose(rates[:, :, 5:7], 1.0, atol=0.05)


def test_a_model_is_scored_on_neurons_that_it_never_saw():
    data = making.one_session(n_trials=24, n_channels=7)
    model = making.build(data.select(neurons=[0, 1, 2, 3, 5]))
    found = lfadsx.few_shot(model, data, [4, 6], k=[3], n_draws=2, n_samples=2)
    assert list(found.scores[3]) == ["lfads", "smoothed spikes"] and found.split == "valid"
    with pytest.raises(lfadsx.LfadsxError, match="5 channels"):
        lfadsx.few_shot(model, data, [4], k=[3])
    for settings, problem in (
        (dict(k=[1]), "`k` must hold numbers of training trials from 2 to 12, got 1"),
        (dict(k=[13]), "got 13"),
        (dict(k=[3], n_draws=0), "`n_draws` must be at least 1"),
        (dict(k=[3], split="all"), "got 'all'"),
    ):
        with pytest.raises(lfadsx.LfadsxError, match=problem):
            lfadsx.few_shot(model, data, [4, 6], n_samples=2, **settings)


@pytest.mark.slow
def test_the_command_tells_unseen_neurons_by_their_names(tmp_path, capsys):
    data, _ = simulate("monday")
    known = data.select(neurons=range(6))
    whole, part = tmp_path / "whole" / "monday.h5", tmp_path / "part" / "monday.h5"
    for file, of in ((whole, data), (part, known)):
        file.parent.mkdir()
        lfadsx.data.write_dataset(file, of)
    run = tmp_path / "run"
    sizes = ["--factors", "2", "--generator-dim", "4", "--ic-dim", "2", "--ic-encoder-dim", "4", "--epochs", "1"]
    words = ["--variant", "autonomous", *sizes, "--samples", "2", "--no-figures", "--devices", "1"]
    assert cli.main(["fit", str(part), "--out", str(run), *words]) == 0
    capsys.readouterr()
    words = ["few-shot", str(run), str(whole), "--k", "4", "8", "--draws", "2", "--samples", "2", "--devices", "1"]
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["unseen"] == {"monday": ["monday 6", "monday 7"]} and set(found["scores"]) == {"4", "8"}
    assert cli.main([*words, "--unseen", "6", "7"]) == 0
    assert "Few-shot bits per spike of 2 unseen neurons, test trials" in capsys.readouterr().out
    assert cli.main([*words, "--unseen", "8"]) == 2
