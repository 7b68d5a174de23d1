"""Search: ranges and their perturbations, strategies, and their descriptions."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lfadsx import HyperParams, search
from lfadsx.search import PBT, Decision, Ensemble, Generation, RandomSearch, Range, Space
from lfadsx.search.space import limits

NAMES = [field.name for field in dataclasses.fields(HyperParams)]
SPACES = [Space.default(), Space.autolfads()]


def members(n, **values):
    """Hyperparameters of n members, some of them given."""
    return dataclasses.replace(search.repeat(HyperParams(), n), **values)


def generation(scores: Any, number: int = 1, active: Any = None, **values: Any) -> Generation:
    active = np.ones(len(scores), bool) if active is None else np.asarray(active)
    return Generation(number, np.asarray(scores, float), members(len(scores), **values), active)


def of(hyper: HyperParams, name: str) -> Any:
    """Values of one hyperparameter, shape (member,); a type checker knows them as numbers."""
    return getattr(hyper, name)


def assert_equal(left: HyperParams, right: HyperParams, where: Any = slice(None)) -> None:
    for name in NAMES:
        np.testing.assert_array_equal(of(left, name)[where], of(right, name)[where], name)


def p_value(values: Any, law: Any) -> float:
    """Probability, after Kolmogorov and Smirnov, that values so far from a law (or other values) are drawn from it."""
    result: Any = stats.kstest(values, law)
    return result.pvalue


def perturbed(values, how, n=20_000, name="kl_co_scale", **settings):
    """The values of n members after a perturbation of one value."""
    space = Space({name: Range(1e-3, 10.0, **settings)})
    hyper = members(n, **{name: np.full(n, values)})
    return getattr(space.perturb(np.random.default_rng(1), hyper, np.ones(n, bool), how), name)


# Spaces


@pytest.mark.parametrize(("log", "low", "high"), [(False, 0.0, 0.6), (False, 0.1, 0.7), (True, 1e-6, 1e-3)])
def test_draws_are_uniform_in_the_value_or_in_its_logarithm(log, low, high):
    space = Space({"kl_ic_scale": Range(low, high, log=log)})
    values = of(space.sample(np.random.default_rng(0), 5000, HyperParams()), "kl_ic_scale")
    scale = np.log if log else np.asarray
    law = stats.uniform(scale(low), scale(high) - scale(low))
    assert values.min() >= low and values.max() <= high
    assert p_value(scale(values), law.cdf) > 1e-3


def test_what_has_a_start_or_no_range_is_not_drawn():
    space = Space({"learning_rate": Range(1e-3, 1e-2, start=4e-3), "cd_rate": Range(0.1, 0.7)})
    hyper = space.sample(np.random.default_rng(0), 6, HyperParams(learning_rate=1.0, dropout_rate=0.3))
    for name in NAMES:
        assert of(hyper, name).shape == (6,) and of(hyper, name).dtype == np.float64
    np.testing.assert_array_equal(hyper.learning_rate, 4e-3)
    np.testing.assert_array_equal(hyper.dropout_rate, 0.3)
    assert len(set(of(hyper, "cd_rate"))) == 6


@pytest.mark.parametrize("how", ["log", "linear"])
@pytest.mark.parametrize("space", SPACES, ids=["default", "autolfads"])
def test_values_stay_inside_their_bounds_over_many_perturbations(space, how):
    rng, n = np.random.default_rng(0), 50
    hyper = space.sample(rng, n, HyperParams())
    for _ in range(200):
        hyper = space.perturb(rng, hyper, np.ones(n, bool), how)
        for name, span in space.ranges.items():
            low, high = (span.low, span.high) if span.bounded else limits(name)
            assert np.all((low <= of(hyper, name)) & (of(hyper, name) <= high)), name
    free = [of(hyper, name) for name, span in space.ranges.items() if not span.bounded]
    assert any(np.any(values < 1e-8) or np.any(values > 1) for values in free)


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_those_that_hyperparameters_have(name):
    low, high = limits(name)
    for value in (low, high):
        HyperParams(**{name: float(np.float32(value))}).check()
    with np.errstate(over="ignore"):
        above = np.nextafter(np.float32(high), np.float32(np.inf))
    for value in (low - float(np.finfo(np.float32).tiny), float(above)):
        with pytest.raises(ValueError, match=f"`{name}` must be "):
            HyperParams(**{name: value}).check()


@pytest.mark.parametrize("name", ["learning_rate", "dropout_rate", "cd_rate", "cd_pass_rate", "kl_ic_scale"])
def test_values_without_bounds_never_become_impossible(name):
    rng, low, high = np.random.default_rng(0), *limits(name)
    space = Space({name: Range(0.1, 0.9, width=3.0, bounded=False)})
    hyper = space.sample(rng, 30, HyperParams())
    for _ in range(300):
        hyper = space.perturb(rng, hyper, np.ones(30, bool), "linear")
        for value in of(hyper, name).astype(np.float32):
            HyperParams(**{name: float(value)}).check()
        assert np.all((of(hyper, name) >= low) & (of(hyper, name) <= high))


def test_a_linear_perturbation_is_a_share_of_the_value_in_either_direction():
    changes = perturbed(0.5, "linear", width=0.3) / 0.5 - 1
    assert np.abs(changes).min() >= 0.99 * 0.002 * 0.3
    assert p_value(np.abs(changes), stats.uniform(0.002 * 0.3, 0.998 * 0.3).cdf) > 1e-3
    assert abs(np.mean(changes > 0) - 0.5) < 5 * 0.5 / np.sqrt(len(changes))


def test_a_logarithmic_perturbation_is_symmetric_in_the_logarithm():
    changes = np.log(perturbed(0.5, "log", width=0.8) / 0.5) / np.log(1.8)
    assert np.abs(changes).min() >= 0.99 * 0.002
    assert p_value(np.abs(changes), stats.uniform(0.002, 0.998).cdf) > 1e-3
    assert p_value(changes[::2], -changes[1::2]) > 1e-3


def test_only_linear_perturbations_drift():
    n, steps, rng = 4000, 40, np.random.default_rng(0)
    space = Space({"kl_co_scale": Range(1e-3, 1.0, width=0.8, bounded=False)})
    drifts = {}
    for how in ("log", "linear"):
        hyper = members(n, kl_co_scale=np.full(n, 0.1))
        for _ in range(steps):
            hyper = space.perturb(rng, hyper, np.ones(n, bool), how)
        drift = np.log(hyper.kl_co_scale / 0.1)
        drifts[how] = drift.mean() / (drift.std() / np.sqrt(n))
    assert abs(drifts["log"]) < 5 and drifts["linear"] < -50


def test_members_and_hyperparameters_are_perturbed_by_themselves():
    space = Space({"kl_ic_scale": Range(0.0, 1.0, bounded=False), "kl_co_scale": Range(0.0, 1.0, bounded=False)})
    hyper = members(5000, cd_rate=np.linspace(0, 0.5, 5000))
    which = np.arange(5000) % 3 > 0
    changed = space.perturb(np.random.default_rng(0), hyper, which)
    assert_equal(changed, hyper, ~which)
    np.testing.assert_array_equal(changed.cd_rate, hyper.cd_rate)
    first, second = of(changed, "kl_ic_scale")[which], of(changed, "kl_co_scale")[which]
    assert len(np.unique(first)) == len(first)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(len(first))
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 5 / np.sqrt(len(first))


def test_what_leaves_its_range_is_drawn_again():
    values = perturbed(9.0, "linear", width=0.5)  # the range ends at 10
    down, up = (9 - values[values < 9]) / 4.5, values[values > 9] - 9
    assert len(down) + len(up) == len(values)
    assert p_value(up, stats.uniform(0.009, 0.991).cdf) > 1e-3, "no heap at the end of the range"
    assert p_value(down, stats.uniform(0.002, 0.998).cdf) > 1e-3


@pytest.mark.parametrize(("value", "expected"), [(100.0, 10.0), (1e-5, 1e-3)])
def test_what_no_draw_brings_inside_is_cut_off(value, expected):
    np.testing.assert_array_equal(perturbed(value, "log", n=20), expected)


def test_the_space_of_autolfads_is_that_of_its_script():
    space = Space.autolfads()
    kl = dict(log=True, start=None, width=0.8, bounded=False)
    expected = {
        "learning_rate": dict(low=1e-5, high=5e-3, log=True, start=4e-3, width=0.3, bounded=True),
        "dropout_rate": dict(low=0.0, high=0.6, log=False, start=None, width=0.3, bounded=True),
        "cd_rate": dict(low=0.01, high=0.7, log=False, start=0.5, width=0.3, bounded=True),
        "kl_co_scale": dict(low=1e-6, high=1e-4, **kl),
        "kl_ic_scale": dict(low=1e-6, high=1e-3, **kl),
        "l2_gen_scale": dict(low=1e-4, high=1.0, **kl),
        "l2_con_scale": dict(low=1e-4, high=1.0, **kl),
    }
    assert dataclasses.asdict(space) == {"ranges": expected, "reduction": "mean"}
    strategy = PBT.autolfads()
    assert (strategy.space, strategy.perturbation, strategy.begin) == (space, "linear", "space")
    assert (strategy.patience, strategy.min_improvement) == (4, 5e-4)


def test_the_default_space_holds_the_defaults():
    space = Space.default()
    for name, span in space.ranges.items():
        assert span.low < getattr(HyperParams(), name) < span.high
    assert space.reduction == "sum" and not [name for name in space.ranges if name.startswith("l2_")]


def test_spaces_are_converted_as_hyperparameters_are():
    rates = {"learning_rate", "weight_decay", "dropout_rate", "cd_rate", "cd_pass_rate", "temporal_shift"}
    rates |= {"sv_rate", "neuron_dropout_rate", "spike_jitter_rate", "amplitude_noise", "other_targets_scale"}
    space = Space({name: Range(0.1, 0.5, log=True, start=0.2, width=0.7) for name in NAMES}, "mean")
    converted = space.converted("sum", 45 * 182)
    assert converted.reduction == "sum" and converted.converted("sum", 7) is converted
    for end in ("low", "high", "start"):
        expected = HyperParams(**{name: getattr(span, end) for name, span in space.ranges.items()}).summed(45, 182)
        for name, span in converted.ranges.items():
            assert getattr(span, end) == pytest.approx(getattr(expected, name), rel=1e-12)
            assert (getattr(span, end) == getattr(space.ranges[name], end)) == (name in rates)
            assert (span.width, span.log) == (0.7, True)
    back = converted.converted("mean", 45 * 182)
    for name, span in back.ranges.items():
        assert dataclasses.astuple(span) == pytest.approx(dataclasses.astuple(space.ranges[name]), rel=1e-12)
    assert Space.autolfads().converted("sum", 10).ranges["dropout_rate"].start is None


@pytest.mark.parametrize("strategy", [PBT.autolfads(), RandomSearch(Space.autolfads())])
def test_strategies_take_their_space_into_the_convention_of_the_run(strategy):
    prepared = strategy.prepared("sum", 100)
    assert prepared == dataclasses.replace(strategy, space=strategy.space.converted("sum", 100)) != strategy
    assert strategy.prepared("mean", 100) == strategy
    assert Ensemble().prepared("mean", 100) == Ensemble()


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"droput_rate": Range(0, 1)}, "must be of one of .*, got 'droput_rate' .did you mean 'dropout_rate'"),
        ({"zzz": Range(0, 1)}, "A range must be of one of learning_rate, weight_decay, .*, got 'zzz'."),
        ({"factors": Range(1, 9)}, "`factors` changes shapes of arrays .* cannot search over it. Run `lfadsx sweep`"),
        ({"batch_size": Range(1, 9)}, "`batch_size` is a setting of the run, which all members share. Set it"),
        ({"cd_rate": Range(0.7, 0.1)}, "`low` of the range of `cd_rate` must be at most `high`, got 0.7 and 0.1. Exch"),
        ({"cd_rate": Range(0.1, 1.5)}, "`cd_rate` must be from 0 to below 1, got 1.5."),
        ({"cd_rate": Range(float("nan"), 0.5)}, "`cd_rate` must be from 0 to below 1, got nan."),
        ({"l2_scale": Range(0.1, float("inf"))}, "`l2_scale` must be at least 0, got inf."),
        ({"cd_rate": Range(0, 0.5, log=True)}, "range of `cd_rate` must be above 0 if `log` is true, got 0."),
        (
            {"cd_rate": Range(0.1, 0.5, start=0.6)},
            "`start` of the range of `cd_rate` must be from 0.1 to 0.5, got 0.6.",
        ),
        ({"cd_rate": Range(0.1, 0.5, width=0.0)}, "`width` .* `cd_rate` must be above 0 and finite, got 0.0."),
        ({"cd_rate": Range(0.1, 0.5, width=float("inf"))}, "`cd_rate` must be above 0 and finite, got inf."),
    ],
)
def test_spaces_that_make_no_sense_are_named(ranges, message):
    with pytest.raises(ValueError, match=message):
        Space(ranges)


def test_an_unknown_reduction_is_named():
    with pytest.raises(ValueError, match="`reduction` must be 'sum' or 'mean', got 'total'."):
        Space({}, "total")  # pyright: ignore[reportArgumentType]


def test_spaces_do_not_change_with_what_they_were_made_of():
    ranges = {"cd_rate": Range(0.1, 0.5)}
    space = Space(ranges)
    ranges["factors"] = Range(1, 9)
    assert space == Space({"cd_rate": Range(0.1, 0.5)}) != Space({"cd_rate": Range(0.1, 0.5)}, "mean")


def test_equal_spaces_draw_equal_values():
    left = {"cd_rate": Range(0.1, 0.5), "kl_ic_scale": Range(0.1, 0.5)}
    right = dict(reversed(left.items()))
    drawn = [Space(ranges).sample(np.random.default_rng(3), 4, HyperParams()) for ranges in (left, right)]
    assert_equal(drawn[0], drawn[1])


@pytest.mark.parametrize("space", SPACES, ids=["default", "autolfads"])
def test_a_space_comes_back_from_its_file(space, tmp_path):
    space.to_json(tmp_path / "space.json")
    assert Space.from_json(tmp_path / "space.json") == space
    assert Space.from_dict(space.to_dict()) == space
    assert [path.name for path in tmp_path.iterdir()] == ["space.json"]


def test_a_file_needs_no_more_than_the_ends_of_a_range(tmp_path):
    (tmp_path / "a.json").write_text('{"reduction": "mean", "ranges": {"cd_rate": {"low": 0, "high": 0.5}}}')
    assert Space.from_json(str(tmp_path / "a.json")) == Space({"cd_rate": Range(0.0, 0.5)}, "mean")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "The file .*a.json' must hold JSON .* `Space.to_json` writes"),
        ("[1]", r"In .*a.json': The search space must be an object with the keys ranges, reduction, got \[1\]."),
        ('{"ranges": {}}', "In .*a.json': The search space must have the key 'reduction'. Add it."),
        ('{"reduction": "sum"}', "In .*a.json': The search space must have the key 'ranges'. Add it."),
        (
            '{"reduction": "sum", "ranges": {}, "seed": 1}',
            "keys of the search space must be ranges, reduction, got 'seed'",
        ),
        ('{"reduction": "max", "ranges": {}}', "In .*a.json': `reduction` must be 'sum' or 'mean', got 'max'"),
        (
            '{"reduction": "sum", "ranges": []}',
            r"`ranges` of the search space must be an object with a range for each name, got \[\]",
        ),
    ],
)
def test_files_that_hold_no_space_are_named(text, message, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        Space.from_json(tmp_path / "a.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="The file .*b.json' cannot be read .No such file or directory.. Check the"):
        Space.from_json(tmp_path / "b.json")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (0.5, "The range of `cd_rate` must be an object with the keys low, high, log, start, width, bounded, got 0.5."),
        ({"low": 0.1}, "The range of `cd_rate` must have the key 'high'. Add it."),
        ({"low": 0.1, "high": 0.5, "init": 0.2}, "The keys of the range of `cd_rate` must be low.*, got 'init'"),
        ({"low": "0.1", "high": 0.5}, "`low` of the range of `cd_rate` must be a number, got '0.1'."),
        ({"low": False, "high": 0.5}, "`low` of the range of `cd_rate` must be a number, got False."),
        ({"low": 0.1, "high": 0.5, "log": 1}, "`log` of the range of `cd_rate` must be true or false, got 1."),
        (
            {"low": 0.1, "high": 0.5, "start": "x"},
            "`start` of the range of `cd_rate` must be a number or null, got 'x'.",
        ),
        ({"low": 0.5, "high": 0.1}, "`low` of the range of `cd_rate` must be at most `high`"),
    ],
)
def test_ranges_of_a_file_that_make_no_sense_are_named(entries, message, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"reduction": "sum", "ranges": {"cd_rate": entries}}))
    with pytest.raises(ValueError, match=f"In .*a.json': {message}"):
        Space.from_json(tmp_path / "a.json")


# Strategies


def test_an_ensemble_stays_as_it_is():
    strategy, rng = Ensemble(), np.random.default_rng(0)
    assert_equal(strategy.start(rng, 3, HyperParams(cd_rate=0.6)), members(3, cd_rate=np.full(3, 0.6)))
    seen = generation([1.0, np.inf, 2.0], active=[True, False, True], cd_rate=np.array([0.1, 0.2, 0.3]))
    decision = strategy.decide(rng, seen)
    np.testing.assert_array_equal(decision.parents, [0, 1, 2])
    np.testing.assert_array_equal(decision.active, seen.active)
    assert_equal(decision.hyper, seen.hyper)
    assert strategy.early_stopping and not strategy.is_done([1.0] * 100)
    decision.active[0] = False
    assert seen.active[0], "what is decided must not change what was seen"


@pytest.mark.parametrize(("strategy", "least"), [(Ensemble(), 1), (RandomSearch(), 1), (PBT(), 2)])
def test_a_population_may_be_too_small(strategy, least):
    strategy.check(least)
    message = "training must have at least 2 members, got 1" if least == 2 else "must have at least 1 member, got 0"
    with pytest.raises(ValueError, match=message):
        strategy.check(least - 1)


def test_random_search_draws_what_has_a_start_too():
    hyper = RandomSearch(Space.autolfads()).start(np.random.default_rng(0), 50, HyperParams())
    for name, span in Space.autolfads().ranges.items():
        values = of(hyper, name)
        assert len(set(values)) == 50 and values.min() >= span.low and values.max() <= span.high


def test_random_search_without_halving_stops_nobody():
    decision = RandomSearch().decide(np.random.default_rng(0), generation([3.0, np.inf, 1.0]))
    assert decision.active.all() and list(decision.parents) == [0, 1, 2]


@pytest.mark.parametrize(
    ("n", "keep", "expected"),
    [(8, 0.5, [4, 2, 1, 1]), (7, 0.5, [4, 2, 1, 1]), (20, 0.25, [5, 1, 1, 1]), (10, 0.07, [1]), (100, 0.07, [7])],
)
def test_the_worst_stop_and_one_stays(n, keep, expected):
    rng = np.random.default_rng(0)
    strategy = RandomSearch(halvings=len(expected), keep=keep)
    active = np.ones(n, bool)
    for number, n_left in enumerate(expected, 1):
        scores = np.where(active, rng.permutation(n), np.inf)
        decision = strategy.decide(rng, generation(scores, number, active))
        assert decision.active.sum() == n_left and not np.any(decision.active & ~active)
        stopped = active & ~decision.active
        assert scores[decision.active].max() < scores[stopped].min(initial=np.inf)
        active = decision.active
    after = strategy.decide(rng, generation(np.zeros(n), len(expected) + 1))
    assert after.active.all()


def test_members_without_a_finite_score_stop_first_and_none_comes_back():
    strategy = RandomSearch(halvings=9, keep=0.75)
    stopped = [True, False, True, True, True]
    decision = strategy.decide(np.random.default_rng(0), generation([np.inf, np.inf, 9.0, 1.0, 2.0], active=stopped))
    assert list(decision.active) == [False, False, True, True, True]
    few = strategy.decide(np.random.default_rng(0), generation([np.inf, np.inf, 1.0], active=[False, True, True]))
    assert list(few.active) == [False, True, True]
    none = strategy.decide(np.random.default_rng(0), generation([np.inf] * 3, active=[False] * 3))
    assert not none.active.any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSearch(halvings=-1), "`halvings` must be at least 0, got -1."),
        (lambda: RandomSearch(keep=0.0), "`keep` must be above 0 and below 1, got 0.0."),
        (lambda: RandomSearch(keep=1.0), "`keep` must be above 0 and below 1, got 1.0."),
        (lambda: PBT(perturbation="cubic"), "`perturbation` must be 'log' or 'linear', got 'cubic'."),  # pyright: ignore[reportArgumentType]
        (lambda: PBT(patience=1), "`patience` must be at least 2 generations, got 1."),
        (lambda: PBT(min_improvement=-0.1), "`min_improvement` must be at least 0, got -0.1."),
    ],
)
def test_settings_that_make_no_sense_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Population-based training


@pytest.mark.parametrize("n", [4, 5])
def test_all_pairs_meet_equally_often_and_the_better_one_wins(n):
    strategy, seeds, scores = PBT(Space({})), 2000, np.random.default_rng(0).permutation(n)
    met, sat_out = np.zeros((n, n)), np.zeros(n)
    for seed in range(seeds):
        parents = strategy.decide(np.random.default_rng(seed), generation(scores)).parents
        losers = np.flatnonzero(parents != np.arange(n))
        assert len(losers) == n // 2 and len(set(parents[losers])) == n // 2
        assert np.all(scores[parents[losers]] < scores[losers])
        met[losers, parents[losers]] += 1
        met[parents[losers], losers] += 1
        sat_out[np.setdiff1d(np.arange(n), [*losers, *parents[losers]])] += 1
    # A member is paired with each other member with equal probability; with an odd number one sits out.
    share = 1 / (n - 1) if n % 2 == 0 else 1 / n
    margin = 5 * np.sqrt(share * (1 - share) * seeds)
    assert np.all(np.abs(met - share * seeds)[~np.eye(n, dtype=bool)] < margin)
    assert np.all(np.abs(sat_out - (n % 2) * share * seeds) < margin)


@pytest.mark.parametrize("how", ["log", "linear"])
def test_who_loses_goes_on_as_a_perturbed_copy_of_who_wins(how):
    space = Space({"learning_rate": Range(1e-4, 1.0, width=0.3), "kl_co_scale": Range(1e-4, 1.0, width=0.8)})
    n, rng = 20, np.random.default_rng(0)
    names = ("learning_rate", "kl_co_scale", "cd_rate", "l2_gen_scale")
    values: Any = {name: rng.uniform(0.1, 0.5, n) for name in names}
    seen = generation(rng.permutation(n), **values)
    decision = PBT(space, perturbation=how).decide(rng, seen)
    wins = decision.parents == np.arange(n)
    assert wins.sum() == n // 2 and decision.active.all()
    assert_equal(decision.hyper, seen.hyper, wins)
    parents, losers = decision.parents[~wins], np.flatnonzero(~wins)
    for name in ("cd_rate", "l2_gen_scale"):  # not in the space: an exact copy
        np.testing.assert_array_equal(of(decision.hyper, name)[losers], values[name][parents])
    for name, span in space.ranges.items():
        factors = of(decision.hyper, name)[losers] / values[name][parents]
        lowest = 1 / (1 + span.width) if how == "log" else 1 - span.width
        assert np.all((lowest <= factors) & (factors <= 1 + span.width) & (factors != 1))
        np.testing.assert_array_equal(of(seen.hyper, name), values[name])


@pytest.mark.parametrize("broken", [np.inf, np.nan, -np.inf])
def test_who_has_no_finite_score_loses(broken):
    for seed in range(50):
        scores = np.array([5.0, broken, 3.0, 4.0])
        decision = PBT().decide(np.random.default_rng(seed), generation(scores, active=[True, False, True, True]))
        assert decision.parents[1] in (0, 2, 3) and 1 not in decision.parents
        assert decision.active.all()


def test_where_both_are_broken_or_the_odd_one_is_the_best_one_takes_the_place():
    took_best = 0
    for seed in range(50):
        scores = np.array([np.inf, 7.0, np.inf, np.inf, 6.0])
        parents = PBT().decide(np.random.default_rng(seed), generation(scores)).parents
        assert set(parents) <= {1, 4} and parents[4] == 4
        # At most one of the three has met the other finite member.
        took_best += np.sum(parents[[0, 2, 3]] == 4) >= 2
    assert took_best == 50


def test_nobody_gives_anything_where_all_are_broken_or_equal():
    for scores in ([np.inf] * 4, [1.0] * 4):
        seen = generation(scores, cd_rate=np.linspace(0.1, 0.4, 4))
        decision = PBT().decide(np.random.default_rng(0), seen)
        np.testing.assert_array_equal(decision.parents, np.arange(4))
        assert_equal(decision.hyper, seen.hyper)


@pytest.mark.parametrize(
    ("best", "done"),
    [
        ([], False),
        ([10.0] * 4, False),  # one generation more than the patience must have ended
        ([10.0] * 5, True),
        ([99.0, 10.0, 10.0, 10.0, 10.0], True),  # the first one of five does not count
        ([99.0, 10.0, 9.9, 9.95, 10.0], False),  # (10 - 9.9) / 9.9625 = 0.01004; the lowest, not the last
        # (10 - 9.996) / ((10 + 9.998 + 9.996 + 9.998) / 4) = 0.004 / 9.998 = 4.0008e-4
        ([99.0, 10.0, 9.998, 9.996, 9.998], True),
        # (10 - 9.994) / ((10 + 9.998 + 9.996 + 9.994) / 4) = 0.006 / 9.997 = 6.0018e-4
        ([99.0, 10.0, 9.998, 9.996, 9.994], False),
        ([99.0, -10.0, -10.001, -10.002, -10.003], True),  # 0.003 / 10.0015 = 3.0e-4
        ([99.0, -10.0, -10.01, -10.02, -10.03], False),  # 0.03 / 10.015 = 3.0e-3
        ([9.0, 9.0, 9.1, 9.2, 9.3], True),  # worse and worse
        ([0.0] * 5, True),
        ([np.inf] * 6, False),
        ([np.inf, np.inf, 10.0, 10.0, 10.0], False),
    ],
)
def test_the_search_ends_when_the_best_score_hardly_improves(best, done):
    assert PBT(min_improvement=5e-4).is_done(best) is done


def test_the_search_ends_by_its_own_patience_and_improvement():
    assert PBT(patience=2, min_improvement=0.02).is_done([99.0, 10.0, 9.9])  # 0.1 / 9.95 = 0.01005
    assert not PBT(patience=2, min_improvement=0.005).is_done([99.0, 10.0, 9.9])
    assert not PBT.early_stopping and "early_stopping" not in [f.name for f in dataclasses.fields(PBT)]


def test_the_better_region_takes_over():
    """With a score that depends on one hyperparameter only, the population moves to where it is low."""
    space = Space({"kl_ic_scale": Range(1e-4, 1.0, log=True, width=0.8)})
    strategy, rng = PBT(space), np.random.default_rng(0)
    hyper = strategy.start(rng, 16, HyperParams())
    for number in range(1, 31):
        scores = np.log(hyper.kl_ic_scale / 0.03) ** 2
        hyper = strategy.decide(rng, Generation(number, scores, hyper, np.ones(16, bool))).hyper
    assert np.median(np.abs(np.log(hyper.kl_ic_scale / 0.03))) < 0.5


@pytest.mark.parametrize("strategy", [Ensemble(), RandomSearch(halvings=2), PBT(), PBT.autolfads()])
def test_the_same_seed_gives_the_same_search(strategy):
    def searched(seed):
        rng = np.random.default_rng(seed)
        hyper = strategy.start(rng, 6, HyperParams())
        return hyper, strategy.decide(rng, Generation(1, np.arange(6.0), hyper, np.ones(6, bool)))

    (hyper, decision), (again, second), (_, other) = searched(1), searched(1), searched(2)
    assert_equal(hyper, again)
    assert_equal(decision.hyper, second.hyper)
    np.testing.assert_array_equal(decision.parents, second.parents)
    np.testing.assert_array_equal(decision.active, second.active)
    same = np.array_equal(decision.hyper.kl_ic_scale, other.hyper.kl_ic_scale)
    assert same == isinstance(strategy, Ensemble)


# Descriptions of strategies


@dataclasses.dataclass(frozen=True)
class Own(Ensemble):
    """A strategy that a user might write."""

    scores: np.ndarray
    build: object
    name: str = "mine"


class Plain(Ensemble):
    """One without settings."""


@pytest.mark.parametrize(("name", "kind"), search.STRATEGIES.items())
def test_the_table_makes_strategies_that_describe_themselves(name, kind):
    described = search.describe(kind())
    assert described["name"] == name and list(described["settings"]) == [f.name for f in dataclasses.fields(kind)]
    assert json.loads(json.dumps(described)) == described


def test_settings_are_described():
    described = search.describe(PBT(Space({"cd_rate": Range(0.1, 0.5)}), patience=6))
    cd_rate = {"low": 0.1, "high": 0.5, "log": False, "start": None, "width": 0.3, "bounded": True}
    assert described["settings"] == {
        "space": {"ranges": {"cd_rate": cd_rate}, "reduction": "sum"},
        "begin": "run",
        "perturbation": "log",
        "patience": 6,
        "min_improvement": 0.0,
    }
    assert Space.from_dict(described["settings"]["space"]) == Space({"cd_rate": Range(0.1, 0.5)})


def test_strategies_of_users_are_described():
    own = Own(scores=np.array([1.0, 2.0]), build=lambda: None)
    settings = {"scores": [1.0, 2.0], "build": "function", "name": "mine"}
    assert search.describe(own) == {"name": f"{__name__}.Own", "settings": settings}
    assert search.describe(Plain())["name"] == f"{__name__}.Plain"


def test_a_decision_may_be_taken_from_the_unchanged_one():
    seen = generation([1.0, 2.0])
    decision = dataclasses.replace(Decision.unchanged(seen), parents=np.array([0, 0]))
    assert list(decision.parents) == [0, 0] and decision.hyper is seen.hyper


def test_members_begin_around_the_run_or_anywhere_in_the_space():
    hyper = HyperParams(dropout_rate=0.1, kl_ic_scale=0.2)
    space = Space({"dropout_rate": Range(0.05, 0.5), "cd_rate": Range(0.2, 0.7, start=0.6), "kl_ic_scale": Range(0, 1)})
    rng = np.random.default_rng(0)
    near, far = (PBT(space, begin).start(rng, 200, hyper) for begin in ("run", "space"))
    for name, at in {"dropout_rate": 0.1, "cd_rate": 0.6, "kl_ic_scale": 0.2}.items():
        values = getattr(near, name)
        assert values[0] == at and len(np.unique(values)) > 150
        assert values.min() >= at / 1.3 - 1e-9 and values.max() <= min(at * 1.3, space.ranges[name].high) + 1e-9
    assert (far.cd_rate == 0.6).all() and far.dropout_rate.max() > 0.4 and far.kl_ic_scale.min() < 0.1
    assert (near.learning_rate == hyper.learning_rate).all()
    with pytest.raises(ValueError, match="`begin` must be 'run' or 'space', got 'here'"):
        PBT(space, "here")
