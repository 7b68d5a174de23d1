"""The report page: numbers as in the run folder, one small safe file, and a word on all that is left out."""

import dataclasses
import json
import re
import shutil
import sys

import numpy as np
import pytest
from making import outline

import lfadsx
from lfadsx import HyperParams, TrainConfig, report
from lfadsx.data import from_arrays
from lfadsx.errors import MissingExtraError, RunError
from lfadsx.evaluation import score_posteriors
from lfadsx.files import plain, write_json
from lfadsx.findings import Finding
from lfadsx.pipeline import report_run
from lfadsx.report.embedded_figures import embedded_figures
from lfadsx.report.packing import packed, unpacked
from lfadsx.report.session_arrays import average
from lfadsx.report.thinning import chosen_neurons, chosen_trials
from lfadsx.report.trial_browser import trial_browser
from lfadsx.results.labels import Labels
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import write_posteriors
from lfadsx.training import RunFolder
from lfadsx.training.history import write_rows
from lfadsx.training.run_info import make_info

HOSTILE = '<script>alert("x")</script>'
FINDINGS = (
    Finding("note", "a note", None, None, "", "Something to know."),
    Finding("warning", "collapsed", 0.1, 1.0, HOSTILE, f"Look at {HOSTILE} & co.", "Lower it."),
)


def recording(n_trials=24, n_bins=12, n_neurons=6, **changes):
    rng = np.random.default_rng(0)
    condition = np.arange(n_trials) % 3
    course = np.sin(np.linspace(0, 6, n_bins) + 2 * condition[:, None])[:, :, None]
    rates = np.exp(0.8 * course * rng.standard_normal(n_neurons))
    settings = dict(
        held_out=1, condition=condition, behaviour=np.repeat(course, 2, 2), bin_width=0.02, test_fraction=0.25
    )
    return from_arrays(rng.poisson(rates), **(settings | changes))


def posterior_of(data, n_factors=3, n_samples=8):
    """A posterior near the data: their average over time stands for rates, noise for latent variables."""
    name, split = ("valid", data.valid) if data.test is None else ("test", data.test)
    rng, n, n_bins = np.random.default_rng(1), split.n_trials, split.n_bins
    inside = (np.arange(n_bins) < split.target_length[:, None])[:, :, None]

    def series(width, low=-1.0):
        return np.where(inside, rng.uniform(low, 1.0, (n, n_bins, width)), np.nan).astype(np.float32)

    group, targets = data.input_group, split.targets[data.input_group]
    own = np.array([session.n_targets[group] for session in data.sessions])[split.session]
    there = np.arange(targets.shape[2]) < own[:, None, None]
    rates = np.where(inside & there, 0.2 + 0.5 * targets.mean(1, keepdims=True) + 0.0 * targets, np.nan)
    vectors = {name: rng.standard_normal((n, 4)) for name in ("initial_condition", "ic_mean", "ic_std")}
    return Posterior(
        rates={group: rates + series(rates.shape[2], 0.0) * 0.1},
        rates_std={group: 0.1 + 0.0 * rates} if n_samples > 1 else {},
        factors=series(n_factors),
        **vectors,
        initial_state=rng.standard_normal((n, 5)),
        generator_states=series(5),
        **{name: series(2) for name in ("inputs", "inputs_std", "input_mean", "input_std")},
        controller_states=None,
        encoding=None,
        n_samples=n_samples,
        seed=0,
        split=name,
        **Labels.of(data).of_trials(split),
    )


