"""The history of a population: lineages, results of generations, the table, the CSV file and the figures."""

import dataclasses
import re

import matplotlib.text
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from lfadsx import plotting
from lfadsx.config import HyperParams
from lfadsx.plotting.style import BLUE, ORANGE
from lfadsx.training import CsvLog, GenerationTable, Progress, ProgressBar
from lfadsx.training.callbacks import table_line
from lfadsx.training.history import Row, ancestry, generations, lineage, ranking, read_rows, summary

PARENTS = [[0, 1, 2, 3], [0, 1, 1, 3], [2, 1, 2, 0]]
"""Three generations: 2 is given the weights of 1; then 0 those of 2, and 3 those that 0 had."""
SCORES = [[9.0, 5.0, 12.0, 8.0], [7.0, 4.5, 4.0, 11.0], [3.0, 4.2, 3.5, 6.5]]
RATES = [[0.1, 0.004, 0.3, 0.02], [0.1, 0.004, 0.005, 0.02], [0.006, 0.004, 0.005, 0.08]]


def make(parents=PARENTS, scores=SCORES, active=None, n_evaluations=2, **hyper) -> list[Row]:
    """Makes rows: one list per generation with one entry per member; a score falls to the one given at the end."""
    hyper = hyper or {"learning_rate": RATES}
    rows = []
    for g in range(len(parents)):
        for evaluation in range(1, n_evaluations + 1):
            for member in range(len(parents[0])):
                own = dataclasses.asdict(HyperParams(**{name: values[g][member] for name, values in hyper.items()}))
                row = {
                    "generation": g + 1,
                    "epoch": 10 * g + 10 * evaluation // n_evaluations,
                    "member": member,
                    "parent": parents[g][member],
                    "active": 1 if active is None else active[g][member],
                    "score": scores[g][member] + n_evaluations - evaluation,
                    "best_score": np.nanmin([np.inf, *(row[member] for row in scores[: g + 1])]),
                    "loss": 2 * scores[g][member],
                    "skipped": 0,
                }
                rows.append({name: float(value) for name, value in (row | own).items()})
    return rows


def words(figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))


def panels(figure) -> dict:
    return {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_title(loc="left")}


def lines_of(ax, colour) -> list:
    return [line for line in ax.get_lines() if to_hex(line.get_color()).lower() == colour.lower()]


def segments_of(ax, colour) -> np.ndarray:
    collections = [c for c in ax.collections if isinstance(c, LineCollection)]
    (found,) = [c for c in collections if to_hex(np.asarray(c.get_color())[0]) == colour.lower()]
    return np.array(found.get_segments())


def test_the_last_row_of_a_generation_counts_in_any_order():
    rows = make()
    for given in (rows, rows[::-1]):
        table = generations(given)
        np.testing.assert_array_equal(table["score"], SCORES)
        np.testing.assert_array_equal(table["learning_rate"], RATES)
        np.testing.assert_array_equal(table["epoch"], [[10] * 4, [20] * 4, [30] * 4])
    assert generations([]) == {}
    missing = generations([row for row in rows if (row["generation"], row["member"]) != (2, 1)])
    assert np.argwhere(np.isnan(missing["score"])).tolist() == [[1, 1]]


def test_lineages_follow_the_weights_back():
    rows = make()
    assert [lineage(rows, member) for member in range(4)] == [[1, 2, 0], [1, 1, 1], [1, 2, 2], [0, 0, 3]]
    assert lineage(rows[:8], 2) == [2]
    for member in (-1, 4):
        with pytest.raises(ValueError, match=f"must be below 4, the number of members in the history, got {member}"):
            lineage(rows, member)
    with pytest.raises(ValueError, match="must be below 0"):
        lineage([], 0)


