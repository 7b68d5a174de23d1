"""Contents of figures' axes, in the normal case and in corner cases of the data."""

import dataclasses
import importlib
import sys

import matplotlib
import matplotlib.text
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from lfadsx import plotting
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.evaluation import baselines
from lfadsx.evaluation.metrics import bits_per_spike, smooth
from lfadsx.plotting.averaging import mean_and_interval, principal_components
from lfadsx.plotting.condition_colours import QUALITATIVE, condition_colours, conditions_of
from lfadsx.plotting.style import INK, ORANGE
from lfadsx.plotting.summary_page import format_cell
from lfadsx.plotting.view import View
from lfadsx.results.posterior import Posterior
from lfadsx.types import TargetGroup, TimeAxis

WIDTH = 0.02


def make(
    n_trials=18,
    n_bins=40,
    n_neurons=12,
    n_held_out=3,
    n_forward=8,
    n_conditions=6,
    n_factors=4,
    n_inputs=2,
    ragged=False,
    truth="counts per bin",
    bin_width: float | None = WIDTH,
    n_samples=8,
    seed=0,
) -> tuple[Dataset, Split, Posterior]:
    """Poisson spikes of a plane that rotates from a start set by the condition, and a posterior near it."""
    rng = np.random.default_rng(seed)
    condition = np.arange(n_trials) % max(n_conditions, 1)
    phase = 2 * np.pi * condition / max(n_conditions, 1) + 0.15 * rng.standard_normal(n_trials)
    angle = phase[:, None] + 2 * np.pi * np.arange(n_bins) / 40
    latent = np.stack([np.cos(angle), np.sin(angle)], axis=2) * np.exp(-np.arange(n_bins) / 50)[:, None]
    rates = np.exp(0.9 * latent @ rng.standard_normal((2, n_neurons)) + np.log(0.4))
    length = rng.integers(n_bins // 2, n_bins + 1, n_trials) if ragged else np.full(n_trials, n_bins)
    padding = np.arange(n_bins) >= length[:, None]

    def padded(values: np.ndarray) -> np.ndarray:
        return np.where(padding[:, :, None], np.nan, values).astype(np.float32)

    inputs = 0.3 * np.exp(-0.5 * ((np.arange(n_bins) - 12 - 2 * condition[:, None]) / 3) ** 2)[:, :, None]
    inputs = inputs * np.where(np.arange(max(n_inputs, 1)) % 2, -0.6, 1.0)
    spikes = rng.poisson(rates).astype(np.uint8)
    split = Split(
        encoder_input=spikes[:, : n_bins - n_forward, : n_neurons - n_held_out],
        targets={"spikes": np.where(padding[:, :, None], 0, spikes).astype(np.uint8)},
        encoder_length=np.maximum(length - n_forward, 1),
        target_length=length,
        session=np.zeros(n_trials, int),
        trial_id=100 + np.arange(n_trials),
        row=np.arange(n_trials),
        truth=None if truth is None else (rates / (WIDTH if truth == "Hz" else 1)).astype(np.float32),
        true_inputs=inputs[:, :, :1].astype(np.float32) if n_inputs else None,
        condition=condition if n_conditions else None,
    )
    session = Session("day", n_neurons - n_held_out, {"spikes": n_neurons}, np.arange(n_neurons - n_held_out))
    groups = {"spikes": TargetGroup("counts", "counts per bin")}
    dataset = Dataset(split, split, (session,), groups, time=TimeAxis(bin_width), truth_unit=truth)
    noise = 0.1 * np.cumsum(rng.standard_normal((n_trials, n_bins, n_neurons)), axis=1) / np.sqrt(n_bins)
    decay = np.broadcast_to(np.exp(-np.arange(n_bins) / 15)[None, :, None], (n_trials, n_bins, 1))
    directions = np.linalg.qr(rng.standard_normal((max(3, n_factors), 3)))[0][:n_factors]
    factors = np.concatenate([latent, decay], axis=2) @ directions.T
    factors = factors + 0.03 * rng.standard_normal(factors.shape)
    inferred = padded(inputs + 0.05 * rng.standard_normal(inputs.shape)) if n_inputs else None
    start = latent[:, 0] @ rng.standard_normal((2, 5)) + 0.1 * rng.standard_normal((n_trials, 5))
    posterior = Posterior(
        rates={"spikes": padded(rates * np.exp(noise))},
        rates_std={"spikes": padded(0.15 * rates + 0.02)},
        factors=padded(factors),
        initial_condition=start,
        ic_mean=start,
        ic_std=np.full_like(start, 0.1),
        initial_state=start,
        generator_states=padded(factors),
        inputs=inferred,
        inputs_std=None if inferred is None else np.full_like(inferred, 0.05),
        input_mean=inferred,
        input_std=None,
        controller_states=None,
        encoding=None,
        trial_id=split.trial_id,
        session=split.session,
        length=length,
        n_samples=n_samples,
        seed=0,
        split="valid",
        sessions=("day",),
        time=TimeAxis(bin_width),
        groups={"spikes": TargetGroup("counts", "counts per bin")},
        kl_ic=np.tile(np.arange(5.0), (n_trials, 1)),
        kl_inputs=None if inferred is None else padded(0.1 * (1 + np.arange(max(n_inputs, 1))) + 0 * inputs),
    )
    return dataset, split, posterior


def make_history(n: int = 120) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    epoch = np.arange(n)
    fall = 1500 * np.exp(-epoch / 15) + 900 - 50 * (1 - np.exp(-epoch / 60))
    ramp = np.clip(epoch / 40, 0, 1)
    history = {
        "epoch": epoch,
        "reconstruction": fall + 3 * rng.standard_normal(n),
        "kl_ic": 40 * np.exp(-epoch / 30) + 12,
        "kl_inputs": 60 * np.exp(-epoch / 20) + 6,
        "l2": 8 * ramp,
        "kl_ic_weight": ramp,
        "kl_co_weight": 0.5 + 0.5 * ramp,
        "l2_weight": ramp,
        "learning_rate": 4e-3 * 0.95 ** (epoch // 6),
    }
    kl = history["kl_ic"] + history["kl_inputs"]
    history["loss"] = history["reconstruction"] + ramp * kl + history["l2"]
    late = 0.1 * np.maximum(epoch - 70, 0)
    for part in ("loss", "reconstruction", "kl_ic", "kl_inputs"):
        history[f"valid_{part}"] = 1.02 * history[part] + late + 0.5 * rng.standard_normal(n)
    history["score"] = np.where(epoch % 5 == 0, history["valid_reconstruction"], np.nan)
    history["best_epoch"] = np.array(75)
    return history


TABLE = [
    {
        "model": "lfads",
        "n_seeds": 3,
        "co_bps": 0.124,
        "fp_bps": -0.081,
        "bits_per_spike": 0.31,
        "velocity_r2": 0.71,
    },
    {"model": "smoothed spikes", "co_bps": 0.061, "fp_bps": None, "bits_per_spike": 0.2, "velocity_r2": 0.42},
    {"model": "time course", "co_bps": 0.036, "fp_bps": float("nan"), "bits_per_spike": 0.036},
]


def with_trials(dataset: Dataset, split: Split) -> Dataset:
    return dataclasses.replace(dataset, train=split, valid=split)


def texts(figure: Figure) -> str:
    """All words of a figure, legends included."""
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def figures(dataset: Dataset, posterior: Posterior) -> dict[str, Figure | None]:
    return {
        "rates": plotting.rates(posterior, dataset, n_trials=1),
        "factors": plotting.factors(posterior, dataset),
        "inputs": plotting.inputs(posterior, dataset),
        "psths": plotting.psths(posterior, dataset, n_neurons=2),
        "all_neurons": plotting.all_neurons(posterior, dataset),
        "predicted_counts": plotting.predicted_counts(posterior, dataset),
        "gain_per_neuron": plotting.gain_per_neuron(posterior, dataset),
        "kl_per_dimension": plotting.kl_per_dimension(posterior, dataset),
        "initial_conditions": plotting.initial_conditions(posterior, dataset),
        "summary": plotting.summary(posterior, dataset, history=make_history(20), table=TABLE, title="A run"),
    }


def orange_lines(ax) -> list:
    marks = [line for line in ax.get_lines() if len(line.get_xdata()) == 2]
    return [line for line in marks if to_hex(line.get_color()).lower() == ORANGE.lower()]


ONE = dict(n_trials=1, n_neurons=1, n_held_out=0, n_forward=0, n_factors=1, n_conditions=0, n_inputs=0)
CORNERS = {
    "one of all": ONE,
    "ragged": dict(n_trials=7, ragged=True),
    "no conditions, bin width, samples": dict(n_trials=3, n_conditions=0, bin_width=None, n_samples=0),
    "no inputs, truth, held-out neurons": dict(n_trials=4, n_inputs=0, n_factors=2, n_held_out=0, truth=None),
    "one bin": dict(n_trials=3, n_bins=1, n_forward=0),
}


@pytest.mark.parametrize("name", CORNERS)
def test_every_figure_of_every_corner_case(name):
    options = CORNERS[name]
    settings = dict(matplotlib.rcParams)
    dataset, _, posterior = make(**options)
    made = figures(dataset, posterior)
    assert dict(matplotlib.rcParams) == settings
    assert (made["inputs"] is None) == (options.get("n_inputs") == 0)
    no_width = options.get("bin_width", WIDTH) is None
    for kind, figure in made.items():
        if figure is None:
            continue
        words = texts(figure)
        assert "nan" not in words
        if kind in ("rates", "factors", "inputs", "psths", "all_neurons", "summary"):
            assert ("Time from trial start (bins)" in words) == no_width
        assert not (no_width and ("Hz" in words or "(ms)" in words or "(s)" in words))
    made["summary"].draw_without_rendering()


def test_loss_shows_parts_ramps_and_the_chosen_epoch():
    figure = plotting.loss_figure(make_history())
    axes = {ax.get_title(loc="left"): ax for ax in figure.axes}
    assert list(axes)[:2] == ["Loss", "Reconstruction"]
    assert set(axes) >= {
        "KL of the inferred inputs",
        "Weights of KL and L2",
        "Learning rate",
        "Selection score",
    }
    loss = axes["Loss"]
    assert loss.get_ylabel() == "Nats per trial" and loss.get_xlabel() == "Epoch"
    train, valid, best = loss.get_lines()
    assert len(train.get_xdata()) == len(valid.get_xdata()) == 120
    assert best.get_xdata()[0] == 75
    assert loss.patches[0].get_x() == 0 and loss.patches[0].get_width() == 40
    assert len(axes["Selection score"].get_lines()[0].get_xdata()) == 24
    assert axes["Learning rate"].get_yscale() == "log"
    assert "epoch 75" in texts(figure)


def test_loss_leaves_out_what_is_missing():
    figure = plotting.loss_figure({"loss": np.array([3.0, 2.0, np.nan])})
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Loss"]
    assert figure.axes[0].get_lines()[0].get_ydata().tolist() == [3.0, 2.0]
    one = {key: value[:1] for key, value in make_history().items() if key != "best_epoch"}
    plotting.loss_figure(one).draw_without_rendering()
    with pytest.raises(ValueError, match="got no curve"):
        plotting.loss_figure({"epoch": np.arange(3), "loss": np.full(3, np.nan)})


def test_loss_of_trained_and_of_withheld_entries():
    figure = plotting.loss_figure({"sv_trained": np.array([3.0, 2.0]), "sv_withheld": np.array([3.5, 2.5])})
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "Trained and withheld entries"
    assert [line.get_ydata().tolist() for line in ax.get_lines()] == [[3.0, 2.0], [3.5, 2.5]]
    assert "validation, withheld entries" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_one_wild_first_epoch_does_not_flatten_the_loss():
    loss = np.concatenate([[1e9], np.linspace(10, 5, 99)])
    axes = plotting.loss_figure({"loss": loss}).axes[0]
    assert axes.get_ylim()[1] < 12


def test_rates_hold_images_lines_and_units():
    dataset, split, posterior = make()
    figure = plotting.rates(posterior, dataset, n_trials=2)
    images = [ax for ax in figure.axes if ax.images]
    assert len(images) == 6  # Spikes, rates and truth of two trials.
    spikes, rates, truth = images[0], images[2], images[4]
    trial = int(spikes.get_title(loc="left").split(",")[0].removeprefix("Trial ")) - 100
    order = View.of(posterior, dataset).sorted_neurons(0)
    np.testing.assert_array_equal(spikes.images[0].get_array(), split.targets["spikes"][trial][:, order].T)
    drawn = posterior.rates["spikes"][trial][:, order].T / WIDTH
    np.testing.assert_allclose(rates.images[0].get_array(), drawn, rtol=1e-6)
    assert split.truth is not None
    np.testing.assert_allclose(truth.images[0].get_array(), split.truth[trial][:, order].T / WIDTH, rtol=1e-6)
    assert rates.images[0].get_clim() == truth.images[0].get_clim()
    forward, held_out = orange_lines(spikes)
    assert forward.get_xdata()[0] == pytest.approx(32 * WIDTH * 1000)  # Trials under a second are in ms.
    assert held_out.get_ydata()[0] == 9
    words = texts(figure)
    for label in (
        "Rate (Hz)",
        "True rate (Hz)",
        "Time from trial start (ms)",
        "(held out)",
        "Recorded data",
        "Inferred rates",
        "True rates",
        "±1 sd over 8 samples",
        "forward",
    ):
        assert label in words


def test_rates_of_single_neurons():
    dataset, split, posterior = make(n_trials=1)
    figure = plotting.rates(posterior, dataset)
    neuron = [ax for ax in figure.axes if ax.texts and ax.texts[0].get_text().startswith("Neuron ")]
    assert [("held out" in ax.texts[0].get_text()) for ax in neuron] == [False, False, True]
    index = int(neuron[0].texts[0].get_text().split()[1])
    curves = {line.get_label(): line.get_ydata() for line in neuron[0].get_lines()}
    np.testing.assert_allclose(curves["inferred"], posterior.rates["spikes"][0, :, index] / WIDTH, rtol=1e-6)
    ticks = next(c for c in neuron[0].collections if isinstance(c, LineCollection))
    assert len(ticks.get_segments()) == np.count_nonzero(split.targets["spikes"][0, :, index])


def test_rates_take_fewer_trials_than_asked_and_always_the_same():
    dataset, split, posterior = make(n_trials=3, truth=None)
    titles = [ax.get_title(loc="left") for ax in plotting.rates(posterior, dataset, n_trials=9).axes]
    assert [t.split(",")[0] for t in titles if t.startswith("Trial")] == [f"Trial {100 + i}" for i in range(3)]
    first, again = (texts(plotting.rates(posterior, dataset, n_trials=1)) for _ in range(2))
    assert first == again


def test_neurons_are_sorted_by_the_peak_of_the_training_trials_and_held_out_ones_come_last():
    dataset, split, posterior = make(n_trials=4, n_neurons=5, n_held_out=2, bin_width=None)
    session = dataclasses.replace(dataset.sessions[0], target_index=np.array([1, 3, 4]))
    peaks = np.array([30, 20, 2, 35, 9])
    bumps = np.exp(-0.5 * ((np.arange(40)[:, None] - peaks) / 4) ** 2)
    train = dataclasses.replace(split, targets={"spikes": np.tile(bumps, (4, 1, 1))})
    dataset = dataclasses.replace(dataset, train=train, sessions=(session,))
    order = [4, 1, 3, 2, 0]
    assert View.of(posterior, dataset).sorted_neurons(0).tolist() == order
    figure = plotting.all_neurons(posterior, dataset)
    data, model = (ax.images[0].get_array() for ax in figure.axes[:2])
    centre, spread = (getattr(smooth(bumps, 2.0), how)(axis=0) for how in ("mean", "std"))
    for shown, values in ((data, split.targets["spikes"]), (model, posterior.rates["spikes"])):
        expected = (smooth(values.mean(axis=0), 2.0) - centre) / spread
        np.testing.assert_allclose(shown, expected[:, order].T, rtol=1e-4)
    assert orange_lines(figure.axes[0])[0].get_ydata()[0] == 3


def test_truth_in_another_unit_gets_a_scale_of_its_own():
    for options, label in (
        (dict(truth="relative"), "True rate (relative)"),
        (dict(truth="Hz", bin_width=None), "True rate (Hz)"),
    ):
        dataset, _, posterior = make(n_trials=1, **options)
        words = texts(plotting.rates(posterior, dataset))
        assert label in words and "truth, scaled to the inferred rate" in words
    dataset, _, posterior = make(n_trials=1, truth="Hz")
    assert "scaled" not in texts(plotting.rates(posterior, dataset))


def test_truth_in_the_unit_of_counts_is_drawn_like_counts_per_bin():
    views = []
    for truth in ("counts per bin", "data"):
        dataset, _, posterior = make(truth=truth)
        views.append(View.of(posterior, dataset))
    in_counts, in_data = views
    assert in_data.truth_unit == in_counts.truth_unit == "Hz" and in_data.truth_is_comparable
    chosen = np.arange(3), np.arange(4)
    np.testing.assert_array_equal(in_data.truth(*chosen), in_counts.truth(*chosen))


def test_missing_data_and_continuous_data():
    dataset, split, posterior = make(n_trials=4)
    observed = np.ones(split.targets["spikes"].shape, bool)
    observed[:, 5:9] = False
    observed[:, :, 0] = False
    gaps = with_trials(dataset, dataclasses.replace(split, target_observed={"spikes": observed}))
    shown = plotting.rates(posterior, gaps).axes[0].images[0].get_array()
    order = View.of(posterior, gaps).sorted_neurons(0).tolist()
    assert np.ma.getmaskarray(shown)[:, 5:9].all() and np.ma.getmaskarray(shown)[order.index(0)].all()
    plotting.psths(posterior, gaps, n_neurons=99)
    values = split.targets["spikes"] * 0.37 - 0.5
    real = with_trials(dataset, dataclasses.replace(split, targets={"spikes": values}))
    for unit, shown in (("", "data units"), ("mV", "mV")):
        group = {"spikes": TargetGroup("real", unit)}
        measured, real = dataclasses.replace(posterior, groups=group), dataclasses.replace(real, groups=group)
        words = texts(plotting.rates(measured, real))
        assert f"Mean ({shown})" in words and f"Data ({shown})" in words and "spikes" not in words.lower()
        counts = plotting.predicted_counts(measured, real)
        assert len(counts.axes) == 2 and f"Observed mean ({shown})" in texts(counts)
        assert "Gain (R²)" in texts(plotting.gain_per_neuron(measured, real))


def test_time_is_counted_from_the_event():
    dataset, split, posterior = make(n_trials=4)
    posterior = dataclasses.replace(posterior, time=TimeAxis(WIDTH, -0.2, "go cue"))
    figure = plotting.rates(posterior, dataset)
    assert "Time from go cue (ms)" in texts(figure)
    assert [line.get_xdata()[0] for line in figure.axes[0].get_lines() if line.get_color() == INK] == [0.0]
    assert figure.axes[0].get_xlim() == pytest.approx((-200.0, 600.0))
    assert figure.axes[0].images[0].get_extent()[:2] == pytest.approx([-200.0, 600.0])
    assert View.of(posterior, dataset).forward_start() == pytest.approx(440.0)


def test_a_summary_needs_only_posterior_and_data():
    dataset, _, posterior = make(n_trials=6)
    figure = plotting.summary(posterior, dataset)
    words = texts(figure)
    assert "day: valid trials" in words and "Factors" in words and "Loss" not in words
    with pytest.raises(ValueError, match="`split` must be one of"):
        plotting.summary(dataclasses.replace(posterior, split="tests"), dataset)


def test_figures_of_one_neuron_set_are_of_one_session():
    dataset, split, posterior = make(n_trials=9)
    small = Session("small", 4, {"spikes": 5}, np.arange(4))
    dataset = dataclasses.replace(dataset, sessions=(dataset.sessions[0], small))
    which = np.array([0] * 6 + [1] * 3)
    dataset = with_trials(dataset, dataclasses.replace(split, session=which))
    posterior.rates["spikes"][6:, :, 5:] = np.nan
    assert len(plotting.rates(posterior, dataset).axes[0].images[0].get_array()) == 12
    figure = plotting.rates(posterior, dataset, session=1)
    assert len(figure.axes[0].images[0].get_array()) == 5
    assert "session small" in texts(figure)
    assert "session small" in texts(plotting.psths(posterior, dataset, session=1))
    with pytest.raises(ValueError, match=r"`session` must be one with trials in the split, \[0, 1\], got 2"):
        plotting.psths(posterior, dataset, session=2)


def test_factors_hold_trajectories_and_time_courses():
    dataset, split, posterior = make()
    figure = plotting.factors(posterior, dataset)
    assert len(figure.axes) == 5
    plane, course = figure.axes[0], figure.axes[2]
    (single,) = [c for c in plane.collections if isinstance(c, LineCollection)]
    assert len(single.get_segments()) == 18
    averages = [line for line in plane.get_lines() if len(line.get_xdata()) == 40]
    starts = [line for line in plane.get_lines() if len(line.get_xdata()) == 1]
    assert len(averages) == len(starts) == 6
    scores, share = principal_components(posterior.factors)
    np.testing.assert_allclose(averages[2].get_xdata(), scores[split.condition == 2, :, 0].mean(axis=0))
    assert plane.get_xlabel() == f"PC 1 ({100 * share[0]:.0f} % of variance)"
    assert len(course.get_lines()) == 7 and len(orange_lines(course)) == 1
    assert [t.get_text() for t in figure.legends[1].get_texts()] == [f"{i} (n = 3)" for i in range(6)]


def test_inputs_have_their_own_scale_beside_the_truth():
    dataset, split, posterior = make()
    assert posterior.inputs is not None and split.true_inputs is not None
    figure = plotting.inputs(posterior, dataset)
    assert figure is not None
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()] == [
        "Input 0 (a.u.)",
        "Input 1 (a.u.)",
        "True input 0 (data units)",
    ]
    averages = [line for line in figure.axes[1].get_lines() if len(line.get_xdata()) == 40]
    np.testing.assert_allclose(averages[1].get_ydata(), posterior.inputs[split.condition == 1, :, 0].mean(axis=0))
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    dataset = with_trials(dataset, dataclasses.replace(split, true_inputs=100 * split.true_inputs))
    aligned = plotting.inputs(posterior, dataset, aligned=posterior.inputs[:, :, :1])
    assert aligned is not None and len(aligned.axes) == 4
    inferred, truth, examples = aligned.axes[1:]
    assert inferred.get_ylim()[1] < 1 < 20 < truth.get_ylim()[1] < 100
    averages = [line for line in truth.get_lines() if len(line.get_xdata()) == 40]
    expected = 100 * split.true_inputs[split.condition == 3, :, 0].mean(axis=0)
    np.testing.assert_allclose(averages[3].get_ydata(), expected, rtol=1e-5)
    assert 2 < examples.get_ylim()[1] < 3.2  # three trials, each curve at its own scale
    with pytest.raises(ValueError, match="`aligned` must have the shape"):
        plotting.inputs(posterior, dataset, aligned=posterior.inputs)


def test_psths_have_data_and_model_side_by_side_with_the_same_smoothing_and_axes():
    dataset, split, posterior = make()
    figure = plotting.psths(posterior, dataset, n_neurons=4)
    assert len(figure.axes) == 8
    data, model = figure.axes[:2]
    assert [ax.get_title(loc="left") for ax in (data, model)] == ["Data", "Model"]
    assert data.get_ylim() == model.get_ylim() and data.get_xlim() == model.get_xlim()
    index, chosen = int(data.texts[0].get_text().split()[1]), split.condition == 1
    counts, rates = split.targets["spikes"], posterior.rates["spikes"]
    for ax, values in ((data, counts), (model, rates)):
        line = ax.get_lines()[1]
        expected = smooth(values[chosen, :, index].mean(axis=0)[:, None] / WIDTH, 2.5)[:, 0]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)
        assert line.get_color() == QUALITATIVE[1]
    assert "smoothed by 50 ms (sd)" in texts(figure)
    dataset, _, posterior = make(n_conditions=0)
    assert len(plotting.psths(posterior, dataset, n_neurons=1).axes[1].get_lines()) == 2  # average, forward line


