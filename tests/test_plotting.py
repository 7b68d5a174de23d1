"""Contents of figures' axes, in the normal case and in corner cases of the data."""

import dataclasses
import importlib
import sys

import matplotlib
import matplotlib.text
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lfadsx import plotting
from lfadsx.data.dataset import Dataset, Session, Split
from lfadsx.evaluation.metrics import smooth
from lfadsx.plotting.averaging import mean_and_interval, principal_components
from lfadsx.plotting.condition_colours import condition_colours, conditions_of, cyclic_colours
from lfadsx.plotting.style import ORANGE
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


def texts(figure: Figure) -> str:
    """All words of a figure, legends included."""
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def figures(dataset: Dataset, split: Split, posterior: Posterior) -> dict[str, Figure | None]:
    return {
        "rates": plotting.rates_figure(dataset, split, posterior, n_trials=1),
        "factors": plotting.factors_figure(dataset, split, posterior),
        "inputs": plotting.inputs_figure(dataset, split, posterior),
        "psth": plotting.psth_figure(dataset, split, posterior, n_neurons=2),
        "initial_conditions": plotting.initial_conditions_figure(dataset, split, posterior),
        "summary": plotting.summary(posterior, dataset, history=make_history(20), table=TABLE, title="A run"),
    }


def orange_lines(ax) -> list:
    return [line for line in ax.get_lines() if to_hex(line.get_color()).lower() == ORANGE.lower()]


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
    made = figures(*make(**options))
    assert dict(matplotlib.rcParams) == settings
    assert (made["inputs"] is None) == (options.get("n_inputs") == 0)
    no_width = options.get("bin_width", WIDTH) is None
    for kind, figure in made.items():
        if figure is None:
            continue
        words = texts(figure)
        assert "nan" not in words
        if kind != "initial_conditions":
            assert ("Time (bins)" in words) == no_width
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


def test_one_wild_first_epoch_does_not_flatten_the_loss():
    loss = np.concatenate([[1e9], np.linspace(10, 5, 99)])
    axes = plotting.loss_figure({"loss": loss}).axes[0]
    assert axes.get_ylim()[1] < 12


def test_rates_hold_images_lines_and_units():
    dataset, split, posterior = make()
    figure = plotting.rates_figure(dataset, split, posterior, n_trials=2)
    images = [ax for ax in figure.axes if ax.images]
    assert len(images) == 6  # Spikes, rates and truth of two trials.
    spikes, rates, truth = images[0], images[2], images[4]
    trial = int(spikes.get_title(loc="left").split(",")[0].removeprefix("Trial ")) - 100
    np.testing.assert_array_equal(spikes.images[0].get_array(), split.targets["spikes"][trial].T)
    np.testing.assert_allclose(rates.images[0].get_array(), posterior.rates["spikes"][trial].T / WIDTH, rtol=1e-6)
    assert split.truth is not None
    np.testing.assert_allclose(truth.images[0].get_array(), split.truth[trial].T / WIDTH, rtol=1e-6)
    assert rates.images[0].get_clim() == truth.images[0].get_clim()
    forward, held_out = orange_lines(spikes)
    assert forward.get_xdata()[0] == pytest.approx(32 * WIDTH * 1000)  # Trials under a second are in ms.
    assert held_out.get_ydata()[0] == 9
    words = texts(figure)
    for label in (
        "Rate (Hz)",
        "True rate (Hz)",
        "Time (ms)",
        "(held out)",
        "±1 sd over 8 samples",
        "forward",
    ):
        assert label in words


def test_rates_of_single_neurons():
    dataset, split, posterior = make(n_trials=1)
    figure = plotting.rates_figure(dataset, split, posterior)
    neuron = [ax for ax in figure.axes if ax.get_title(loc="left").startswith("Neuron")]
    assert [("held out" in ax.get_title(loc="left")) for ax in neuron] == [False, False, True]
    index = int(neuron[0].get_title(loc="left").split()[1])
    curves = {line.get_label(): line.get_ydata() for line in neuron[0].get_lines()}
    np.testing.assert_allclose(curves["inferred"], posterior.rates["spikes"][0, :, index] / WIDTH, rtol=1e-6)
    ticks = next(c for c in neuron[0].collections if isinstance(c, LineCollection))
    assert len(ticks.get_segments()) == np.count_nonzero(split.targets["spikes"][0, :, index])


def test_rates_take_fewer_trials_than_asked_and_always_the_same():
    dataset, split, posterior = make(n_trials=3, truth=None)
    titles = [ax.get_title(loc="left") for ax in plotting.rates_figure(dataset, split, posterior, n_trials=9).axes]
    assert [t.split(",")[0] for t in titles if t.startswith("Trial")] == [f"Trial {100 + i}" for i in range(3)]
    first, again = (texts(plotting.rates_figure(dataset, split, posterior, n_trials=1)) for _ in range(2))
    assert first == again