def test_an_ancestry_is_the_history_of_one_run():
    path = ancestry(make()[::-1], 0)
    assert [row["epoch"] for row in path] == [5, 10, 15, 20, 25, 30]
    assert [row["member"] for row in path] == [1, 1, 2, 2, 0, 0]
    assert [row["score"] for row in path] == [6.0, 5.0, 5.0, 4.0, 4.0, 3.0]
    assert [row["learning_rate"] for row in path] == [0.004, 0.004, 0.005, 0.005, 0.006, 0.006]


def test_ranks_are_by_the_best_score_and_before_there_is_one_by_the_last():
    nan, inf = float("nan"), float("inf")
    scores = [[9.0, 6.0, 8.0, nan], [7.0, nan, 4.0, nan], [9.0, nan, nan, nan]]
    assert ranking(make(scores=scores)) == [2, 1, 0, 3]
    before = [row | {"best_score": inf} for row in make(scores=scores)]
    assert ranking(before) == [2, 1, 0, 3]
    assert ranking([row | {"best_score": 5.0 if row["member"] == 3 else inf} for row in before]) == [2, 3, 1, 0]
    assert ranking([]) == []


def test_a_member_that_stops_early_keeps_its_last_score():
    rows = make()
    for row in rows[-4:]:
        if row["member"] < 2:
            row.update(active=0.0, score=float("nan"))
    assert generations(rows)["score"][2].tolist() == [4.0, 5.2, 3.5, 6.5]
    found = summary(rows)
    assert (found["best_member"], found["best"], found["n_inactive"], found["not_finite"]) == (2, 3.5, 2, [])
    assert found["epoch"] == 30


def test_summary_of_the_last_generation():
    nan = float("nan")
    active = [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]]
    found = summary(make(scores=[*SCORES[:2], [3.0, 4.0, nan, nan]], active=active))
    expected = dict(generation=3, epoch=30, best=3.0, median=3.5, worst=4.0, best_member=0)
    assert found == expected | dict(copies=[(2, 0), (0, 3)], n_inactive=1, not_finite=[2])
    lost = summary(make(scores=[[nan] * 4] * 3))
    assert np.isnan(lost["best"]) and lost["best_member"] is None and lost["not_finite"] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="must have rows"):
        summary([])