def test_predicted_counts_hold_means_and_shares():
    dataset, split, posterior = make(n_neurons=6, n_held_out=2)
    bins, neurons, shares = plotting.predicted_counts(posterior, dataset).axes
    data, rates = split.targets["spikes"].astype(float), posterior.rates["spikes"].astype(float)
    seen, held_out = (line.get_xydata() for line in neurons.get_lines()[:2])
    means = np.stack([of.mean(axis=(0, 1)) / WIDTH for of in (rates, data)], axis=1)
    np.testing.assert_allclose(np.concatenate([seen, held_out]), means, rtol=1e-6)
    points = np.array([line.get_xydata()[0] for line in bins.get_lines() if line.get_marker() == "o"])
    lowest = data[:, :32, :4][rates[:, :32, :4] < np.quantile(rates[:, :32, :4], 1 / 12)]
    assert len(points) == 24 and points[0, 1] == pytest.approx(lowest.mean(), rel=0.1)
    assert bins.get_xlim() == bins.get_ylim() and neurons.get_xlim() == neurons.get_ylim()
    observed, expected = (line.get_ydata() for line in shares.get_lines())
    assert observed[0] == np.mean(data == 0) and expected[0] == pytest.approx(np.exp(-rates).mean())


def test_gain_is_that_of_the_scores_or_else_of_all_entries():
    dataset, split, posterior = make(n_neurons=6, n_held_out=2)
    figure = plotting.gain_per_neuron(posterior, dataset)
    words = texts(figure)
    assert "entries that the encoder sees (baseline: condition average)" in words and "bits per spike" in words
    mean = baselines.mean_rate(dataset, split)
    mask = np.zeros(mean.shape, bool)
    mask[:, :32, :4] = True
    both = posterior.rates["spikes"], baselines.condition_average(dataset, split)
    model, baseline = (
        bits_per_spike(np.asarray(of, float), split.targets["spikes"], mask=mask, null_rates=mean).per_neuron[:4]
        for of in both
    )
    dots, gains = figure.axes[0].get_lines()[0], figure.axes[1].get_lines()[1]
    np.testing.assert_allclose(dots.get_xydata(), np.stack([baseline, model], axis=1))
    np.testing.assert_allclose(gains.get_ydata(), np.sort(model - baseline)[::-1])
    scores = {
        "per_neuron": {"co_bps": {"day": [0.3, None, 0.1]}},
        "per_neuron_of_baseline": {"co_bps": {"model": "Poisson regression", "per_neuron": {"day": [0.1, 0.2, 0.2]}}},
    }
    figure = plotting.gain_per_neuron(posterior, dataset, scores)
    np.testing.assert_allclose(figure.axes[1].get_lines()[1].get_ydata(), [0.2, -0.1])
    assert "held-out neurons (baseline: Poisson regression): 1 of 2 better" in texts(figure)


