"""Contents of the axes in figures of scores and in plain panels."""

import numpy as np
import pytest
from example_tools.embedding import embedding_figure
from example_tools.histograms import histograms_figure
from example_tools.images_figure import images_figure
from example_tools.peak_times import peak_errors
from example_tools.peaks_figure import peaks_figure
from matplotlib.colors import to_hex

from lfadsx.data import from_arrays
from lfadsx.plotting import curves_figure
from lfadsx.plotting.style import GREY, INK


def counts_of(ax):
    return np.array([bar.get_height() for bar in ax.patches])


def test_histograms_hold_all_values_and_their_means(tmp_path):
    values = {"PCA": np.array([[0.1, 0.3], [np.nan, 0.2]]), "LFADS": np.array([0.9, 2.0])}
    figure = histograms_figure(values, "R2", floors={"a ramp": 0.2}, limits=(0, 1), unit="trials")
    first, second = figure.axes
    assert counts_of(first).sum() == 3 and counts_of(second).sum() == 2
    assert counts_of(second)[-1] == 1  # the value beyond the axis is in the outermost bar
    assert first.get_title(loc="left") == "PCA, mean 0.200"
    assert [line.get_xdata()[0] for line in first.lines] == [pytest.approx(0.2), 0.2]
    assert first.get_ylabel() == "Number of trials" and second.get_ylabel() == ""
    figure.savefig(tmp_path / "histograms.png")
    with pytest.raises(ValueError, match="At least one value must be a number"):
        histograms_figure({"PCA": np.array([np.nan])}, "R2")


def test_curves_have_one_look_for_each_name(tmp_path):
    time, rate = np.array([0.5, 1.5, 2.5]), np.array([1.0, np.nan, 2.0])
    panels = {"A": {"spikes": np.array([0, 2, 1]), "true rate": rate}, "B": {"PCA": rate, "true rate": rate}}
    figure = curves_figure(panels, x=time, stems=["spikes"], log=["B"])
    first, second = figure.axes
    dots, true = first.lines
    assert to_hex(dots.get_color()) == GREY and to_hex(true.get_color()) == to_hex(INK)
    np.testing.assert_array_equal(true.get_xdata(), [0.5, 2.5])  # NaN is left out
    assert to_hex(second.lines[1].get_color()) == to_hex(INK) != to_hex(second.lines[0].get_color())
    assert (first.get_yscale(), second.get_yscale()) == ("linear", "log")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["spikes", "true rate", "PCA"]
    figure.savefig(tmp_path / "curves.png")


def test_images_with_both_signs_have_zero_in_the_middle(tmp_path):
    figure = images_figure({"Counts": np.array([[0, 3]]), "States": np.array([[-1.0, 0.5]])}, label="a.u.")
    counts, states = (ax.images[0].get_clim() for ax in figure.axes[:2])
    assert counts == (0, 3) and states == (-1, 1)
    figure.savefig(tmp_path / "images.png")


def test_embedding_shows_every_trial_in_its_colour(tmp_path):
    rng = np.random.default_rng(0)
    states, colour = rng.normal(size=(12, 5)), np.arange(12.0)
    figure = embedding_figure({"true": states, "inferred": 2 * states}, colour, "Output")
    dots = figure.axes[1].collections[0]
    assert len(dots.get_offsets()) == 12
    np.testing.assert_array_equal(dots.get_array(), colour)
    figure.savefig(tmp_path / "embedding.png")
    with pytest.raises(ValueError, match="3 states 'true' and 12 colours"):
        embedding_figure({"true": states[:3]}, colour, "Output")


def test_peaks_figure_counts_trials_and_says_the_share(tmp_path):
    times = np.tile([8, 12, 10, 14, 9], 4)
    truth = 20.0 * (np.arange(30) == times[:, None])
    data = from_arrays(
        np.random.default_rng(0).poisson(1.0, (20, 30, 3)), true_inputs=truth[:, :, None], bin_width=0.01
    )
    inputs = {name: split.true_inputs[:, :, 0] for name, split in data.splits.items()}
    peaks = peak_errors(inputs["valid"], inputs["valid"], fit_on=(inputs["train"], inputs["train"]))
    times, trials = data.bin_width * (np.arange(30) + 0.5), data.valid.trial_id
    figure = peaks_figure(inputs["valid"], peaks, times, trials)
    errors = figure.axes[0]
    assert errors.get_title(loc="left").startswith("100 % within ±2 bins (chance ")
    assert counts_of(errors).max() == data.valid.n_trials  # all errors are 0
    lines = [float(line.get_xdata()[0]) for line in figure.axes[1].lines[1:]]  # the true and the inferred time
    assert lines == [pytest.approx(0.01 * (peaks.times[0] + 0.5))] * 2
    figure.savefig(tmp_path / "peaks.png")
    with pytest.raises(ValueError, match="inputs of 3"):
        peaks_figure(inputs["valid"][:3], peaks, times, trials)