def progress(rows, epoch, reason="") -> Progress:
    done = [row for row in rows if row["epoch"] <= epoch]
    return Progress(epoch, 30, done, None, generation=-(-epoch // 10), reason=reason)


def run(callback, rows, first=1, last=3) -> None:
    """Calls a callback as a run does that begins with one generation and ends with another."""
    callback.on_start(progress(rows, 10 * (first - 1)))
    for generation in range(first, last + 1):
        for epoch in range(10 * generation - 9, 10 * generation + 1):
            callback.on_epoch_end(progress(rows, epoch))
        callback.on_generation_end(progress(rows, 10 * generation))
    callback.on_end(progress(rows, 10 * last, "last epoch"))


@pytest.fixture
def terminal(capsys, monkeypatch):
    """The output to a terminal."""
    monkeypatch.setattr("lfadsx.training.callbacks.is_live", lambda: True)
    return capsys


def test_the_table_has_one_line_per_generation(terminal):
    run(GenerationTable(), make())
    out, err = terminal.readouterr()
    table = [line for line in err.replace("\r", "\n").splitlines() if re.match(r" +\d+ +\d+ ", line)]
    assert out == "" and err.count("median") == 1
    assert [line.split() for line in table] == [
        ["1", "10", "5.00", "8.50", "12.00", "1", "0.0"],
        ["2", "20", "4.00", "5.75", "11.00", "2", "0.0", "1", "->", "2"],
        ["3", "30", "3.00", "3.85", "6.50", "0", "0.0", "2", "->", "0,", "0", "->", "3"],
    ]
    assert "30/30" in err and "training (last epoch)" in err and "generation 3, best 3.00" in err


def test_the_bar_of_a_resumed_run_starts_there(terminal):
    run(GenerationTable(), make(), first=3)
    err = terminal.readouterr().err
    assert "20/30" in err and "30/30" in err and "10/30" not in err


def test_a_plain_bar_shows_the_best_member(terminal):
    run(ProgressBar(), make())
    err = terminal.readouterr().err
    assert "loss 6.00, validation 6.50 (best 3.00)" in err and "30/30" in err and "median" not in err


def test_a_generation_is_read_off_its_last_evaluation():
    """The epochs after it have no scores, since nothing was evaluated."""
    rows = make()
    after = [row | {"epoch": 31.0, "evaluated": 0.0, "score": float("nan")} for row in rows[-4:]]
    for given in ([*rows, *after], [*after, *rows]):
        np.testing.assert_array_equal(generations(given)["score"], SCORES)
        assert summary(given)["best"] == 3.0 and summary(given)["not_finite"] == []


def test_lines_stay_short_and_name_what_failed():
    nan = float("nan")
    parents = [[0] * 10]
    active = [[1] * 8 + [0] * 2]
    found = summary(make(parents, [[5.0] + [nan] * 9], active, learning_rate=[[0.1] * 10]))
    line = table_line(found, 2.04)
    assert "2.0  0 -> 1, 0 -> 2, 0 -> 3, 0 -> 4, 0 -> 5, 0 -> 6 and 3 more; 2 inactive" in line
    assert line.endswith("not finite: 1, 2, 3, 4, 5, 6, 7")
    lost = summary(make([[0, 1]], [[nan, nan]], learning_rate=[[0.1, 0.1]]))
    assert table_line(lost, 0.0).split()[2:6] == ["-", "-", "-", "-"]


def same(found, expected) -> None:
    assert [list(row) for row in found] == [list(row) for row in expected]
    np.testing.assert_allclose([list(r.values()) for r in found], [list(r.values()) for r in expected], rtol=1e-7)


def test_the_csv_file_has_every_row_and_comes_back(tmp_path):
    scores = [[9.0, float("nan"), 1234.5678, 1e7]] * 3
    rows = make(scores=scores)
    log = CsvLog(tmp_path / "population.csv")
    log.on_start(progress(rows, 0))
    assert read_rows(log.path) == []
    for epoch in (1, 5, 10, 20, 20):
        log.on_epoch_end(progress(rows, epoch))
        same(read_rows(log.path), progress(rows, epoch).rows)


def test_a_resumed_run_writes_the_csv_file_anew(tmp_path):
    rows = make()
    path = tmp_path / "population.csv"
    run(CsvLog(path), rows)
    whole = path.read_bytes()
    # Lines written after the last checkpoint, and a line that was cut off.
    path.write_bytes(whole[:-7])
    resumed = CsvLog(path)
    resumed.on_start(progress(rows, 10))
    same(read_rows(path), rows[:8])
    run(resumed, rows, first=2)
    assert path.read_bytes() == whole
    wider = [*rows[:8], *({**row, "extra": 1.0} for row in rows[8:])]
    run(CsvLog(path), wider)
    assert [row["extra"] for row in read_rows(path)[7:9]] == [pytest.approx(float("nan"), nan_ok=True), 1.0]


def test_scores_break_where_weights_were_copied():
    figure = plotting.scores_figure(sorted(make(), key=lambda row: (-row["epoch"], row["member"])))
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Nats per trial")
    copies = [[[10, 5.0], [15, 5.0]], [[20, 4.0], [25, 4.0]], [[20, 7.0], [25, 7.5]]]
    np.testing.assert_array_equal(segments_of(ax, BLUE), copies)
    (best,) = lines_of(ax, ORANGE)
    np.testing.assert_array_equal(best.get_xdata(), [5, 10, 15, 20, 25, 30])
    np.testing.assert_array_equal(best.get_ydata(), [6.0, 5.0, 5.0, 4.0, 4.0, 3.0])
    assert "Population of 4, 3 generations, member 0 is the best" in words(figure)
    assert "weights copied" in words(figure)


def test_one_bad_generation_or_member_does_not_flatten_the_scores():
    early = plotting.scores_figure(make(scores=[[1e9] * 4, *SCORES[1:]])).axes[0]
    assert early.get_ylim()[0] < 3 and early.get_ylim()[1] < 40
    assert early.get_title(loc="left") == "Selection score, 8 of 24 off the axis"
    member = plotting.scores_figure(make(scores=[[*row[:3], 1e9] for row in SCORES])).axes[0]
    assert member.get_ylim()[1] < 40
    two = plotting.scores_figure(make([[0, 1]], [[5.0, 1e9]], n_evaluations=3, learning_rate=[[0.1, 0.2]])).axes[0]
    assert two.get_ylim()[1] < 40
    assert "off" not in words(plotting.scores_figure(make(scores=[[5.0] * 4] * 3)))
    with pytest.raises(ValueError, match="must have a finite score"):
        plotting.scores_figure(make(scores=[[float("nan")] * 4] * 3))


def test_hyperparameters_that_never_differ_are_left_out():
    dropout = [[0.1, 0.2, 0.3, 0.1]] * 3
    figure = plotting.hyperparameters_figure(
        make(learning_rate=RATES, dropout_rate=dropout, kl_ic_scale=[[0.5] * 4] * 3)
    )
    assert figure is not None
    shown = panels(figure)
    assert list(shown) == ["learning_rate", "dropout_rate"]
    assert shown["learning_rate"].get_yscale() == "log" and shown["dropout_rate"].get_yscale() == "linear"
    (best,) = lines_of(shown["learning_rate"], ORANGE)
    np.testing.assert_array_equal(best.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(best.get_ydata(), [0.004, 0.005, 0.006])
    assert "given up" in words(figure) and "Rank at the end (1: best)" in words(figure)
    assert plotting.hyperparameters_figure(make(cd_rate=[[0.4] * 4] * 3)) is None
    assert plotting.hyperparameters_figure([]) is None


def test_axes_of_hyperparameters_with_zeros_and_of_a_change_that_all_make():
    zeros = plotting.hyperparameters_figure(make(l2_scale=[[0.0, 0.1, 10.0, 100.0]] * 3))
    together = plotting.hyperparameters_figure(make(kl_ic_scale=[[0.1] * 4, [1.0] * 4, [10.0] * 4]))
    assert zeros is not None and together is not None
    assert panels(zeros)["l2_scale"].get_yscale() == "linear"
    assert panels(together)["kl_ic_scale"].get_yscale() == "log"


def test_values_of_members_that_do_not_train_are_not_drawn():
    active = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]
    nan = float("nan")
    scores = [SCORES[0], [*SCORES[1][:3], nan], [*SCORES[2][:2], nan, nan]]
    own = [[0, 1, 2, 3]] * 3
    figure = plotting.hyperparameters_figure(make(own, scores, active, learning_rate=[[0.1, 0.2, 0.3, 0.4]] * 3))
    assert figure is not None and "given up" not in words(figure)
    courses = [np.asarray(line.get_ydata()) for line in figure.axes[0].get_lines()[1:]]
    drawn = {course[0]: np.isfinite(course).sum() for course in courses}
    assert drawn == {0.1: 3, 0.2: 3, 0.3: 2, 0.4: 1}


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("n_evaluations", [1, 3])
def test_figures_of_a_single_generation(n_members, n_evaluations):
    rows = make([list(range(n_members))], [SCORES[0][:n_members]], None, n_evaluations, learning_rate=[RATES[0]])
    scores, hyper = plotting.scores_figure(rows), plotting.hyperparameters_figure(rows)
    scores.draw_without_rendering()
    assert "nan" not in words(scores) and "copied" not in words(scores)
    assert (hyper is None) == (n_members == 1)
    if hyper is not None:
        hyper.draw_without_rendering()
        assert hyper.axes[0].get_xticks().tolist() == [1]