def test_kl_bars_are_sorted_and_summed_over_the_trial():
    dataset, _, posterior = make(n_trials=6)
    ic, inputs, courses = plotting.kl_per_dimension(posterior, dataset).axes
    assert [bar.get_height() for bar in ic.patches] == [4, 3, 2, 1, 0]
    assert [label.get_text() for label in ic.get_xticklabels()] == ["4", "3", "2", "1", "0"]
    assert [bar.get_height() for bar in inputs.patches] == pytest.approx([8.0, 4.0])
    assert courses.get_lines()[1].get_ydata() == pytest.approx(np.full(40, 0.2))


def test_behaviour_has_one_scale_for_measured_and_decoded():
    dataset, split, posterior = make(n_held_out=0, n_forward=0)
    behaviour = np.log(posterior.rates["spikes"][:, :, :2]).astype(float)
    dataset = with_trials(dataset, dataclasses.replace(split, behaviour=behaviour))
    figure = plotting.behaviour(posterior, dataset, decoded=0.5 * behaviour)
    measured, decoded, scatter = figure.axes[:3]
    assert measured.get_ylim() == decoded.get_ylim() and scatter.get_xlim() == scatter.get_ylim()
    averages = [[line for line in ax.get_lines() if len(line.get_xdata()) == 40] for ax in (measured, decoded)]
    np.testing.assert_allclose(averages[1][2].get_ydata(), 0.5 * averages[0][2].get_ydata())
    # Half of the trials decode the other half: here behaviour is a log rate, so that all of it can be decoded.
    found = plotting.behaviour(posterior, dataset).axes[2].get_title(loc="left")
    assert float(found.split("R² = ")[1]) > 0.99
    with pytest.raises(ValueError, match="`decoded` must have the shape of the behaviour"):
        plotting.behaviour(posterior, dataset, decoded=behaviour[:, :, :1])


