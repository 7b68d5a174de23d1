"""Populations: members equal the models alone, on any devices; exchange, resume, one compilation, files, messages."""

import csv
import dataclasses
import json
import os
import signal

import chex
import jax
import making
import numpy as np
import pytest
from flax import nnx
from test_training import CONFIG, SMALL, TanhGenerator, close, ragged_sessions

import lfadsx
from lfadsx.errors import RunError
from lfadsx.parallel import make_mesh
from lfadsx.pipeline import evaluate_run, population_run
from lfadsx.pipeline.population_job import average
from lfadsx.search import PBT, AbstractStrategy, Decision, Ensemble, RandomSearch, Range, Space, repeat
from lfadsx.training import AbstractCallback, RunFolder, load, members
from lfadsx.training.history import generations
from lfadsx.training.loop import Loop

SPACE = Space({"learning_rate": Range(1e-3, 1e-2, log=True), "dropout_rate": Range(0.0, 0.6), "cd_rate": Range(0, 0.5)})
SHORT = dataclasses.replace(CONFIG, epochs=4, schedule="cosine")
FOUR = lfadsx.PopulationConfig(population=4, epochs_per_generation=1)


def build(data, rngs, **changes):
    return lfadsx.inferred_input(data, **SMALL | changes, inferred_inputs=2, rngs=rngs)


@pytest.fixture(scope="module")
def data():
    return ragged_sessions()


@dataclasses.dataclass(frozen=True)
class Different(AbstractStrategy):
    """Members with different settings that never exchange anything."""

    def start(self, rng, n, hyper):
        return dataclasses.replace(
            repeat(hyper, n),
            learning_rate=np.linspace(2e-3, 1e-2, n),
            weight_decay=np.linspace(0.0, 0.2, n),
            dropout_rate=np.linspace(0.5, 0.0, n),
            cd_rate=np.linspace(0.0, 0.5, n),
            l2_gen_scale=np.linspace(0.0, 3.0, n),
            kl_ic_scale=np.linspace(0.01, 1.0, n),
        )

    def decide(self, rng, generation):
        return Decision.unchanged(generation)


def alone(data, member, n, config=SHORT, strategy=None):
    """The result of `fit` for one member's model and settings."""
    stacked = (strategy or Different()).start(None, n, lfadsx.suited_settings(data)[0])
    hyper = lfadsx.HyperParams(*(float(getattr(stacked, f.name)[member]) for f in dataclasses.fields(stacked)))
    config = dataclasses.replace(config, seed=config.seed + member)
    return lfadsx.fit(build(data, nnx.Rngs(config.seed)), data, hyper=hyper, config=config)


def same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.mark.usefixtures("optimised")
@pytest.mark.slow
def test_one_at_a_time_a_member_is_the_model_alone_bit_for_bit(data):
    result = lfadsx.population(build, data, strategy=Different(), population=FOUR, config=SHORT)
    for member in (0, 2):
        single, found = alone(data, member, 4), result.members[member]
        same(nnx.state(found.last), nnx.state(single.last))
        same(nnx.state(found.model), nnx.state(single.model))
        assert found.best_score == single.best_score and found.best_epoch == single.best_epoch
        assert found.reason == single.reason == "epochs"
        assert list(found.history) == list(single.history)
        for name in set(found.history) - {"seconds"}:
            np.testing.assert_array_equal(found.history[name], single.history[name])
    assert result.seeds == (0, 1, 2, 3)
    scores = [member.best_score for member in result.members]
    assert result.ranking == np.argsort(scores).tolist() and result.best.best_score == min(scores)


@pytest.mark.parametrize(("at_once", "devices"), [(0, (2, 2)), pytest.param(3, (2, 1), marks=pytest.mark.slow)])
@pytest.mark.slow
def test_members_at_once_and_devices_change_nothing_but_rounding(data, at_once, devices):
    """Also where neither members nor trials divide into batches, and with members or trials spread over devices."""
    mesh = make_mesh(devices[0], members=devices[1])
    config = dataclasses.replace(SHORT, epochs=2)
    other_way = dataclasses.replace(FOUR, members_at_once=at_once)
    portions = dataclasses.replace(config, trials_at_once=3)
    one = lfadsx.population(build, data, population=FOUR, strategy=Different(), config=config)
    other = lfadsx.population(build, data, population=other_way, mesh=mesh, strategy=Different(), config=portions)
    for a, b in zip(one.members, other.members, strict=True):
        close(nnx.state(a.last), nnx.state(b.last), 1e-4)
        np.testing.assert_allclose(a.history["score"], b.history["score"], rtol=1e-5)


