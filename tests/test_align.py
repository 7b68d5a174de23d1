"""Alignment in one call finds what sessions share, for any recorded neurons."""

import dataclasses
import logging

import numpy as np
import pytest
from flax import nnx

import lfadsx
from lfadsx.data import concatenate, from_arrays
from lfadsx.data.session_alignment import _smooth
from lfadsx.datasets.chaotic_network import align_sessions
from lfadsx.errors import DataError

N_BINS, N_LATENTS = 40, 3
NEURONS = {"monday": 18, "tuesday": 12, "friday": 25}


def latents(n_conditions):
    """Smooth courses that differ between conditions, shape (condition, time, latent)."""
    t, rng = np.linspace(0, 1, N_BINS), np.random.default_rng(7)
    phases, speeds = rng.uniform(0, 6, (2, n_conditions, N_LATENTS))
    return np.sin(phases[:, None] + (1 + speeds[:, None]) * t[:, None])


def sessions(n_conditions=8, *, trials=12, has=None, labels=True, scale=1.0, noise="poisson"):
    """Three days on which other neurons see the same latents.

    Args:
        n_conditions: Number of conditions.
        trials: Trials of each condition and day.
        has: By day, the conditions that it has; all by default.
        labels: Whether trials have labels.
        scale: Factor on the data, one number or one for each neuron of a day.
        noise: "poisson" for counts, "gaussian" for real values.
    """
    rng, courses, days = np.random.default_rng(0), latents(n_conditions), []
    maps = np.random.default_rng(1).normal(size=(N_LATENTS, 25, len(NEURONS)))  # the same for all trials
    for number, (day, n) in enumerate(NEURONS.items()):
        own = (has or {}).get(day, range(n_conditions))
        condition = np.repeat(list(own), trials)
        log_rates = courses[condition] @ maps[:, :n, number] * 0.4
        values = (
            rng.poisson(np.exp(log_rates + 1)) if noise == "poisson" else log_rates + rng.normal(size=log_rates.shape)
        )
        if noise == "gaussian":
            values = values * np.broadcast_to(scale, 25)[:n]
        split = np.where(np.arange(len(condition)) % trials < trials - 2, "train", "valid")
        settings = dict(condition=condition) if labels else {}
        days.append(
            from_arrays(values, split=split, session=day, kind="real" if noise == "gaussian" else None, **settings)
        )
    return concatenate(*days)


def worst(data):
    """The smallest share of the others' component that a session rebuilds."""
    return min(float(r2.min()) for r2 in lfadsx.shared_components(data).r2.values())


def test_sessions_rebuild_what_they_share():
    data = lfadsx.align(sessions(), N_LATENTS)
    assert [s.alignment.shape for s in data.sessions] == [(n, N_LATENTS) for n in NEURONS.values()]
    assert worst(data) > 0.9
    # The shared components are the latents: each is a linear map of the other.
    found = lfadsx.shared_components(data)
    components = found.components.reshape(N_LATENTS, -1).T
    truth = latents(8).reshape(-1, N_LATENTS)
    with_mean = np.column_stack([components, np.ones(len(components))])
    rest = truth - with_mean @ np.linalg.lstsq(with_mean, truth, rcond=None)[0]
    assert np.all(rest.var(0) < 0.1 * truth.var(0))
    # Dynamics of a single session are recognised as not shared; in between are the curves of the exponential.
    more = lfadsx.shared_components(lfadsx.align(sessions(), 8)).r2
    assert all(np.min(r2[:N_LATENTS]) > 0.9 and r2[-1] < 0.4 for r2 in more.values())


def test_without_smoothing_it_is_the_alignment_of_the_original(monkeypatch):
    data = sessions()
    monkeypatch.setattr("scipy.signal.filtfilt", lambda b, a, courses, **settings: courses)
    train = data.train
    days = [
        (train.encoder_input[train.session == i][:, :, :n], train.condition[train.session == i])
        for i, n in enumerate(NEURONS.values())
    ]
    for session, (weight, bias) in zip(lfadsx.align(data, 4, taps=1).sessions, align_sessions(days, 4), strict=True):
        sign = np.sign((session.alignment * weight).sum(0))
        np.testing.assert_allclose(session.alignment * sign, weight, atol=1e-8)
        np.testing.assert_allclose(session.alignment_bias, bias, atol=1e-10)


