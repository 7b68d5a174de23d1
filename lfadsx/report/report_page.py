"""Writes the page: reads the run folder, fills the template, and writes one file."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

import jinja2
from plotly.offline import get_plotlyjs

from lfadsx.data.dataset import Dataset
from lfadsx.errors import DataError, RunError
from lfadsx.files import plain, write_text
from lfadsx.plotting.units import in_words_for
from lfadsx.report.embedded_figures import embedded_figures
from lfadsx.report.methods_paragraph import finished_metrics
from lfadsx.report.report_content import report_content
from lfadsx.report.trial_browser import trial_browser
from lfadsx.results.results_file import read_posterior
from lfadsx.training import RunFolder
from lfadsx.training.recorded_data import data_of_run

log = logging.getLogger("lfadsx")

TEMPLATE = Path(__file__).parent / "page"
SCRIPTS = ("arrays.js", "charts.js", "training.js", "trial_browser.js", "page.js")
"""Scripts of the page, in the order in which they are needed."""


def write_page(run: str | Path, data: Dataset | None) -> Path:
    """Writes the page of a run; arguments and errors as of `lfadsx.report.write_report`."""
    folder = RunFolder(run)
    metrics = finished_metrics(folder)
    if not folder.posterior.is_file():
        raise RunError(
            f"The report page of the run {folder.path} needs its posterior.h5, which is not there. Infer the trials "
            "again with its fit command."
        )
    posterior = read_posterior(folder.posterior, metrics["split"])
    browser = trial_browser(posterior, recorded(run) if data is None else data)
    say = functools.partial(in_words_for, browser["are_counts"])
    figures, left_out = embedded_figures(folder.figures)
    content = report_content(folder, metrics)
    scores = (metrics.get("detail") or {}).get("per_neuron", {})
    for session in browser["sessions"]:
        _add_scores(session, scores)
    html = template().render(
        **content,
        figures=figures,
        say=say,
        figures_left_out=left_out,
        browser=plain(browser),
        plotly=get_plotlyjs(),
        style=(TEMPLATE / "report.css").read_text(encoding="utf-8"),
        scripts=[(TEMPLATE / name).read_text(encoding="utf-8") for name in SCRIPTS],
    )
    return write_text(folder.report_page, html)


def recorded(run: str | Path) -> Dataset | None:
    """Returns the data set of a run from its files, or None, with a line in the log, if they are not found."""
    try:
        return data_of_run(run)
    except (DataError, RunError) as error:
        log.warning("The report shows no recorded data: %s", error)
        return None


@functools.cache
def template() -> jinja2.Template:
    """Returns the template of the page; values are escaped unless the template marks them as safe."""
    loader = jinja2.FileSystemLoader(TEMPLATE, encoding="utf-8")
    place = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    place.filters["score"] = lambda value: "–" if value is None else f"{value:z.3f}".replace("-", "−")
    return place.get_template("report.html")


def _add_scores(session: dict, per_neuron: dict) -> None:
    """Adds the scores of each neuron of a session, by measure."""
    for neuron in session["neurons"]:
        scored = {measure: of[session["name"]] for measure, of in per_neuron.items() if session["name"] in of}
        found = {measure: values[neuron["number"]] for measure, values in scored.items()}
        neuron["scores"] = {measure: value for measure, value in found.items() if value is not None}
