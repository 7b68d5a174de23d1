"""Training: `fit`, `population`, their results, callbacks and run folders."""

from lfadsx.parallel import make_mesh as make_mesh
from lfadsx.training.callbacks import AbstractCallback as AbstractCallback
from lfadsx.training.callbacks import CsvLog as CsvLog
from lfadsx.training.callbacks import GenerationTable as GenerationTable
from lfadsx.training.callbacks import Progress as Progress
from lfadsx.training.callbacks import ProgressBar as ProgressBar
from lfadsx.training.populations import population as population
from lfadsx.training.results import FitResult as FitResult
from lfadsx.training.results import PopulationResult as PopulationResult
from lfadsx.training.run_folder import RunFolder as RunFolder
from lfadsx.training.run_folder import load as load
from lfadsx.training.single_model import fit as fit