def made_run(path, data, **changes):
    """A run folder as `fit` leaves it, without a model; returns it with its metrics."""
    folder, posterior = RunFolder(path), posterior_of(data, **changes)
    folder.write_info(make_info(outline(data), data, HyperParams(), TrainConfig()))
    write_posteriors(folder.posterior, {posterior.split: posterior})
    found = score_posteriors(data, {posterior.split: posterior}, split=posterior.split, n_bootstrap=50)
    training = dict(reason="epochs", epochs=2, best_epoch=2, best_score=9.5, skipped_steps=0, seconds=3.0)
    metrics = found.scores | dict(training=training, findings=FINDINGS, detail=found.detail, table=found.table)
    write_json(folder.metrics, metrics)
    write_rows(folder.history, [{"epoch": i, "loss": 9.0 - i, "valid_loss": np.nan, "kl_ic": 0.0} for i in (1, 2)])
    return folder, plain(metrics)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run whose names are hostile: folder, metrics and the text of the page."""
    names = [f"<img src=x onerror=alert({i})>" for i in range(6)]
    data = recording(session=HOSTILE, channel_names=names)
    data = dataclasses.replace(data, test=dataclasses.replace(data.test, condition=labels(data.test.condition)))
    folder, metrics = made_run(tmp_path_factory.mktemp("report") / "run", data)
    file = report.write_report(folder.path, data)
    assert file == folder.report_page
    return folder, metrics, file.read_text(encoding="utf-8")


def labels(condition):
    return np.array([f"</script>{number}" for number in condition])


def content(html, id):
    return json.loads(re.search(rf'<script type="application/json" id="{id}">(.*?)</script>', html, re.DOTALL)[1])


def own_text(html):
    """The page without Plotly's own code."""
    from plotly.offline import get_plotlyjs

    assert get_plotlyjs() in html
    return html.replace(get_plotlyjs(), "")


# The page


def test_the_numbers_are_those_of_the_run(made):
    _, metrics, html = made
    shown = {float(value) for value in re.findall(r'<data value="([^"]+)">', html)}
    wanted = {value for row in metrics["table"] for value in row.values() if isinstance(value, float)}
    leads = {of["value"] for of in metrics["detail"]["difference"].values()}
    assert shown == wanted | leads and metrics["co_bps"] in shown
    for sentence in metrics["detail"]["verdict"]:
        assert f">{sentence}<" in html
    error = metrics["detail"]["errors"]["lfads"]["co_bps"]
    low, high = (f"{metrics['co_bps'] + sign * 1.96 * error:.3f}".replace("-", "−") for sign in (-1, 1))
    assert f"<small>{low} to {high}</small>" in html
    assert "9.5000 nats per trial" in html and "learning_rate" in html


def test_every_finding_is_there_and_text_is_escaped(made):
    _, _, html = made
    text = own_text(html)
    for finding in FINDINGS:
        assert finding.name in text and finding.remedy in text
    assert "Look at &lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; co." in text
    assert "<script>alert" not in text and "<img src=x" not in text
    assert content(html, "browser-data")["sessions"][0]["name"] == HOSTILE
    assert content(html, "browser-data")["conditions"][0]["name"].startswith("</script>")


def test_the_page_is_one_small_file_that_fetches_nothing(made):
    _, _, html = made
    assert len(html.encode()) < 15_000_000
    assert not re.findall(r"(?:https?:)?//[a-z]+\.[a-z]", own_text(html))
    assert not re.findall(r'<(?:link|iframe|script src|img src="(?!data:))', own_text(html))
    assert "default-src 'none'" in html


def test_trials_are_those_of_the_posterior(made):
    folder, _, html = made
    browser, posterior = content(html, "browser-data"), lfadsx.read_posterior(folder.posterior)
    assert [trial["id"] for trial in browser["trials"]] == list(map(str, posterior.trial_id))
    session = browser["sessions"][0]
    np.testing.assert_allclose(unpacked(session["rates"]), posterior.rates_hz(), atol=1e-3)
    np.testing.assert_allclose(unpacked(session["rates_std"]), posterior.rates_std["spikes"] / 0.02, atol=1e-3)
    assert [neuron["held_out"] for neuron in session["neurons"]] == posterior.held_out[0].tolist()
    assert browser["left_out"] == []


