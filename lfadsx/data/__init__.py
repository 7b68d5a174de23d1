"""Data: HDF5 files, arrays in memory, several sessions, synthetic data, batches, files of results."""

from lfadsx.data.arrays import dataset_from_trials as dataset_from_trials
from lfadsx.data.batches import batch as batch
from lfadsx.data.errors import DataError as DataError
from lfadsx.data.generated import write_generated as write_generated
from lfadsx.data.hdf5 import read as read
from lfadsx.data.hdf5 import read_split as read_split
from lfadsx.data.output import read_posterior as read_posterior
from lfadsx.data.output import write_posterior as write_posterior
from lfadsx.data.sessions import concatenate_sessions as concatenate_sessions
from lfadsx.data.splitting import split as split
from lfadsx.data.synthetic import RECIPES as RECIPES
from lfadsx.data.synthetic import chaotic_rnn as chaotic_rnn
from lfadsx.data.synthetic import simulate as simulate
from lfadsx.data.synthetic import spikify as spikify
from lfadsx.data.write import write_dataset as write_dataset