def test_summary_is_one_page_with_dashes_for_missing_scores():
    dataset, _, posterior = make(n_trials=6)
    figure = plotting.summary(posterior, dataset, history=make_history(20), table=TABLE, title="A run")
    words = texts(figure)
    for word in (
        "A run",
        "smoothed spikes",
        "co bps",
        "0.124",
        "–",
        "\u22120.081",
        "Loss",
        "Inferred rates",
        "Factors",
    ):
        assert word in words
    width, height = figure.get_size_inches()
    assert width == pytest.approx(8.27) and height <= 11.7
    assert [format_cell(v) for v in (None, float("nan"), 3, -0.0, 1e-5, True, "x")] == [
        "–",
        "–",
        "3",
        "0.000",
        "0.000",
        "yes",
        "x",
    ]


def test_conditions_keep_their_colours_between_splits():
    dataset, split, _ = make()
    few = dataclasses.replace(split, condition=np.full(18, 4))
    everywhere = {group.name: group.colour for group in conditions_of(dataset, split).groups}
    (only,) = conditions_of(dataset, few).groups
    assert only.name == "4" and only.colour == everywhere["4"]
    named = dataclasses.replace(split, condition=np.array(["left", "right"] * 9))
    assert [group.name for group in conditions_of(with_trials(dataset, named), named).groups] == ["left", "right"]


