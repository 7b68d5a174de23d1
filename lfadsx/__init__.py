"""LFADS as a Flax NNX library of pluggable parts. This file is the table of contents."""

from lfadsx import data as data
from lfadsx import datasets as datasets
from lfadsx import distributions as distributions
from lfadsx import modules as modules
from lfadsx.config import HyperParams as HyperParams
from lfadsx.config import ModelConfig as ModelConfig
from lfadsx.config import PopulationConfig as PopulationConfig
from lfadsx.config import TrainConfig as TrainConfig
from lfadsx.data.session_alignment import SharedComponents as SharedComponents
from lfadsx.data.session_alignment import align as align
from lfadsx.data.session_alignment import shared_components as shared_components
from lfadsx.errors import DataError as DataError
from lfadsx.errors import LfadsxError as LfadsxError
from lfadsx.errors import PartError as PartError
from lfadsx.inference import masked_rates as masked_rates
from lfadsx.inference import posterior_mean as posterior_mean
from lfadsx.inference import posterior_sample_and_average as posterior_sample_and_average
from lfadsx.inference.bounds import Bounds as Bounds
from lfadsx.inference.bounds import bounds as bounds
from lfadsx.inference.generation import Generated as Generated
from lfadsx.inference.generation import prior_sample as prior_sample
from lfadsx.models.builders import autonomous as autonomous
from lfadsx.models.builders import build as build
from lfadsx.models.builders import external_input as external_input
from lfadsx.models.builders import inferred_input as inferred_input
from lfadsx.models.initialization import initialise as initialise
from lfadsx.models.lfads import LFADS as LFADS
from lfadsx.models.new_sessions import session_patterns as session_patterns
from lfadsx.models.new_sessions import with_sessions as with_sessions
from lfadsx.models.summary import summary as summary
from lfadsx.training import FitResult as FitResult
from lfadsx.training import fit as fit
from lfadsx.training import fit_population as fit_population
from lfadsx.training import load as load
from lfadsx.types import Batch as Batch
from lfadsx.types import Dataset as Dataset
from lfadsx.types import Noise as Noise
from lfadsx.types import Output as Output
from lfadsx.types import Posterior as Posterior
from lfadsx.types import Session as Session
from lfadsx.types import Split as Split

__version__ = "0.1.0"