def test_scattered_held_out_neurons_are_sorted_to_the_end():
    dataset, split, posterior = make(n_trials=2, n_neurons=4, n_held_out=2)
    session = dataclasses.replace(dataset.sessions[0], target_index=np.array([1, 3]))
    dataset = dataclasses.replace(dataset, sessions=(session,))
    figure = plotting.rates_figure(dataset, split, posterior, n_trials=1)
    shown = next(ax for ax in figure.axes if ax.images)
    trial = int(shown.get_title(loc="left").split(",")[0].removeprefix("Trial ")) - 100
    np.testing.assert_array_equal(shown.images[0].get_array(), split.targets["spikes"][trial][:, [1, 3, 0, 2]].T)
    assert shown.get_ylabel() == "Neuron (sorted)"


def test_truth_in_another_unit_gets_a_scale_of_its_own():
    for options, label in (
        (dict(truth="relative"), "True rate (relative)"),
        (dict(truth="Hz", bin_width=None), "True rate (Hz)"),
    ):
        words = texts(plotting.rates_figure(*make(n_trials=1, **options)))
        assert label in words and "truth, scaled to the inferred rate" in words
    assert "scaled" not in texts(plotting.rates_figure(*make(n_trials=1, truth="Hz")))


def test_truth_in_the_unit_of_counts_is_drawn_like_counts_per_bin():
    in_counts, in_data = View.of(*make(truth="counts per bin")), View.of(*make(truth="data"))
    assert in_data.truth_unit == in_counts.truth_unit == "Hz" and in_data.truth_is_comparable
    chosen = np.arange(3), np.arange(4)
    np.testing.assert_array_equal(in_data.truth(*chosen), in_counts.truth(*chosen))


def test_missing_data_and_continuous_data():
    dataset, split, posterior = make(n_trials=4)
    observed = np.ones(split.targets["spikes"].shape, bool)
    observed[:, 5:9] = False
    observed[:, :, 0] = False
    gaps = dataclasses.replace(split, target_observed={"spikes": observed})
    shown = plotting.rates_figure(dataset, gaps, posterior).axes[0].images[0].get_array()
    assert np.ma.getmaskarray(shown)[:, 5:9].all() and np.ma.getmaskarray(shown)[0].all()
    plotting.psth_figure(dataset, gaps, posterior, n_neurons=99)
    values = split.targets["spikes"] * 0.37 - 0.5
    real = dataclasses.replace(split, targets={"spikes": values})
    for unit, shown in (("", "data units"), ("mV", "mV")):
        measured = dataclasses.replace(posterior, groups={"spikes": TargetGroup("real", unit)})
        words = texts(plotting.rates_figure(dataset, real, measured))
        assert f"Mean ({shown})" in words and f"Data ({shown})" in words and "spikes" not in words.lower()


def test_time_is_counted_from_the_event():
    dataset, split, posterior = make(n_trials=4)
    posterior = dataclasses.replace(posterior, time=TimeAxis(WIDTH, -0.2, "go cue"))
    figure = plotting.rates_figure(dataset, split, posterior)
    assert "Time from go cue (ms)" in texts(figure)
    assert figure.axes[0].get_xlim() == pytest.approx((-200.0, 600.0))
    assert figure.axes[0].images[0].get_extent()[:2] == pytest.approx([-200.0, 600.0])
    assert View.of(dataset, split, posterior).forward_start() == pytest.approx(440.0)


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
    split = dataclasses.replace(split, session=which)
    posterior.rates["spikes"][6:, :, 5:] = np.nan
    assert len(plotting.rates_figure(dataset, split, posterior).axes[0].images[0].get_array()) == 12
    figure = plotting.rates_figure(dataset, split, posterior, session=1)
    assert len(figure.axes[0].images[0].get_array()) == 5
    assert "session small" in texts(figure)
    assert "session small" in texts(plotting.psth_figure(dataset, split, posterior, session=1))
    with pytest.raises(ValueError, match=r"`session` must be one with trials in the split, \[0, 1\], got 2"):
        plotting.psth_figure(dataset, split, posterior, session=2)


def test_factors_hold_trajectories_and_time_courses():
    dataset, split, posterior = make()
    figure = plotting.factors_figure(dataset, split, posterior)
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
    assert [t.get_text() for t in figure.legends[1].get_texts()] == ["0", "1", "2", "3", "4", "5"]