@pytest.mark.slow
def test_a_users_generator_and_a_common_start(data):
    model = build(data, nnx.Rngs(5))
    model.decoder.generator = TanhGenerator(4, 2, 6, rngs=nnx.Rngs(5))
    before = nnx.state(nnx.clone(model))
    result = lfadsx.population(model, data, population=FOUR, config=dataclasses.replace(SHORT, epochs=1))
    same(nnx.state(model), before)
    first, second = (nnx.state(member.last) for member in result.members[:2])
    assert any(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_members_with_data_of_their_own(data):
    others = [ragged_sessions(0), ragged_sessions(0)]
    shuffled = dataclasses.replace(
        others[1], train=dataclasses.replace(others[1].train, encoder_input=others[1].train.encoder_input[::-1].copy())
    )
    result = lfadsx.population(build, 2 * [others[0], shuffled], population=FOUR, config=SHORT)
    for member, own in enumerate((others[0], shuffled)):
        same(nnx.state(result.members[member].last), nnx.state(alone(own, member, 2, strategy=Ensemble()).last))


class _Copies(AbstractStrategy):
    """After the first generation, slot 0 copies the weights of slot 2, and slot 1 stops."""

    early_stopping = False

    def start(self, rng, n, hyper):
        return repeat(hyper, n)

    def decide(self, rng, generation):
        decision = Decision.unchanged(generation)
        if generation.number == 1:
            decision.parents[0], decision.active[1] = 2, False
            rates = np.where(np.arange(4) == 0, 1e-2, generation.hyper.learning_rate)
            decision = dataclasses.replace(decision, hyper=dataclasses.replace(generation.hyper, learning_rate=rates))
        return decision


def test_a_copy_takes_weights_optimiser_and_monitor_and_keeps_its_seed(data, monkeypatch):
    seen = []
    original = Loop._end_generation

    def watch(self):
        before = jax.device_get(dataclasses.replace(self.cohort.state, key=jax.random.key_data(self.cohort.state.key)))
        original(self)
        after = jax.device_get(dataclasses.replace(self.cohort.state, key=jax.random.key_data(self.cohort.state.key)))
        seen.append((before, after, dict(self.position.hyper), list(self.position.active)))

    monkeypatch.setattr(Loop, "_end_generation", watch)
    result = lfadsx.population(build, data, strategy=_Copies(), population=FOUR, config=SHORT)
    before, after, hyper, active = seen[0]
    same(after.key, before.key)
    for part in ("params", "optimizer", "monitor", "step", "skipped", "fixed"):
        rows = jax.tree.map(lambda x: x[[2, 1, 2, 3]], getattr(before, part))
        same(getattr(after, part), rows)
    assert not np.array_equal(jax.tree.leaves(before.params)[0][0], jax.tree.leaves(before.params)[0][2])
    assert hyper["learning_rate"] == [1e-2, 4e-3, 4e-3, 4e-3] and active == [True, False, True, True]
    last = result.members
    assert last[1].reason == "search" and last[0].reason == "epochs"
    different = zip(jax.tree.leaves(nnx.state(last[0].last)), jax.tree.leaves(nnx.state(last[2].last)), strict=True)
    assert any(not np.array_equal(a, b) for a, b in different)  # the same weights, another seed and learning rate
    # Member 1 rests: its weights are those of the first generation's end.
    resting = jax.tree.map(lambda x: x[1], after.params)
    assert np.array_equal(jax.tree.leaves(nnx.state(last[1].last, nnx.Param))[0], jax.tree.leaves(resting)[0])
    table = generations(result.rows)
    assert table["parent"][1].tolist() == [2, 1, 2, 3] and table["active"][-1].tolist() == [1, 0, 1, 1]
    # Before the copy, the history equals the history of the copied member.
    n_before = int((table["epoch"][0, 2]) // SHORT.validate_every)
    np.testing.assert_array_equal(last[0].history["score"][:n_before], last[2].history["score"][:n_before])


def test_one_compilation_for_a_whole_search(data):
    members.member_runner.cache_clear()
    chex.clear_trace_counter()
    traced = chex.assert_max_traces(members.train_members, n=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "train_members", traced)
        result = lfadsx.population(build, data, strategy=PBT(SPACE), population=FOUR, config=SHORT)
    members.member_runner.cache_clear()
    table = generations(result.rows)
    assert len(table["score"]) > 1 and (table["parent"] != np.arange(4)).any()
    assert len(np.unique(table["learning_rate"])) > 4


def test_resumed_is_uninterrupted_bit_for_bit_also_within_a_generation(data, tmp_path, monkeypatch):
    config = dataclasses.replace(SHORT, epochs=6, checkpoints=(1e-9, 2))
    population = dataclasses.replace(FOUR, epochs_per_generation=2)
    settings = dict(strategy=PBT(SPACE), population=population, config=config)
    whole = lfadsx.population(build, data, **settings)
    blocks, original = [], Loop._train_block

    def train(self):
        blocks.append((self.position.generation, self.position.epoch, self.position.block))
        if len(blocks) == 9:  # in the middle of an epoch that is in the middle of a generation, after an exchange
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patched:
        patched.setattr(Loop, "_train_block", train)
        first = lfadsx.population(build, data, out=tmp_path, **settings)
    assert first.reason == "interrupted" and first.signal == signal.SIGTERM and blocks[-1] == (2, 4, 0)
    second = lfadsx.population(build, data, out=tmp_path, **settings)
    assert second.reason == whole.reason
    for a, b in zip(whole.members, second.members, strict=True):
        same(nnx.state(a.last), nnx.state(b.last))
        same(nnx.state(a.model), nnx.state(b.model))
    strip = [[{k: v for k, v in row.items() if k != "seconds"} for row in r.rows] for r in (whole, second)]
    assert json.dumps(strip[0]) == json.dumps(strip[1])
    third = lfadsx.population(build, data, out=tmp_path, **settings)  # a finished one trains no more
    same(nnx.state(third.best.model), nnx.state(whole.best.model))
    assert len(third.rows) == len(whole.rows)


class _Breaks(AbstractStrategy):
    """Member 1 begins with a KL that is infinite in float32."""

    def start(self, rng, n, hyper):
        return dataclasses.replace(repeat(hyper, n), kl_ic_scale=np.where(np.arange(n) == 1, 1e39, 0.1))

    def decide(self, rng, generation):
        return PBT(SPACE).decide(rng, generation)


@pytest.mark.parametrize("replaced", [True, False])
def test_a_member_that_is_not_finite_is_reported_and_replaced(data, caplog, replaced, monkeypatch):
    making.allow_skipped_steps(monkeypatch, 3)
    strategy = _Breaks()
    if not replaced:
        strategy.decide = lambda rng, generation: Decision.unchanged(generation)
    config = dataclasses.replace(SHORT, kl_ramp_epochs=0, l2_ramp_epochs=1)
    result = lfadsx.population(build, data, strategy=strategy, population=FOUR, config=config)
    assert "Member 1: A step of epoch 1 was skipped because" in caplog.text
    assert all(np.isfinite(result.members[member].best_score) for member in (0, 2, 3))
    table = generations(result.rows)
    if replaced:
        assert table["parent"][1:, 1].min() != 1 or (table["parent"][:, 1] != 1).any()
        assert np.isfinite(result.members[1].best_score) and result.members[1].skipped_steps == 0
    else:
        assert result.members[1].reason == "not finite" and result.ranking[-1] == 1
        assert table["active"][-1].tolist() == [1, 0, 1, 1] and result.members[1].skipped_steps > 3


def test_all_members_that_are_not_finite_end_the_search(data, tmp_path, monkeypatch):
    making.allow_skipped_steps(monkeypatch, 3)
    hyper = lfadsx.HyperParams(kl_ic_scale=1e39)
    config = dataclasses.replace(SHORT, kl_ramp_epochs=0, validate_every=4)
    model = lfadsx.ModelConfig(**SMALL, inferred_inputs=2)
    settings = dict(population=FOUR, hyper=hyper, train=config, n_samples=8, figures=False)
    outcome = population_run(data, tmp_path, model=model, **settings)
    assert outcome.result.reason == "not finite"
    # The best member's results are written, as for a single model.
    assert json.loads((tmp_path / "metrics.json").read_text())["ensemble"]["members"] == outcome.result.ranking[:1]
    assert "not finite" in " ".join(map(str, outcome.findings))


def test_halving_stops_the_worse_half_and_the_rest_is_as_without_it(data):
    config = dataclasses.replace(SHORT, epochs=6)
    plain, halved = (
        lfadsx.population(build, data, strategy=RandomSearch(SPACE, halvings=n), population=FOUR, config=config)
        for n in (0, 1)
    )
    table = generations(halved.rows)
    assert table["active"][0].all() and table["active"][-1].sum() == 2
    kept = np.flatnonzero(table["active"][-1])
    assert set(kept) == set(np.argsort(generations(plain.rows)["score"][0])[:2])
    for member in kept:
        same(nnx.state(halved.members[member].last), nnx.state(plain.members[member].last))


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_members_stop_by_patience_and_the_search_when_none_is_left(data):
    config = dataclasses.replace(SHORT, epochs=40, patience=2, schedule="constant")
    settings = lfadsx.HyperParams(learning_rate=0.05)
    result = lfadsx.population(build, data, population=FOUR, hyper=settings, config=config)
    assert result.reason == "finished" and {member.reason for member in result.members} == {"patience"}
    single = lfadsx.fit(build(data, nnx.Rngs(0)), data, hyper=settings, config=config)
    same(nnx.state(result.members[0].last), nnx.state(single.last))


def test_generations_end_at_evaluations():
    config = lfadsx.TrainConfig(epochs=100, kl_ramp_epochs=30, l2_ramp_epochs=10, validate_every=4)
    population = lfadsx.PopulationConfig(epochs_per_generation=25)
    assert population.ends(config, 7) == (60, 88, 100)
    assert dataclasses.replace(population, burn_in=10).ends(config, 7) == (12, 40, 68, 96, 100)
    assert dataclasses.replace(population, burn_in=500).ends(config, 7) == (100,)


def test_the_space_is_converted_to_the_convention_of_the_loss(data):
    """Beside a sum over entries, a scale that was meant for their mean has to be as many times larger."""
    space = Space({"kl_ic_scale": Range(1e-4, 1e-3, log=True, start=1e-3)}, reduction="mean")
    split, channels = data.train, np.array([6, 4])
    config = dataclasses.replace(SHORT, epochs=1)
    result = lfadsx.population(build, data, strategy=PBT(space, "space"), config=config, population=FOUR)
    entries = np.mean([n * channels[s] for n, s in zip(split.target_length, split.session, strict=True)])
    np.testing.assert_allclose(result.hyper.kl_ic_scale[0], 1e-3 * entries, rtol=1e-6)


class _Record(AbstractCallback):
    def __init__(self):
        self.events = []

    def on_start(self, progress):
        self.events.append("start")

    def on_epoch_end(self, progress):
        self.events.append(progress.epoch)

    def on_generation_end(self, progress):
        self.events.append(f"generation {progress.generation} at {progress.epoch} of {progress.epochs}")

    def on_end(self, progress):
        self.events.append(progress.reason)


def test_callbacks_are_called_in_order(data):
    record = _Record()
    population = dataclasses.replace(FOUR, burn_in=2)
    lfadsx.population(build, data, population=population, config=SHORT, callbacks=[record])
    at = [f"generation {n} at {n + 1} of 4" for n in (1, 2, 3)]
    assert record.events == ["start", 1, 2, at[0], 3, at[1], 4, at[2], "epochs"]


def test_a_run_writes_the_best_member_the_ensemble_and_the_search(data, tmp_path):
    population = dataclasses.replace(FOUR, ensemble=2)
    settings = dict(strategy=PBT(SPACE), population=population, train=SHORT, n_samples=16, figures=True)
    model = lfadsx.ModelConfig(**SMALL, inferred_inputs=2)
    outcome = population_run(data, tmp_path, model=model, **settings)
    best = load(tmp_path / "best_member")
    same(nnx.state(best), nnx.state(outcome.result.best.model))
    info = RunFolder(tmp_path / "best_member").info
    winner = outcome.result.ranking[0]
    assert info.train["seed"] == winner and info.hyper["cd_rate"] == outcome.result.hyper.cd_rate[winner]
    again = evaluate_run(tmp_path / "best_member", data, n_samples=16, seed=winner)
    assert again.evaluation.scores["co_bps"] == pytest.approx(outcome.summary["co_bps"], rel=1e-5)
    written = {str(path.relative_to(tmp_path)) for path in outcome.files}
    figures = {"figures/scores.png", "figures/hyperparameters.png", "best_member/figures/loss.png"}
    assert {"ensemble.h5", "metrics.json", "best_member/report.md"} | figures <= written
    with (tmp_path / "population.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(outcome.result.rows) and {int(float(row["member"])) for row in rows} == set(range(4))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["ensemble"]["members"] == outcome.result.ranking[:2] == metrics["ranking"][:2]
    assert [row["model"] for row in metrics["table"][:3]] == ["ensemble of 2", "best member", "time course"]
    ensemble = lfadsx.read_posterior(tmp_path / "ensemble.h5", "valid")
    own = [
        lfadsx.infer(
            outcome.result.members[member].model, data, "valid", n_samples=8, seed=outcome.result.seeds[member]
        )
        for member in outcome.result.ranking[:2]
    ]
    mean = (own[0].rates["spikes"] + own[1].rates["spikes"]) / 2
    np.testing.assert_allclose(ensemble.rates["spikes"], mean, rtol=1e-4)
    assert ensemble.inputs is None and ensemble.n_samples == 16


def test_the_spread_of_an_average_is_that_of_the_mixture(data):
    result = lfadsx.population(build, data, population=FOUR, config=dataclasses.replace(SHORT, epochs=1))
    own = [lfadsx.infer(m.model, data, "valid", n_samples=8, samples=True) for m in result.members]
    both = average(own)
    pooled = np.concatenate([posterior.samples["rates"] for posterior in own])
    np.testing.assert_allclose(both.rates["spikes"], pooled.mean(0), rtol=1e-4)
    np.testing.assert_allclose(both.rates_std["spikes"], pooled.std(0), rtol=1e-2, atol=1e-4)


@pytest.mark.slow
def test_folders_of_populations_and_of_models_are_told_apart(data, tmp_path):
    config = dataclasses.replace(SHORT, epochs=1)
    lfadsx.population(build, data, population=FOUR, config=config, out=tmp_path / "many")
    with pytest.raises(RunError, match="holds a population. Give the run folder of its best member, .*best_member"):
        load(tmp_path / "many")
    with pytest.raises(RunError, match="holds a population, so a single model cannot be trained in it"):
        lfadsx.fit(build(data, nnx.Rngs(0)), data, config=config, out=tmp_path / "many")
    lfadsx.fit(build(data, nnx.Rngs(0)), data, config=config, out=tmp_path / "one")
    with pytest.raises(RunError, match="holds a single model, so a population cannot be trained in it"):
        lfadsx.population(build, data, population=FOUR, config=config, out=tmp_path / "one")
    # How many are computed at once may change, as the message of a full memory says.
    at_once = dataclasses.replace(FOUR, members_at_once=3)
    again = lfadsx.population(build, data, population=at_once, config=config, out=tmp_path / "many")
    assert len(again.members) == 4 and again.reason == "epochs"
    with pytest.raises(RunError, match=r"other settings: `population` is 4 in that run and 2 in this one"):
        two = dataclasses.replace(FOUR, population=2)
        lfadsx.population(build, data, population=two, config=config, out=tmp_path / "many")
    with pytest.raises(RunError, match=r"other settings: `strategy.name` is ensemble in that run and pbt in this one"):
        settings = dict(strategy=PBT(SPACE), population=FOUR)
        lfadsx.population(build, data, config=config, out=tmp_path / "many", **settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(strategy=PBT(SPACE), population=lfadsx.PopulationConfig(population=1)), "at least 2 members, got 1"),
        (
            dict(mesh=2, population=dataclasses.replace(FOUR, population=3)),
            "must be a multiple of the 2 devices .*, got 3",
        ),
        (dict(datasets=2), "`data` must be one data set, or one for each of 4 members, got 2"),
        (dict(builder="sizes"), "same sizes and parts, but member 1 differs from member 0"),
        (dict(strategy="outside"), "`cd_rate` must be .*, got 1.5"),
    ],
)
def test_what_cannot_be_done_is_said(data, changes, message):
    arguments = dict(population=FOUR, config=SHORT) | changes
    if "mesh" in arguments:
        arguments["mesh"] = make_mesh(2, members=2)
    own = [data] * arguments.pop("datasets", 0) or data
    make = build
    if arguments.pop("builder", None):
        sizes = iter((3, 4, 3, 3))
        make = lambda data, rngs: build(data, rngs, factors=next(sizes))  # noqa: E731
    if arguments.get("strategy") == "outside":
        arguments["strategy"] = _Outside()
    with pytest.raises(ValueError, match=message):
        lfadsx.population(make, own, **arguments)


class _Outside(Different):
    def start(self, rng, n, hyper):
        return dataclasses.replace(repeat(hyper, n), cd_rate=np.full(n, 1.5))


def test_sizes_of_a_population_are_checked():
    with pytest.raises(ValueError, match="`population` must be at least 1, got 0"):
        lfadsx.PopulationConfig(population=0)
    with pytest.raises(ValueError, match="`members_at_once` must be at least 0, got -1"):
        lfadsx.PopulationConfig(members_at_once=-1)


def test_members_that_do_not_fit_into_memory_are_a_matter_of_settings(data, monkeypatch):
    class Full:
        def train(self, *arguments):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr("lfadsx.training.cohort.member_runner", lambda mesh: Full())
    with pytest.raises(
        ValueError,
        match="of 1 members at once do not fit into .* Set a smaller members_at_once or trials",
    ):
        lfadsx.population(build, data, population=FOUR, config=SHORT)