def test_colours_of_conditions_are_distinct_for_labels_and_ordered_for_quantities():
    assert condition_colours(np.array(["left", "right"])) == list(QUALITATIVE[:2])
    assert condition_colours(np.arange(8)) == list(QUALITATIVE)
    contrasts = np.array([to_rgb(colour) for colour in condition_colours(np.array([0.0, 0.1, 0.5, 1.0]))])
    lightness = contrasts @ [0.2126, 0.7152, 0.0722]
    assert np.all(np.diff(lightness) > 0.1)  # not cyclic: the last is the lightest
    # What people without green cones see (Machado et al. 2009): no two colours are alike.
    deuteranopia = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    seen = np.array([to_rgb(colour) for colour in QUALITATIVE]) ** 2.2 @ np.array(deuteranopia).T
    seen = seen.clip(0) ** (1 / 2.2)
    apart = np.linalg.norm(seen[:, None] - seen, axis=2) + np.eye(len(seen))
    assert apart.min() > 0.12


def test_many_conditions_become_groups_of_neighbours():
    dataset, split, posterior = make(n_trials=18)
    many = dataclasses.replace(split, condition=np.arange(18) % 12)
    dataset = with_trials(dataset, many)
    found = conditions_of(dataset, many)
    assert found.joined and [group.name for group in found.groups][:2] == ["0 to 1", "2 to 3"]
    assert found.groups[1].members.tolist() == [2, 3, 14, 15] and len(found.groups) == 6
    words = texts(plotting.psths(posterior, dataset, n_neurons=1))
    assert "12 conditions\nin groups (trials)" in words and "2 to 3 (n = 4)" in words