def test_a_session_with_few_conditions_is_not_lost():
    """Friday has four of eight conditions: its neurons still find the components, and the others lose nothing."""
    few = {"friday": [2, 5, 6, 7]}
    data = lfadsx.align(sessions(has=few), N_LATENTS)
    found = lfadsx.shared_components(data)
    assert np.isnan(found.rebuilt["friday"][:, [0, 1, 3, 4]]).all()
    assert np.isfinite(found.rebuilt["friday"][:, [2, 5, 6, 7]]).all()
    assert worst(data) > 0.9
    # Applied to conditions outside training, its map agrees with the other sessions.
    friday = data.sessions[2]
    truth = sessions(trials=60).train
    rows = (truth.session == 2) & ~np.isin(truth.condition, few["friday"])
    averages = [truth.encoder_input[rows & (truth.condition == c)].mean(0) for c in (0, 1, 3, 4)]
    own = (np.stack(averages) - friday.alignment_bias) @ friday.alignment
    others = found.components[:, [0, 1, 3, 4]].transpose(1, 2, 0)
    for number in range(N_LATENTS):
        assert np.corrcoef(own[..., number].ravel(), others[..., number].ravel())[0, 1] > 0.85


def test_only_training_trials_count():
    data = sessions()
    changed = dataclasses.replace(data.valid, encoder_input=data.valid.encoder_input + 5)
    one, other = lfadsx.align(data, 3), lfadsx.align(dataclasses.replace(data, valid=changed), 3)
    for a, b in zip(one.sessions, other.sessions, strict=True):
        np.testing.assert_array_equal(a.alignment, b.alignment)


def test_without_labels_time_alone_aligns_and_that_is_said(caplog):
    with caplog.at_level(logging.INFO, "lfadsx"):
        data = lfadsx.align(sessions(1, labels=False, trials=60), 1)
    assert (
        "Not all sessions have condition labels: sessions are aligned by the average of all their trials."
        in caplog.text
    )
    assert lfadsx.shared_components(data).conditions == [None]
    assert worst(data) > 0.9
    caplog.clear()
    with caplog.at_level(logging.INFO, "lfadsx"):
        lfadsx.align(sessions(), 1)
    assert "Sessions are aligned by the averages of 8 conditions." in caplog.text


def test_the_unit_of_real_values_does_not_matter():
    """Neuron by neuron: the unit of a recording does not change its weight."""
    scale = np.geomspace(1e-3, 1e3, 25)
    one, other = (lfadsx.align(sessions(noise="gaussian", scale=s), N_LATENTS) for s in (1.0, scale))
    for a, b in zip(one.sessions, other.sessions, strict=True):
        sign = np.sign((a.alignment * b.alignment).sum(0))
        np.testing.assert_allclose(
            b.alignment * scale[: len(b.alignment), None] * sign, a.alignment, rtol=1e-4, atol=1e-6
        )


def test_missing_entries_and_short_trials():
    """Missing entries and bins after a trial's end have no influence."""
    values = np.random.default_rng(0).poisson(3.0, (6, 20, 4)).astype(float)
    observed = np.ones(values.shape, bool)
    observed[0, 3, 1] = False
    lengths = [20, 20, 12, 20, 20, 20]
    trials = [v[:n] for v, n in zip(values, lengths, strict=True)]
    masks = [o[:n] for o, n in zip(observed, lengths, strict=True)]
    split = ["train"] * 5 + ["valid"]
    data = from_arrays(trials, split=split, observed=masks, condition=np.zeros(6, int))
    course = np.stack([values[:5, t].mean(0) if t < 12 else values[[0, 1, 3, 4], t].mean(0) for t in range(20)])
    course[3, 1] = values[1:5, 3, 1].mean()
    found = lfadsx.align(data, 2, taps=1).sessions[0]
    np.testing.assert_allclose(found.alignment_bias, course.mean(0), rtol=1e-10)


def test_smoothing_does_not_delay_and_passes_over_gaps():
    pulse = np.zeros((21, 1))
    pulse[10] = 1.0
    smoothed = _smooth(pulse, 3)[:, 0]
    np.testing.assert_allclose(smoothed[8:13], np.array([1, 2, 3, 2, 1]) / 9, atol=1e-12)
    flat = np.ones((21, 2))
    flat[4:7, 1] = np.nan
    again = _smooth(flat, 6)
    np.testing.assert_allclose(again[:, 0], 1)
    assert np.isnan(again[4:7, 1]).all() and np.all(again[np.isfinite(flat[:, 1]), 1] == pytest.approx(1))


def test_a_model_starts_there():
    data = lfadsx.align(sessions(), N_LATENTS)
    model = lfadsx.build(data, variant="autonomous", factors=4, generator_dim=8, ic_dim=4, rngs=nnx.Rngs(0))
    for session in data.sessions:
        weight = np.asarray(model.readin.weight[session.name][...])
        np.testing.assert_allclose(weight[:, :N_LATENTS], session.alignment, rtol=1e-5)


