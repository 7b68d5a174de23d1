"""The tutorials run in their quick form, and the model on one page gives the numbers of the library."""

import ast
import importlib.util
import os
import runpy
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import making
import numpy as np
import pytest
import test_examples
from conftest import SHARED

import lfadsx

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
NAMES = sorted(path.stem for path in TUTORIALS.glob("*.py"))
IN_TEST = ()  # cheap enough for `make test`
RECORDED = ("decoding",)  # read a recording that does not come with the project


def definitions(name):
    """Returns the functions and imports of a tutorial, without running its other cells."""
    tree = ast.parse((TUTORIALS / f"{name}.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom)]
    found = {}
    exec(compile(tree, name, "exec"), found)
    return found


@pytest.mark.parametrize(("dtype", "digits"), [(jnp.float32, 1e-5), (jnp.float64, 1e-9)])
def test_one_page_equals_the_library(dtype, digits):
    """Loss, KL terms, rates and inputs of the page are those of the library, with all parameters away from 0."""
    page = definitions("lfads_in_one_page")
    with jax.enable_x64(dtype == jnp.float64):
        data = making.one_session(n_trials=12, n_bins=9, n_channels=5)
        model = making.build(data)
        batch = lfadsx.data.batch(data, "valid")
        noise = making.drawer(model)(batch, dropout_rate=0.0)
        output = making.forward(model)(batch, noise)
        assert output.factors.dtype == dtype

        p, x = page["from_library"](model), jnp.swapaxes(batch.encoder_input, 0, 1).astype(dtype)
        mine = jax.jit(page["lfads"])(p, x, noise.ic, noise.inputs)
        loss = jax.jit(page["loss"])(p, x, noise.ic, noise.inputs, 0.7, 0.6)
        kl_z, kl_u = page["kl_z"](p, mine["q_z"]), page["kl_u"](p, mine["q_u"], mine["u"])

        objective = lfadsx.objective.Objective()
        hyper = lfadsx.HyperParams(kl_ic_scale=0.7, kl_co_scale=0.6)
        expected, parts = objective(model, batch, output, hyper, lfadsx.objective.RampWeights())
        for own, theirs in (
            (loss, expected),
            (kl_z, parts.kl_ic),
            (kl_u, parts.kl_inputs),
            (np.exp(mine["log_rate"]), jnp.swapaxes(model.expected(output)["spikes"], 0, 1)),
            (mine["u"], jnp.swapaxes(output.inputs, 0, 1)),
        ):
            assert own.dtype == dtype
            np.testing.assert_allclose(own, theirs, rtol=digits, atol=digits)


@pytest.mark.parametrize("name", making.each(NAMES, *IN_TEST))
def test_tutorial(name, monkeypatch):
    """The quick form runs as a script, in the folder in which a notebook would run."""
    monkeypatch.chdir(TUTORIALS)
    monkeypatch.setenv("LFADSX_QUICK", "1")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(sys, "path", [*sys.path])  # some add the folder of the examples
    if name in RECORDED and not (SHARED / "data").is_dir():
        pytest.skip(f"needs the recordings, which are not at {SHARED / 'data'}")
    runpy.run_path(f"{name}.py", run_name="__main__")


@pytest.mark.parametrize("name", NAMES)
def test_tutorials_use_public_names_only(name):
    test_examples.test_examples_use_public_names_only(TUTORIALS / f"{name}.py")


@pytest.mark.slow
def test_rendering(tmp_path, monkeypatch, capsys):
    """A notebook holds figures, is not made again, and an exception in a cell is a failure."""
    pytest.importorskip("jupytext")
    pytest.importorskip("nbclient")
    spec = importlib.util.spec_from_file_location("render_tutorials", TUTORIALS.parent / "render_tutorials.py")
    rendering = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rendering)
    figure = "from matplotlib.figure import Figure\nfigure = Figure()\nfigure.subplots().plot([1, 2])\nfigure\n"
    (tmp_path / "good.py").write_text(
        f"# %% [markdown]\n# # Title\n# [Bad](bad.ipynb)\n\n# %%\n# %matplotlib inline\n{figure}"
    )
    (tmp_path / "bad.py").write_text("# %%\nraise ValueError('broken on purpose')\n")
    monkeypatch.setattr(rendering, "FOLDER", tmp_path)
    monkeypatch.setattr(rendering, "NAMES", ["bad", "good"])
    for variable in ("LFADSX_QUICK", "TQDM_DISABLE"):  # set while rendering, taken back afterwards
        monkeypatch.setitem(os.environ, variable, "1")
    assert rendering.main(["good"], quick=True) == 0
    page = (tmp_path / "good.ipynb").read_text()
    assert "image/png" in page and "(bad.html)" in page
    assert rendering.main(["good"], quick=True) == 0 and "good: up to date" in capsys.readouterr().out
    assert rendering.main([], quick=True) == 1 and "broken on purpose" in capsys.readouterr().err
    assert rendering.main(["goof"], quick=True) == 2
    monkeypatch.setattr(rendering, "RECORDINGS", {"bad": tmp_path / "missing.h5"})
    assert rendering.main(["bad"], quick=True) == 0
    page = (tmp_path / "bad.ipynb").read_text()
    assert "its recording was not there" in page and "broken on purpose" in page
