"""LFADS as a Flax NNX library of pluggable parts. This file is the table of contents.

A script needs only `import lfadsx`. Each name is imported at its first use, so the import itself is fast and does not
start JAX. Names outside the table are internal.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same table for type checkers and editors; a test compares both
    from lfadsx import data as data
    from lfadsx import datasets as datasets
    from lfadsx import distributions as distributions
    from lfadsx import dynamics as dynamics
    from lfadsx import evaluation as evaluation
    from lfadsx import interop as interop
    from lfadsx import modules as modules
    from lfadsx import objective as objective
    from lfadsx import plotting as plotting
    from lfadsx import random as random
    from lfadsx import report as report
    from lfadsx import search as search
    from lfadsx import testing as testing
    from lfadsx.config import HyperParams as HyperParams
    from lfadsx.config import ModelConfig as ModelConfig
    from lfadsx.config import PopulationConfig as PopulationConfig
    from lfadsx.config import TrainConfig as TrainConfig
    from lfadsx.data.arrays import from_arrays as from_arrays
    from lfadsx.data.continuous import from_continuous as from_continuous
    from lfadsx.data.dataset import Dataset as Dataset
    from lfadsx.data.dataset import Session as Session
    from lfadsx.data.dataset import Split as Split
    from lfadsx.data.reading import read as read
    from lfadsx.data.session_alignment import align as align
    from lfadsx.data.session_alignment import shared_components as shared_components
    from lfadsx.data.sessions import concatenate as concatenate
    from lfadsx.errors import CheckpointError as CheckpointError
    from lfadsx.errors import DataError as DataError
    from lfadsx.errors import LfadsxError as LfadsxError
    from lfadsx.errors import PartError as PartError
    from lfadsx.errors import RunError as RunError
    from lfadsx.evaluation.few_shot import FewShot as FewShot
    from lfadsx.findings import Finding as Finding
    from lfadsx.inference.bounds import Bounds as Bounds
    from lfadsx.inference.bounds import bounds as bounds
    from lfadsx.inference.generation import generate as generate
    from lfadsx.inference.masked import masked_log_likelihood as masked_log_likelihood
    from lfadsx.inference.masked import masked_rates as masked_rates
    from lfadsx.inference.posterior_inference import infer as infer
    from lfadsx.inference.spread_calibration import calibrate as calibrate
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
    from lfadsx.objective import Objective as Objective
    from lfadsx.parallel import make_mesh as make_mesh
    from lfadsx.pipeline.comparing import RunComparison as RunComparison
    from lfadsx.pipeline.comparing import compare as compare
    from lfadsx.pipeline.controls_job import controls as controls
    from lfadsx.pipeline.cross_validation_job import cross_validate as cross_validate
    from lfadsx.pipeline.export_job import export as export
    from lfadsx.pipeline.few_shot_job import few_shot as few_shot
    from lfadsx.pipeline.scoring import evaluate as evaluate
    from lfadsx.pipeline.sweep_job import sweep as sweep
    from lfadsx.pipeline.tensorboard import TensorBoard as TensorBoard
    from lfadsx.recordings.array_file import from_array_file as from_array_file
    from lfadsx.recordings.caiman_file import from_caiman as from_caiman
    from lfadsx.recordings.csv_folder import from_csv as from_csv
    from lfadsx.recordings.imaging import from_traces as from_traces
    from lfadsx.recordings.matlab_file import from_matlab as from_matlab
    from lfadsx.recordings.neo_block import from_neo as from_neo
    from lfadsx.recordings.nwb_file import from_nwb as from_nwb
    from lfadsx.recordings.phy_folder import from_phy as from_phy
    from lfadsx.recordings.pynapple_file import from_pynapple as from_pynapple
    from lfadsx.recordings.spike_times import from_spike_times as from_spike_times
    from lfadsx.recordings.spikeinterface_sorting import from_spikeinterface as from_spikeinterface
    from lfadsx.recordings.suite2p_folder import from_suite2p as from_suite2p
    from lfadsx.results.calibration import Calibration as Calibration
    from lfadsx.results.generated import Generated as Generated
    from lfadsx.results.joined import Joined as Joined
    from lfadsx.results.joining import join as join
    from lfadsx.results.posterior import Posterior as Posterior
    from lfadsx.results.results_file import read_posterior as read_posterior
    from lfadsx.settings_for_data import suited_settings as suited_settings
    from lfadsx.training.callbacks import AbstractCallback as AbstractCallback
    from lfadsx.training.callbacks import CsvLog as CsvLog
    from lfadsx.training.callbacks import GenerationTable as GenerationTable
    from lfadsx.training.callbacks import ProgressBar as ProgressBar
    from lfadsx.training.populations import population as population
    from lfadsx.training.results import FitResult as FitResult
    from lfadsx.training.results import PopulationResult as PopulationResult
    from lfadsx.training.run_folder import RunFolder as RunFolder
    from lfadsx.training.run_folder import load as load
    from lfadsx.training.single_model import fit as fit
    from lfadsx.types import Batch as Batch
    from lfadsx.types import TargetGroup as TargetGroup
    from lfadsx.types import TimeAxis as TimeAxis

__version__ = "0.1.0"

CONTENTS = {
    # Data
    "lfadsx.data.reading": ("read",),
    "lfadsx.data.arrays": ("from_arrays",),
    "lfadsx.data.continuous": ("from_continuous",),
    "lfadsx.recordings.spike_times": ("from_spike_times",),
    "lfadsx.recordings.array_file": ("from_array_file",),
    "lfadsx.recordings.caiman_file": ("from_caiman",),
    "lfadsx.recordings.csv_folder": ("from_csv",),
    "lfadsx.recordings.phy_folder": ("from_phy",),
    "lfadsx.recordings.nwb_file": ("from_nwb",),
    "lfadsx.recordings.matlab_file": ("from_matlab",),
    "lfadsx.recordings.pynapple_file": ("from_pynapple",),
    "lfadsx.recordings.neo_block": ("from_neo",),
    "lfadsx.recordings.spikeinterface_sorting": ("from_spikeinterface",),
    "lfadsx.recordings.imaging": ("from_traces",),
    "lfadsx.recordings.suite2p_folder": ("from_suite2p",),
    "lfadsx.data.sessions": ("concatenate",),
    "lfadsx.data.session_alignment": ("align", "shared_components"),
    "lfadsx.data.dataset": ("Dataset", "Session", "Split"),
    "lfadsx.types": ("Batch", "TargetGroup", "TimeAxis"),
    # Models and settings
    "lfadsx.models.builders": ("autonomous", "inferred_input", "external_input", "build"),
    "lfadsx.models.initialization": ("initialise",),
    "lfadsx.models.summary": ("summary",),
    "lfadsx.models.adjoint": ("with_adjoint",),
    "lfadsx.models.new_sessions": ("session_patterns", "with_sessions"),
    "lfadsx.models.lfads": ("LFADS",),
    "lfadsx.config": ("HyperParams", "ModelConfig", "PopulationConfig", "TrainConfig"),
    # Training
    "lfadsx.training.single_model": ("fit",),
    "lfadsx.training.populations": ("population",),
    "lfadsx.settings_for_data": ("suited_settings",),
    "lfadsx.training.run_folder": ("load", "RunFolder"),
    "lfadsx.training.results": ("FitResult", "PopulationResult"),
    "lfadsx.training.callbacks": ("AbstractCallback", "CsvLog", "GenerationTable", "ProgressBar"),
    "lfadsx.pipeline.tensorboard": ("TensorBoard",),
    "lfadsx.objective": ("Objective",),
    "lfadsx.parallel": ("make_mesh",),
    # Results of a model
    "lfadsx.inference.posterior_inference": ("infer",),
    "lfadsx.inference.spread_calibration": ("calibrate",),
    "lfadsx.inference.masked": ("masked_log_likelihood", "masked_rates"),
    "lfadsx.inference.bounds": ("bounds", "Bounds"),
    "lfadsx.inference.generation": ("generate",),
    "lfadsx.results.calibration": ("Calibration",),
    "lfadsx.results.generated": ("Generated",),
    "lfadsx.results.posterior": ("Posterior",),
    "lfadsx.results.results_file": ("read_posterior",),
    "lfadsx.results.joining": ("join",),
    "lfadsx.results.joined": ("Joined",),
    "lfadsx.pipeline.export_job": ("export",),
    # Scores and model selection
    "lfadsx.pipeline.scoring": ("evaluate",),
    "lfadsx.pipeline.few_shot_job": ("few_shot",),
    "lfadsx.evaluation.few_shot": ("FewShot",),
    "lfadsx.pipeline.comparing": ("compare", "RunComparison"),
    "lfadsx.pipeline.sweep_job": ("sweep",),
    "lfadsx.pipeline.cross_validation_job": ("cross_validate",),
    "lfadsx.pipeline.controls_job": ("controls",),
    "lfadsx.findings": ("Finding",),
    "lfadsx.errors": ("CheckpointError", "DataError", "LfadsxError", "PartError", "RunError"),
    # Packages and modules
    "lfadsx": (
        "data",
        "datasets",
        "distributions",
        "dynamics",
        "evaluation",
        "interop",
        "modules",
        "objective",
        "plotting",
        "random",
        "report",
        "search",
        "testing",
    ),
}
"""The public names by the module that defines them."""

_MODULE_OF = {name: module for module, names in CONTENTS.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports a name of the table at its first use."""
    if name not in _MODULE_OF:
        from lfadsx.errors import nearest

        raise AttributeError(f"`lfadsx` has no name {name!r}{nearest(name, _MODULE_OF)}.", name=name)
    module = _MODULE_OF[name]
    if module == __name__:
        return importlib.import_module(f"lfadsx.{name}")
    value = globals()[name] = getattr(importlib.import_module(module), name)
    return value


def __dir__() -> list[str]:
    """Returns the table of contents."""
    return sorted([*_MODULE_OF, "__version__"])
