"""The flags that all commands which train have in common."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from lfadsx.cli.command_flags import Command, positional
from lfadsx.cli.cutting_flags import Cutting
from lfadsx.cli.process_flags import Processes
from lfadsx.cli.reading_flags import Reading, kind_for
from lfadsx.cli.terminal import use_devices
from lfadsx.config import FigureFormat, HyperParams, ModelConfig, TrainConfig

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from lfadsx.data.dataset import Dataset
    from lfadsx.types import Kind

Settings = TypeVar("Settings", HyperParams, TrainConfig)


@dataclasses.dataclass(kw_only=True)
class Training(Command):
    """What is trained on which files, and where results go."""

    files: tuple[Path, ...] = positional("FILE")
    """Data files or recordings, one for each session."""
    out: Path = dataclasses.field()
    """Folder to write."""
    config: Path | None = None
    """File of settings: run.json of an earlier run, or TOML. Flags replace its values."""
    set: tuple[str, ...] = ()
    """Any setting as NAME=VALUE, with commas between several numbers."""
    parts: Path | None = None
    """Python file that defines your own parts of the model; only this file is imported."""
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    """Architecture."""
    hyper: HyperParams = dataclasses.field(default_factory=HyperParams)
    """Hyperparameters."""
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    """The run."""
    reading: Reading = dataclasses.field(default_factory=Reading)
    """How the files are read."""
    cutting: Cutting = dataclasses.field(default_factory=Cutting)
    """How recordings are cut into trials."""
    align_sessions: int = 0
    """Shared components that align the sessions, computed from their training trials. 0: alignment of the files, if
    they hold one."""
    samples: int = 64
    """Posterior samples per trial that are averaged."""
    figures: bool = True
    """Draw figures and write the report page, report.html."""
    figure_format: FigureFormat = "png"
    """Format of the figures: png for screens; pdf or svg for print, with text that can be edited."""
    devices: int | None = None
    """Devices that share models and trials, in each process. By default one GPU, or all cores of a CPU, each as a
    device."""
    processes: Processes = dataclasses.field(default_factory=Processes)
    """Several processes."""
    json: bool = False
    """Print the scores as one JSON object on the last line."""

    def read(self, kind: Kind | dict[str, Kind] | None = None) -> Dataset:
        """Returns the data of the files, not yet aligned; `kind` as in `Reading.read`, by default by the likelihood."""
        return self.reading.read(self.files, kind or kind_for(self.model.likelihood), self.train.seed, self.cutting)

    def read_aligned(self, kind: Kind | dict[str, Kind] | None = None) -> Dataset:
        """Returns the data of the files, aligned if the flags ask for it; `kind` as in `read`."""
        from lfadsx.data.session_alignment import align

        data = self.read(kind)
        return align(data, self.align_sessions) if self.align_sessions else data

    def suited(self, data: Dataset) -> tuple[HyperParams, TrainConfig]:
        """Returns hyperparameters and run settings: the flags that are given, and for others what suits the data."""
        from lfadsx.settings_for_data import suited_settings

        hyper, train = suited_settings(data, self.train.batch_size)
        return self._with_given(hyper, self.hyper), self._with_given(train, self.train)

    def _with_given(self, suited: Settings, flags: Settings) -> Settings:
        names = self.given.intersection(field.name for field in dataclasses.fields(flags))
        return dataclasses.replace(suited, **{name: getattr(flags, name) for name in names})

    def mesh(self, n_members: int = 1) -> Mesh | None:
        """Connects several processes, and returns the devices, None for one; must be called before JAX is used.

        As many devices as possible get different members, because members do not wait for each other.

        Args:
            n_members: Number of models that are trained together.
        """
        from lfadsx.parallel import make_mesh
        from lfadsx.processes import count

        self.processes.connect()
        n_members = max(1, n_members)
        devices = count() * use_devices(self.devices, self.train.batch_size * n_members // count())
        return make_mesh(devices, members=math.gcd(n_members, devices)) if devices > 1 else None
