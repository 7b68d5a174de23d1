"""Recordings: spike times with a table of trials, from the files of laboratories to a `Dataset`."""
