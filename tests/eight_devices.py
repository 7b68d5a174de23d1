"""Trains on 1 and on 8 devices: `python eight_devices.py single|members float64|float32 FOLDER`.

In float64 the run on 8 is also resumed on 1, 2 and 3; in float32 the runs have a hundred steps.
"""

import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from hosts_case import HUNDRED_STEPS, interrupted, members, ragged_sessions, single

import lfadsx
from lfadsx.training import loop


def values(result):
    return [np.asarray(x) for own in getattr(result, "members", [result]) for x in jax.tree.leaves(nnx.state(own.last))]


def main(kind, numbers, folder):
    jax.config.update("jax_enable_x64", numbers == "float64")
    train, rows = {"single": (single, 1), "members": (members, 4)}[kind]
    data, apart = ragged_sessions(), {}
    how = {"config": HUNDRED_STEPS} if numbers == "float32" else {}
    one = values(train(data, **how))

    def compare(name, result):
        apart[name] = max(float(np.max(np.abs(a - b))) for a, b in zip(one, values(result), strict=True))

    eight = lfadsx.make_mesh(8, members=rows)
    compare("8", train(data, mesh=eight, **how))
    if numbers == "float64":
        compare_resumed(train, data, eight, kind, folder, compare)
    print(json.dumps(apart))


def compare_resumed(train, data, eight, kind, folder, compare):
    ordinary, loop.stop_request = loop.stop_request, interrupted(2)
    assert train(data, mesh=eight, out=folder / "begun").reason == "interrupted"
    loop.stop_request = ordinary
    for n in (1, 2, 3):
        shutil.copytree(folder / "begun", folder / str(n))
        mesh = lfadsx.make_mesh(n, members=2 if kind == "members" and n == 2 else 1)
        compare(f"8 to {n}", train(data, mesh=mesh, out=folder / str(n)))


if __name__ == "__main__":
    main(*sys.argv[1:3], Path(sys.argv[3]))
