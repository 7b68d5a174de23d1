"""Recordings: spike times or traces with a table of trials, from the files of laboratories to a `Dataset`."""

from lfadsx.recordings.caiman_file import read_caiman as read_caiman
from lfadsx.recordings.csv_folder import read_csv as read_csv
from lfadsx.recordings.cutting import cut as cut
from lfadsx.recordings.imaging import read_traces as read_traces
from lfadsx.recordings.matlab_file import read_matlab as read_matlab
from lfadsx.recordings.neo_block import read_neo as read_neo
from lfadsx.recordings.nwb_file import read_nwb as read_nwb
from lfadsx.recordings.phy_folder import read_phy as read_phy
from lfadsx.recordings.pynapple_file import read_pynapple as read_pynapple
from lfadsx.recordings.recording import Recording as Recording
from lfadsx.recordings.recording import Signal as Signal
from lfadsx.recordings.spike_times import read_spike_times as read_spike_times
from lfadsx.recordings.spikeinterface_sorting import read_spikeinterface as read_spikeinterface
from lfadsx.recordings.suite2p_folder import read_suite2p as read_suite2p