class FirstNeurons:
    """An aligner of a user's own, with settings."""

    def __init__(self, n_components):
        self.n_components = n_components

    def __call__(self, data):
        offset = 0.5
        return {
            session.name: (np.eye(session.n_channels, self.n_components), np.full(session.n_channels, offset))
            for session in data.sessions
        }


def test_a_users_aligner_starts_the_maps():
    data = lfadsx.align(sessions(), aligner=FirstNeurons(2))
    assert [(s.n_components, s.alignment_bias[0]) for s in data.sessions] == [(2, 0.5)] * 3
    model = lfadsx.build(data, variant="autonomous", factors=4, generator_dim=8, ic_dim=4, rngs=nnx.Rngs(0))
    for session in data.sessions:
        np.testing.assert_array_equal(model.readin.weight[session.name][...][:, :2], np.eye(session.n_channels, 2))
        np.testing.assert_array_equal(model.readin.bias[session.name][...][:2], -0.5)
    matrices = {session.name: np.eye(session.n_channels, 2) for session in data.sessions}
    again = lfadsx.align(sessions(), aligner=matrices)
    np.testing.assert_array_equal(again.sessions[1].alignment, data.sessions[1].alignment)


def matrices(**changes):
    return {day: np.eye(n, 2) for day, n in NEURONS.items()} | changes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lfadsx.align(sessions()), "`n_components` must be given, or your own `aligner`"),
        (lambda: lfadsx.align(sessions(), 3, aligner=matrices()), "`n_components` must be left out with an `aligner`"),
        (lambda: lfadsx.align(sessions(), aligner={"monday": np.eye(18, 2)}), "each of the sessions .*, by name, got"),
        (lambda: lfadsx.align(sessions(), aligner=lambda data: np.eye(2)), "by name, got ndarray"),
        (
            lambda: lfadsx.align(sessions(), aligner=matrices(monday=np.eye(17, 2))),
            r"session 'monday' must have a matrix \(18, components\) .* got \(17, 2\) and \(18,\)",
        ),
        (lambda: lfadsx.align(sessions(), aligner=matrices(friday=np.eye(25, 3))), "number of aligned components must"),
        (lambda: lfadsx.align(sessions(), aligner=matrices(monday=np.full((18, 2), np.nan))), "must be finite"),
        (lambda: lfadsx.align(sessions(), 13), "must be from 1 to 12, the neurons of session .tuesday., got 13"),
        (lambda: lfadsx.align(sessions(), 0), "`n_components` must be from 1 to .* got 0"),
        (lambda: lfadsx.align(sessions(), 2, taps=0), "`taps` must be at least 1, got 0"),
        (lambda: lfadsx.shared_components(sessions()), "Session 'monday' has no alignment. Compute it"),
        (
            lambda: lfadsx.align(sessions(has={"friday": [6, 7], "monday": [0, 1], "tuesday": [1, 2]}), 2),
            "Session .friday. must share a condition with another session",
        ),
    ],
)
def test_what_cannot_be_aligned_is_named(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_the_figure_shows_every_component_and_session():
    plotting = pytest.importorskip("lfadsx.plotting")
    figure = plotting.alignment_figure(lfadsx.align(sessions(), 3))
    titles = [ax.get_title(loc="left") or ax.get_title() for ax in figure.axes]
    assert sum("Component" in title and "R2 from" in title for title in titles) == 3
    assert all(len(ax.lines) == 1 + len(NEURONS) for ax in figure.axes[:3])


def test_a_neuron_that_was_never_observed_has_no_weight_and_spoils_nothing():
    data = sessions()
    observed = np.ones(data.train.encoder_input.shape, bool)
    observed[data.train.session == 0, :, 2] = False
    lacking = dataclasses.replace(data, train=dataclasses.replace(data.train, encoder_observed=observed))
    aligned = lfadsx.align(lacking, 3)
    first = aligned.sessions[0]
    assert np.isfinite(first.alignment_bias).all() and np.all(first.alignment[2] == 0) and first.alignment.any()
    found, whole = lfadsx.shared_components(aligned), lfadsx.shared_components(lfadsx.align(data, 3))
    for name, r2 in found.r2.items():
        np.testing.assert_allclose(r2, whole.r2[name], atol=0.2)


def test_conditions_may_have_any_number():
    """-1 marks a missing label only in sessions without other labels."""
    data = sessions()
    signs = np.where(data.train.condition % 2, 1, -1)
    coded = dataclasses.replace(data, train=dataclasses.replace(data.train, condition=signs))
    assert lfadsx.shared_components(lfadsx.align(coded, 1)).conditions == [-1, 1]
