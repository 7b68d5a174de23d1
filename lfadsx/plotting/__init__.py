"""Figures of a run: losses, example trials, factors, inferred inputs, PSTHs and a summary on one page.

Every function returns a `matplotlib.figure.Figure` that belongs to no window, backend or global state, so
that figures can be made on a cluster node, in a callback and in a notebook alike.
"""

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError(
        'The figures of lfadsx need matplotlib, which is not installed. Install it with `pip install "lfadsx[plot]"`.'
    ) from error

from lfadsx.plotting.alignment import alignment_figure
from lfadsx.plotting.averages import psth_figure
from lfadsx.plotting.choosing import folds_figure, sweep_figure, write_folds_figure, write_sweep_figure
from lfadsx.plotting.example import example_figure
from lfadsx.plotting.files import write_figures, write_population_figures
from lfadsx.plotting.inputs import inputs_figure
from lfadsx.plotting.latents import factors_figure, initial_conditions_figure
from lfadsx.plotting.population import hyperparameters_figure, scores_figure
from lfadsx.plotting.resemblance import resemblance_figure
from lfadsx.plotting.summary import summary_figure
from lfadsx.plotting.training import loss_figure
from lfadsx.plotting.trials import rates_figure

__all__ = [
    "alignment_figure",
    "example_figure",
    "factors_figure",
    "folds_figure",
    "initial_conditions_figure",
    "inputs_figure",
    "loss_figure",
    "hyperparameters_figure",
    "scores_figure",
    "psth_figure",
    "rates_figure",
    "resemblance_figure",
    "summary_figure",
    "sweep_figure",
    "write_figures",
    "write_folds_figure",
    "write_population_figures",
    "write_sweep_figure",
]
