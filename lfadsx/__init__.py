"""LFADS as a Flax NNX library of pluggable parts. This file is the table of contents."""

from lfadsx import data as data
from lfadsx import datasets as datasets
from lfadsx import distributions as distributions
from lfadsx import modules as modules
from lfadsx.config import HyperParams as HyperParams
from lfadsx.config import ModelConfig as ModelConfig
from lfadsx.config import PopulationConfig as PopulationConfig
from lfadsx.config import TrainConfig as TrainConfig
from lfadsx.data.arrays import from_arrays as from_arrays
from lfadsx.data.dataset import Dataset as Dataset
from lfadsx.data.dataset import Session as Session
from lfadsx.data.dataset import Split as Split
from lfadsx.data.reading import read as read
from lfadsx.data.session_alignment import SharedComponents as SharedComponents
from lfadsx.data.session_alignment import align as align
from lfadsx.data.session_alignment import shared_components as shared_components
from lfadsx.data.sessions import concatenate as concatenate
from lfadsx.errors import DataError as DataError
from lfadsx.errors import LfadsxError as LfadsxError
from lfadsx.errors import PartError as PartError
from lfadsx.inference import infer as infer
from lfadsx.inference import masked_rates as masked_rates
from lfadsx.inference.bounds import Bounds as Bounds
from lfadsx.inference.bounds import bounds as bounds
from lfadsx.inference.generation import generate as generate
from lfadsx.models.adjoint import with_adjoint as with_adjoint
from lfadsx.models.builders import autonomous as autonomous
from lfadsx.models.builders import build as build
from lfadsx.models.builders import external_input as external_input
from lfadsx.models.builders import inferred_input as inferred_input
from lfadsx.models.initialization import initialise as initialise
from lfadsx.models.lfads import LFADS as LFADS
from lfadsx.models.new_sessions import session_patterns as session_patterns
from lfadsx.models.new_sessions import with_sessions as with_sessions
from lfadsx.models.summary import summary as summary
from lfadsx.parallel import make_mesh as make_mesh
from lfadsx.results.generated import Generated as Generated
from lfadsx.results.posterior import Posterior as Posterior
from lfadsx.results.results_file import read_posterior as read_posterior
from lfadsx.training import FitResult as FitResult
from lfadsx.training import PopulationResult as PopulationResult
from lfadsx.training import RunFolder as RunFolder
from lfadsx.training import fit as fit
from lfadsx.training import load as load
from lfadsx.training import population as population
from lfadsx.types import Batch as Batch
from lfadsx.types import Noise as Noise
from lfadsx.types import Output as Output

__version__ = "0.1.0"


def evaluate(model, data, split=None, *, posteriors=None, n_samples=64, seed=0, mesh=None):
    """Stands in until branch `surface` is merged, whose version replaces this file."""
    from lfadsx.pipeline.outcome import score, scored_split

    name = split or scored_split(data)
    found = dict(posteriors or {})
    for part in dict.fromkeys(("train", name)):
        if part not in found:
            found[part] = infer(model, data, part, n_samples=n_samples, seed=seed, mesh=mesh)
    return score(model, data, name, found, seed, mesh=mesh)


def __getattr__(name):
    import importlib

    if name in ("evaluation", "interop", "objective", "plotting", "search", "testing"):
        return importlib.import_module(f"lfadsx.{name}")
    raise AttributeError(f"module 'lfadsx' has no attribute {name!r}")
