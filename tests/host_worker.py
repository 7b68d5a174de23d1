"""One of several processes of a run, as test_hosts.py starts them: `python host_worker.py ADDRESS N INDEX OUT`."""

import json
import sys
from pathlib import Path

import jax

import lfadsx
from lfadsx import processes
from lfadsx.data.batching import Feed
from lfadsx.training import loop

sys.path.insert(0, str(Path(__file__).parent))
from hosts_case import HUNDRED_STEPS, interrupted, members, ragged_sessions, single  # noqa: E402


def main(address, n, index, out):
    jax.config.update("jax_enable_x64", "--float32" not in sys.argv)
    processes.connect(address, n, index, timeout=300)
    mesh, data, found, rows = lfadsx.make_mesh(), ragged_sessions(), {}, set()
    if "--float32" in sys.argv:
        single(data, HUNDRED_STEPS, mesh=mesh, out=f"{out}/single")
        members(data, HUNDRED_STEPS, mesh=lfadsx.make_mesh(members=n), out=f"{out}/all")
        print("{}", flush=True)
        return processes.leave(0)
    whole = Feed.train_block

    def watched(self, epoch, block, rows_of_step=slice(None)):
        rows.add(rows_of_step.indices(self.train.rows)[:2])
        return whole(self, epoch, block, rows_of_step)

    Feed.train_block = watched
    # Only process 1 is asked to stop.
    ordinary = loop.stop_request
    if index == 1:
        loop.stop_request = interrupted(3)
    first = single(data, mesh=mesh, out=f"{out}/single")
    loop.stop_request = ordinary
    second = single(data, mesh=mesh, out=f"{out}/single")
    found["reasons"], found["signal"], found["rows"] = [first.reason, second.reason], first.signal, sorted(rows)
    try:
        single(data, mesh=mesh, seed=index)
    except lfadsx.LfadsxError as error:
        found["error"] = str(error)
    if "--population" in sys.argv:
        members(data, mesh=lfadsx.make_mesh(members=2 if n == 2 else 1), out=f"{out}/all")
    print(json.dumps(found), flush=True)
    processes.leave(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