def test_dynamics_are_in_the_page_once_they_are_known(made, tmp_path):
    folder, _, html = made
    assert "<code>lfadsx dynamics</code>" in html and "Can the dynamics be trusted?" not in html
    later = RunFolder(shutil.copytree(folder.path, tmp_path / "run"))
    point = dict(kind="saddle", n_growing=2, distance=0.5, time_constants_s=[-0.145], frequencies_hz=[9.9])
    trust = dict(shown=0.95, leakage=None, alone=0.43, held=-1.04, bins=10)
    write_json(later.dynamics, dict(fixed_points=[point], trust=trust, sentences=[HOSTILE]))
    html = own_text(report.write_report(later.path).read_text(encoding="utf-8"))
    section = re.search(r'<section id="dynamics".*?</section>', html, re.DOTALL)[0]
    assert "<code>lfadsx dynamics</code>" not in section and HOSTILE not in section
    assert [f"<td>{cell}</td>" in section for cell in ("saddle", "-145", "9.9", "0.950", "−1.040")] == [True] * 5
    assert "above 0.9" in section and "inferred inputs" not in section


def test_without_its_data_a_run_says_that_they_are_missing(made, tmp_path, caplog):
    shutil.copytree(made[0].path, tmp_path / "run")
    html = report.write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "Recorded data and their PSTHs are missing" in html and "no recorded data" in caplog.text
    assert "data" not in content(html, "browser-data")["sessions"][0]


def test_an_unfinished_run_and_a_folder_without_a_posterior(made, tmp_path):
    shutil.copytree(made[0].path, tmp_path / "run")
    (tmp_path / "run" / "posterior.h5").unlink()
    with pytest.raises(RunError, match="needs its posterior.h5"):
        report.write_report(tmp_path / "run")
    outcome = report_run(tmp_path / "run")
    assert outcome.findings[0].name == "no report page" and (tmp_path / "run" / "report.md") in outcome.files
    (tmp_path / "run" / "metrics.json").unlink()
    with pytest.raises(RunError, match="must be finished"):
        report.write_report(tmp_path / "run")
    with pytest.raises(RunError, match="does not exist"):
        report.write_report(tmp_path / "none")


def test_without_its_packages_the_page_names_the_extra(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtraError, match=r"needs plotly.*lfadsx\[report\]"):
        report.write_report(made[0].path)
    outcome = report_run(made[0].path)
    assert "lfadsx[report]" in outcome.findings[0].sentence and outcome.text.startswith("Data.")


# What the browser of trials holds


def test_averages_are_those_of_all_trials_in_the_units_of_the_rates():
    data = recording()
    browser, posterior = trial_browser(posterior_of(data), data), posterior_of(data)
    model = unpacked(browser["sessions"][0]["psth_model"])
    for number, condition in enumerate(np.unique(data.test.condition)):
        own = posterior.rates["spikes"][data.test.condition == condition].mean(0) / 0.02
        np.testing.assert_allclose(model[number], own, atol=0.003 * own.max())
        assert browser["sessions"][0]["psth_trials"][number] == (data.test.condition == condition).sum()
    np.testing.assert_array_equal(unpacked(browser["sessions"][0]["data"]), data.test.targets["spikes"])


def test_sessions_ragged_trials_real_numbers_and_few_factors():
    lengths = 8 + np.arange(24) % 5
    spikes = [np.random.default_rng(i).poisson(1.0, (n, 4)) for i, n in enumerate(lengths)]
    ragged = from_arrays(spikes, forward_bins=2, session="ragged", bin_width=0.02, valid_fraction=0.4, held_out=1)
    browser = trial_browser(posterior_of(ragged, n_factors=1, n_samples=0), ragged)
    assert browser["factors"]["shape"][2] == 1 and "rates_std" not in browser["sessions"][0]
    assert [trial["n_bins"] for trial in browser["trials"]] == ragged.valid.target_length.tolist()
    assert all(trial["forward_start"] is not None for trial in browser["trials"]) and not browser["has_conditions"]
    both = lfadsx.concatenate(recording(session="monday"), recording(session="tuesday", n_neurons=4))
    for data in (both, None):
        browser = trial_browser(posterior_of(both), data)
        assert [len(session["neurons"]) for session in browser["sessions"]] == [6, 4]
    real = recording(kind="real", unit="mV")
    browser = trial_browser(posterior_of(real), real)
    assert (browser["rate_label"], browser["are_counts"]) == ("Mean (mV)", False)