def test_inputs_show_averages_truth_and_alignment():
    dataset, split, posterior = make()
    assert posterior.inputs is not None and split.true_inputs is not None
    figure = plotting.inputs_figure(dataset, split, posterior)
    assert figure is not None
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()] == [
        "Input 0 (a.u.)",
        "Input 1 (a.u.)",
        "True input 0 (data units)",
    ]
    averages = [line for line in figure.axes[1].get_lines() if len(line.get_xdata()) == 40]
    np.testing.assert_allclose(averages[1].get_ydata(), posterior.inputs[split.condition == 1, :, 0].mean(axis=0))
    aligned = plotting.inputs_figure(dataset, split, posterior, aligned=posterior.inputs[:, :, :1])
    assert aligned is not None and len(aligned.axes) == 3
    dashed = [line for line in aligned.axes[1].get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_allclose(dashed[3].get_ydata(), split.true_inputs[split.condition == 3, :, 0].mean(axis=0))
    with pytest.raises(ValueError, match="`aligned` must have the shape"):
        plotting.inputs_figure(dataset, split, posterior, aligned=posterior.inputs)


def test_psth_compares_smoothed_data_with_rates():
    dataset, split, posterior = make()
    figure = plotting.psth_figure(dataset, split, posterior, n_neurons=4)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(panels) == 4
    index = int(panels[0].get_title(loc="left").split()[1])
    data, model = panels[0].get_lines()[2:4]  # Two lines for each condition.
    chosen = split.condition == 1
    np.testing.assert_allclose(
        model.get_ydata(), posterior.rates["spikes"][chosen, :, index].mean(axis=0) / WIDTH, rtol=1e-5
    )
    counts = split.targets["spikes"][chosen, :, index].mean(axis=0) / WIDTH
    np.testing.assert_allclose(data.get_ydata(), smooth(counts[:, None], 2.5)[:, 0])
    assert data.get_color() == model.get_color()
    assert "Gaussian of sd 50 ms" in texts(figure)
    without = plotting.psth_figure(*make(n_conditions=0), n_neurons=1)
    assert len(without.axes[0].get_lines()) == 3 and "Average time courses" in texts(without)


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
        "1.00e\u221205",
        "yes",
        "x",
    ]


def test_conditions_keep_their_colours_between_splits():
    dataset, split, _ = make()
    few = dataclasses.replace(split, condition=np.full(18, 4))
    everywhere = {group.name: group.colour for group in conditions_of(dataset, split).groups}
    (only,) = conditions_of(dataset, few).groups
    assert only.name == "4" and only.colour == everywhere["4"]
    assert len(set(cyclic_colours(12))) == 12
    assert len(set(condition_colours(np.array(["left", "right"])))) == 2
    named = dataclasses.replace(split, condition=np.array(["left", "right"] * 9))
    dataset = dataclasses.replace(dataset, train=named, valid=named)
    assert [group.name for group in conditions_of(dataset, named).groups] == ["left", "right"]


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
    with pytest.raises(ValueError, match="Pass the posterior of this split"):
        plotting.factors_figure(dataset, split, dataclasses.replace(posterior, trial_id=np.arange(3)))
    with pytest.raises(ValueError, match="`n_trials` must be at least 1, got 0"):
        plotting.rates_figure(dataset, split, posterior, n_trials=0)
    with pytest.raises(ValueError, match="`n_neurons` must be at least 1, got 0"):
        plotting.psth_figure(dataset, split, posterior, n_neurons=0)
    empty = dataclasses.replace(split, trial_id=np.zeros(0, int))
    with pytest.raises(ValueError, match="needs at least 1 trial"):
        View.of(dataset, empty, posterior)


def test_files_are_written_and_one_failure_stops_nothing(tmp_path, monkeypatch):
    dataset, split, posterior = make(n_trials=4, n_neurons=5, n_held_out=1, n_bins=20, n_forward=4)
    monkeypatch.setattr("lfadsx.plotting.figure_files.DPI", 40)
    folder = tmp_path / "figures"
    written, findings = plotting.write_figures(folder, dataset, posterior, {}, [], "A run")
    assert findings == []
    names = ["rates", "factors", "inputs", "psth", "initial_conditions", "summary"]
    assert [path.name for path in written] == [f"valid_{name}.png" for name in names]
    assert sorted(folder.iterdir()) == sorted(written)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)

    def broken(*_, **__):
        raise RuntimeError("no ink")

    for name in ("factors_figure", "summary", "rates_figure", "psth_figure"):
        monkeypatch.setattr(f"lfadsx.plotting.figure_files.{name}", broken)
    autonomous = dataclasses.replace(posterior, inputs=None, split="test")
    dataset = dataclasses.replace(dataset, test=split)
    again, findings = plotting.write_figures(
        tmp_path / "again", dataset, autonomous, {"loss": np.arange(5)}, [], "A run"
    )
    assert [path.name for path in again] == ["loss.png", "test_initial_conditions.png"]
    assert len(findings) == 4 and "test_rates" in str(findings[0]) and "no ink" in str(findings[0])


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "lfadsx.plotting")
    with pytest.raises(ImportError, match=r'pip install "lfadsx\[plot\]"'):
        importlib.import_module("lfadsx.plotting")