def test_averages_leave_out_missing_bins():
    values = np.array([[1.0, 2.0, np.nan, np.nan], [3.0, 4.0, 5.0, np.nan], [5.0, 6.0, np.nan, np.nan]])
    mean, half = mean_and_interval(values)
    np.testing.assert_allclose(mean, [3.0, 4.0, np.nan, np.nan])  # A single trial is not an average.
    np.testing.assert_allclose(half[:2], 1.96 * 2.0 / np.sqrt(3))
    assert np.isnan(mean_and_interval(values[:1])[1]).all()


def test_principal_components_are_those_of_all_finite_rows():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((5, 8, 3)) * [5.0, 1.0, 0.1]
    values[0, 6:] = np.nan
    scores, share = principal_components(values)
    rows = values[np.isfinite(values).all(axis=2)]
    expected = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(share, expected / expected.sum())
    assert np.isnan(scores[0, 6:]).all() and scores.shape == (5, 8, 3)
    assert principal_components(np.ones((1, 1, 2)))[1].tolist() == [0.0, 0.0]


def test_errors_say_what_to_do():
    dataset, split, posterior = make(n_trials=4)
    with pytest.raises(ValueError, match="Pass the data that it was inferred from"):
        plotting.factors(dataclasses.replace(posterior, trial_id=np.arange(3)), dataset)
    with pytest.raises(ValueError, match="`n_trials` must be at least 1, got 0"):
        plotting.rates(posterior, dataset, n_trials=0)
    with pytest.raises(ValueError, match="`n_neurons` must be at least 1, got 0"):
        plotting.psths(posterior, dataset, n_neurons=0)
    empty = dataclasses.replace(split, trial_id=np.zeros(0, int))
    with pytest.raises(ValueError, match="needs at least 1 trial"):
        View.of(posterior, dataset, empty)
    with pytest.raises(ValueError, match="must hold behaviour, but have none"):
        plotting.behaviour(posterior, dataset)
    with pytest.raises(ValueError, match="must hold the KL of its latent variables"):
        plotting.kl_per_dimension(dataclasses.replace(posterior, kl_ic=None, kl_inputs=None), dataset)


