"""The flags of several processes that train together."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys

from lfadsx.cli.terminal import say
from lfadsx.errors import LfadsxError


@dataclasses.dataclass(frozen=True)
class Processes:
    """Processes on one machine or several that share one run."""

    coordinator: str | None = None
    """Train in several processes that share the work: HOST:PORT of the process 0, with --num-processes and
    --process-id; or `auto` for the tasks of a Slurm or Open MPI job."""
    num_processes: int | None = None
    """Number of processes that share the run."""
    process_id: int | None = None
    """Number of this process, from 0; the process 0 writes files, logs and figures."""
    connect_timeout: int = 300
    """Seconds to wait until all processes have connected."""

    def connect(self) -> None:
        """Connects the processes if the flags ask for it; must be called before JAX is used.

        Raises:
            LfadsxError: If a flag is missing or wrong, or the process 0 cannot be reached.
        """
        from lfadsx import processes

        flags = {"--num-processes": self.num_processes, "--process-id": self.process_id}
        given = [name for name, value in flags.items() if value is not None]
        if self.coordinator is None or self.coordinator == "auto":
            if given:
                raise LfadsxError(
                    f"{' and '.join(given)} must come with --coordinator HOST:PORT, got --coordinator "
                    f"{self.coordinator}. Give it, or leave them out."
                )
            if self.coordinator == "auto":
                processes.connect_scheduled(timeout=self.connect_timeout)
            elif processes.scheduled_tasks() not in (None, 1):
                say(
                    f"{processes.scheduled_tasks()} tasks were started, and each trains by itself. Add --coordinator "
                    "auto if they are to share one run."
                )
        elif self.num_processes is None or self.process_id is None:
            missing = " and ".join(name for name in flags if name not in given)
            raise LfadsxError(f"--coordinator {self.coordinator} must come with {missing}. Give it, or `auto`.")
        else:
            how = self.coordinator, self.num_processes, self.process_id
            processes.connect(*how, timeout=self.connect_timeout)
        if processes.count() > 1:
            _keep_standard_output()
        if not processes.is_first():
            logging.getLogger("lfadsx").setLevel(logging.ERROR)


def _keep_standard_output() -> None:
    """Sends what C code writes to the standard output, as the library of exchanges does, to the standard error."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding)
    os.dup2(2, 1)