def test_a_page_of_real_values_speaks_of_channels(tmp_path):
    rng = np.random.default_rng(0)
    data = from_arrays(rng.normal(size=(12, 8, 3)), group="emg", unit="mV", condition=np.arange(12) % 2, held_out=1)
    folder, _ = made_run(tmp_path / "run", data)
    folder.figures.mkdir()
    (folder.figures / "valid_all_neurons.png").write_bytes(b"png")
    html = report.write_report(folder.path, data).read_text(encoding="utf-8")
    seen = re.sub(r"<script.*?</script>|<style.*?</style>|<table.*?</table>|<[^>]*>", " ", html, flags=re.DOTALL)
    for words in ("Channels 3, of which the encoder sees 2", "Inferred means of all channels", "All channels"):
        assert words in re.sub(r"\s+", " ", seen)
    assert not re.search("neuron|spikes|Hz|counts", seen.replace("spike_jitter", ""))
    assert content(html, "browser-data")["sessions"][0]["neurons"][0]["name"] == "Channel 0"


def test_what_does_not_fit_is_left_out_and_named(monkeypatch):
    data, room = recording(n_trials=200, n_neurons=20), 20_000
    monkeypatch.setattr("lfadsx.report.trial_browser.TRIAL_ROOM", room)
    monkeypatch.setattr("lfadsx.report.trial_browser.PSTH_ROOM", 1_000)
    browser = trial_browser(posterior_of(data), data)
    (session,) = browser["sessions"]
    kept = [trial["condition"] for trial in browser["trials"]]
    assert len(kept) < 50 and np.ptp(np.bincount(kept)) <= 1
    assert sum(len(session[name]["data"]) for name in ("rates", "rates_std", "data")) < room
    assert any(text.startswith(f"{len(kept)} of 50 test trials") for text in browser["left_out"])
    assert any("of 3 conditions" in text for text in browser["left_out"])


def test_packed_numbers_keep_their_values():
    values = np.random.default_rng(0).normal(1000, [1e-3, 1.0, 1e3], (50, 3))
    values[3, 1] = np.nan
    for n_bytes, levels in ((1, 254), (2, 65534)):
        error = np.abs(unpacked(packed(values, n_bytes=n_bytes)) - values)
        assert np.all(np.nanmax(error, 0) <= 0.51 * (np.nanmax(values, 0) - np.nanmin(values, 0)) / levels)
        assert np.isnan(error[3, 1])
    counts = np.random.default_rng(0).poisson(3, (9, 4, 2)).astype(float)
    assert packed(counts)["bytes"] == 1 and np.array_equal(unpacked(packed(counts)), counts)
    assert np.isnan(unpacked(packed(np.full((2, 2), np.nan)))).all()


def test_averages_stop_where_fewer_than_half_of_the_trials_go_on():
    values = np.array([[1.0, 2.0, 3.0], [3.0, np.nan, np.nan], [5.0, 4.0, np.nan]])[:, :, None]
    np.testing.assert_array_equal(average(values)[:, 0], [3.0, 3.0, np.nan])


def test_thinning_keeps_conditions_and_held_out_neurons():
    assert chosen_trials(np.array([0, 0, 0, 1, 2, 2]), 4).tolist() == [0, 1, 3, 4]
    held_out = np.array([False] * 6 + [True] * 3)
    assert chosen_neurons(np.arange(9.0)[::-1], held_out, 6).tolist() == [0, 1, 2, 3, 6, 7]


def test_figures_are_embedded_with_words_until_there_is_no_room(tmp_path, monkeypatch):
    for name in ("test_rates.png", "loss.png", "test_psth.pdf", "test_own_kind.svg"):
        (tmp_path / name).write_bytes(b"x" * 300)
    found, left_out = embedded_figures(tmp_path)
    assert [figure.title for figure in found] == ["Loss", "Rates", "Own kind"] and left_out == ["test_psth.pdf"]
    assert all(figure.about and figure.source.startswith("data:image/") for figure in found)
    monkeypatch.setattr("lfadsx.report.embedded_figures.FIGURE_ROOM", 500)
    assert embedded_figures(tmp_path)[1] == ["test_rates.png", "test_psth.pdf", "test_own_kind.svg"]
    assert embedded_figures(tmp_path / "none") == ([], [])
