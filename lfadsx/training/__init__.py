"""Training: `fit` and what it is made of."""

from lfadsx.distributed import make_mesh as make_mesh
from lfadsx.distributed import place_block as place_block
from lfadsx.training.block import StepReport as StepReport
from lfadsx.training.block import block_runner as block_runner
from lfadsx.training.block import run_block as run_block
from lfadsx.training.block import train_block as train_block
from lfadsx.training.block import validate as validate
from lfadsx.training.callbacks import AbstractCallback as AbstractCallback
from lfadsx.training.callbacks import CsvLog as CsvLog
from lfadsx.training.callbacks import Progress as Progress
from lfadsx.training.callbacks import ProgressBar as ProgressBar
from lfadsx.training.checkpoint import CheckpointError as CheckpointError
from lfadsx.training.run import RunError as RunError
from lfadsx.training.run import RunInfo as RunInfo
from lfadsx.training.run import load as load
from lfadsx.training.run import read_info as read_info
from lfadsx.training.schedules import Schedule as Schedule
from lfadsx.training.state import Program as Program
from lfadsx.training.state import TrainState as TrainState
from lfadsx.training.state import start as start
from lfadsx.training.tensorboard import TensorBoard as TensorBoard
from lfadsx.training.trainer import FitResult as FitResult
from lfadsx.training.trainer import fit as fit