def test_files_are_written_and_one_failure_stops_nothing(tmp_path, monkeypatch):
    dataset, split, posterior = make(n_trials=4, n_neurons=5, n_held_out=1, n_bins=20, n_forward=4)
    monkeypatch.setattr("lfadsx.plotting.figure_files.DPI", 40)
    folder = tmp_path / "figures"
    settings = dict(matplotlib.rcParams)
    slow = ("summary", "predicted_counts", "all_neurons", "kl_per_dimension", "factors", "rates")

    def nothing(*_, **__):
        return None

    for name in slow:
        monkeypatch.setattr(f"lfadsx.plotting.figure_files.{name}", nothing)
    written, findings = plotting.write_figures(folder, posterior, dataset, figure_format="svg")
    assert findings == [] and dict(matplotlib.rcParams) == settings
    names = ["psths", "initial_conditions", "inputs"]
    assert [path.name for path in written] == [f"valid_{name}.svg" for name in names]
    assert sorted(folder.iterdir()) == sorted(written)
    assert "PSTHs of 4 valid trials" in written[0].read_text()  # text stays text

    def broken(*_, **__):
        raise RuntimeError("no ink")

    for name in (*slow, "psths"):
        monkeypatch.setattr(f"lfadsx.plotting.figure_files.{name}", broken)
    autonomous = dataclasses.replace(posterior, inputs=None, split="test")
    dataset = dataclasses.replace(dataset, test=split)
    again, findings = plotting.write_figures(
        tmp_path / "again", autonomous, dataset, history={"loss": np.arange(5)}, figure_format="pdf"
    )
    assert [path.name for path in again] == ["test_initial_conditions.pdf", "loss.pdf"]
    assert all(path.read_bytes().startswith(b"%PDF") for path in again)
    assert len(findings) == 7 and "test_summary" in str(findings[0]) and "no ink" in str(findings[0])


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "lfadsx.plotting")
    with pytest.raises(ImportError, match=r'pip install "lfadsx\[plot\]"'):
        importlib.import_module("lfadsx.plotting")
