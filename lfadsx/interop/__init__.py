"""Models and files of other LFADS programs."""

from lfadsx.interop.lfads_torch import from_lfads_torch as from_lfads_torch
