"""Progress of long steps: silent by default, lines where no bar can be drawn."""

import pytest

from lfadsx import progress


def test_steps_are_silent_unless_switched_on(capfd):
    assert list(progress.steps([1, 2], "inference")) == [1, 2]
    with progress.progress_shown(), progress.progress_shown(False), progress.step("drawing"):
        pass
    assert capfd.readouterr() == ("", "")


def test_without_a_terminal_a_step_is_a_line_and_a_slow_one_says_how_far_it_is(capfd, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    with progress.progress_shown():
        assert list(progress.steps("abc", "inference")) == ["a", "b", "c"]
    assert capfd.readouterr().err.splitlines() == ["inference ...", "inference: 1 of 3", "inference: 2 of 3"]


def test_a_bar_is_drawn_in_a_notebook(capfd, monkeypatch):
    monkeypatch.setattr(progress, "is_live", lambda: True)
    with progress.progress_shown():
        list(progress.steps([1, 2], "scoring"))
    assert "scoring:   0%|" in capfd.readouterr().err


def test_an_error_in_a_step_passes_through():
    with pytest.raises(ZeroDivisionError), progress.progress_shown(), progress.step("drawing"):
        1 / 0  # noqa: B018
    assert list(progress.steps([1], "drawing")) == [1]
