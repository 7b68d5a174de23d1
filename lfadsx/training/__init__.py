"""Training: `fit`, `population`, and what they are made of."""

from lfadsx.errors import CheckpointError as CheckpointError
from lfadsx.errors import RunError as RunError
from lfadsx.parallel import make_mesh as make_mesh
from lfadsx.parallel import place_block as place_block
from lfadsx.training.callbacks import AbstractCallback as AbstractCallback
from lfadsx.training.callbacks import CsvLog as CsvLog
from lfadsx.training.callbacks import GenerationTable as GenerationTable
from lfadsx.training.callbacks import Progress as Progress
from lfadsx.training.callbacks import ProgressBar as ProgressBar
from lfadsx.training.history import read_rows as read_rows
from lfadsx.training.populations import population as population
from lfadsx.training.results import FitResult as FitResult
from lfadsx.training.results import PopulationResult as PopulationResult
from lfadsx.training.run_folder import RunFolder as RunFolder
from lfadsx.training.run_folder import RunInfo as RunInfo
from lfadsx.training.run_folder import load as load
from lfadsx.training.schedules import Schedule as Schedule
from lfadsx.training.single_model import fit as fit
from lfadsx.training.state import Program as Program
from lfadsx.training.state import TrainState as TrainState
from lfadsx.training.state import start as start
from lfadsx.training.step import StepReport as StepReport
from lfadsx.training.step import block_runner as block_runner
from lfadsx.training.step import run_block as run_block
from lfadsx.training.step import train_block as train_block
from lfadsx.training.step import validate as validate
