"""Recordings: spike times with a table of trials, from the files of laboratories to a `Dataset`."""

from lfadsx.recordings.csv_folder import read_csv as read_csv
from lfadsx.recordings.cutting import cut as cut
from lfadsx.recordings.matlab_file import read_matlab as read_matlab
from lfadsx.recordings.nwb_file import read_nwb as read_nwb
from lfadsx.recordings.phy_folder import read_phy as read_phy
from lfadsx.recordings.pynapple_file import read_pynapple as read_pynapple
from lfadsx.recordings.recording import Recording as Recording
from lfadsx.recordings.recording import Signal as Signal
from lfadsx.recordings.spike_times import read_spike_times as read_spike_times
