"""The report page in a real browser: no errors, no requests, and charts that follow the chosen trial and neuron.

Needs Playwright (extra `test`) and a Chromium or Chrome on the path; `CHROMIUM` may name its program.
"""

import os
import shutil

import numpy as np
import pytest
from test_report import HOSTILE, made_run, recording

import lfadsx
from lfadsx import report

pytestmark = pytest.mark.slow
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    "--no-sandbox --disable-gpu --enable-unsafe-swiftshader --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update"
)
NOISE = ("Canvas2D", "GL Driver Message")
"""Beginnings of hints on speed, which Chromium gives without a graphics card."""


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs a Chromium or Chrome on the path, or its program in CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=ARGUMENTS.split())
        yield browser
        browser.close()


def both_sessions():
    """Two sessions with hostile names, conditions and behaviour."""
    names = [f"<img src=x onerror=alert({i})>" for i in range(6)]
    monday = recording(session=HOSTILE, channel_names=names)
    return lfadsx.concatenate(monday, recording(session="tuesday", n_neurons=4))


def plain_session():
    """No conditions, no behaviour, no test trials, trials of different length, no bin width."""
    trials = [np.random.default_rng(i).poisson(1.0, (8 + i % 5, 4)) for i in range(24)]
    return lfadsx.from_arrays(trials, forward_bins=2, valid_fraction=0.4)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The files of two pages by name."""
    found = {}
    for name, data, n_factors in (("full", both_sessions(), 3), ("plain", plain_session(), 1)):
        folder, _ = made_run(tmp_path_factory.mktemp("pages") / name, data, n_factors=n_factors)
        found[name] = report.write_report(folder.path, data)
    return found


@pytest.fixture
def opened(chromium, pages):
    """Opens a page and returns it; at the end there must be no errors and no requests but for the file."""
    said, contexts = [], []

    def open_page(name, **how):
        contexts.append(chromium.new_context(**how))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append("alert"), dialog.dismiss()))
        page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
        page.goto(pages[name].as_uri())
        page.wait_for_function("document.querySelector('#status').textContent !== ''")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in said if not any(noise in text for noise in NOISE)] == []


def drawn(page, id):
    """The values of the inferred rates that a chart shows."""
    return page.evaluate(f"document.getElementById('{id}').data.find((of) => of.name?.includes('inferred')).y")


def status(page):
    return page.inner_text("#status")


def test_buttons_keys_and_menus_change_trial_neuron_and_session(opened):
    page = opened("full", viewport={"width": 1280, "height": 900})
    first, rates = status(page), drawn(page, "neuron-chart")
    page.click("#trial-after")
    assert status(page) != first and drawn(page, "neuron-chart") != rates
    assert "(2 of" in status(page) and page.is_enabled("#trial-before")
    page.keyboard.press("ArrowLeft")
    assert status(page) == first and drawn(page, "neuron-chart") == rates
    page.select_option("#neuron", "0")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Shift+ArrowRight")
    assert page.input_value("#neuron") == "1" and "onerror=alert(1)" in status(page)
    page.select_option("#condition", "2")
    assert "condition 2" in status(page) and "condition 2" in page.inner_text("#psth-about")
    page.select_option("#session", "1")
    assert "session tuesday" in status(page) and page.locator("#neuron option").count() == 4
    assert page.evaluate("document.querySelector('#factors').data.some((of) => of.type === 'scatter3d')")
    assert page.is_visible("#behaviour") and page.is_visible("#inputs")


def test_the_chart_shows_the_rates_of_the_posterior(opened, pages):
    page = opened("full")
    posterior = lfadsx.read_posterior(pages["full"].parent / "posterior.h5")
    trial, neuron = page.evaluate("[browser.trials[chosen.trial].id, chosen.neuron]")
    row = list(map(str, posterior.trial_id)).index(trial)
    np.testing.assert_allclose(drawn(page, "neuron-chart"), posterior.rates_hz()[row, :, neuron], atol=1e-2)


def test_a_click_on_an_image_chooses_its_neuron(opened):
    page = opened("full", viewport={"width": 1280, "height": 900})
    page.select_option("#neuron", "0")
    page.evaluate("document.getElementById('counts').scrollIntoView({ block: 'center' })")
    box = page.locator("#counts .nsewdrag").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.95)
    page.wait_for_function("chosen.neuron === 5")


def test_a_phone_swipes_to_the_next_trial_and_never_scrolls_sideways(opened):
    page = opened("full", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    first = status(page)
    page.evaluate(
        """() => {
            const target = document.getElementById("psth");
            const at = (x) => [new Touch({ identifier: 1, target, clientX: x, clientY: 300 })];
            const event = (type, more) => target.dispatchEvent(new TouchEvent(type, { bubbles: true, ...more }));
            event("touchstart", { touches: at(300) });
            event("touchend", { touches: [], changedTouches: at(100) });
        }"""
    )
    assert status(page) != first and "(2 of" in status(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_plain_run_has_only_the_charts_that_it_has_data_for(opened, scheme):
    page = opened("plain", color_scheme=scheme)
    assert page.is_hidden("#condition-choice") and page.is_hidden("#session-choice") and page.is_hidden("#behaviour")
    assert "of 10)" in status(page) or "of 9)" in status(page)
    ink = page.evaluate("document.getElementById('psth').layout.font.color")
    assert ink == {"light": "#1f2328", "dark": "#e8eaed"}[scheme]


def test_a_print_has_light_colours_and_open_settings(opened):
    page = opened("plain", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.getElementById('psth').layout.font.color") == "#1f2328"
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0
