"""Data sets: from HDF5 files or arrays in memory, of one session or several, and the batches made of them."""

from lfadsx.data.arrays import from_arrays as from_arrays
from lfadsx.data.batching import batch as batch
from lfadsx.data.model_trials import read_split as read_split
from lfadsx.data.reading import read as read
from lfadsx.data.sessions import concatenate as concatenate
from lfadsx.data.splits import split as split
from lfadsx.data.writing import write_dataset as write_dataset
