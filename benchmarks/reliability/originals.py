"""Intact small files of every format that lfadsx reads, each with the function that reads it."""

from __future__ import annotations

import datetime
import importlib.util
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import scipy.io
from flax import nnx

import lfadsx
from lfadsx.cli.command_flags import flags_of
from lfadsx.cli.fit_commands import Fit
from lfadsx.cli.settings_file import from_file
from lfadsx.data.writing import write_dataset
from lfadsx.files import to_json
from lfadsx.interop import settings_from_lfads_torch
from lfadsx.interop.tensorflow.models import _read as read_parameters
from lfadsx.recordings.formats import read_recording
from lfadsx.results.calibration import Calibration
from lfadsx.results.posterior import Posterior
from lfadsx.results.results_file import read_posteriors
from lfadsx.search.space import Space
from lfadsx.training.history import read_rows, rows_of, write_rows
from lfadsx.training.run_folder import RunFolder
from lfadsx.training.run_info import make_info
from lfadsx.types import TargetGroup

N_TRIALS, N_BINS, N_UNITS = 24, 20, 8


class Original(NamedTuple):
    """A file, or a folder of which one file is damaged, and how it is read.

    Attributes:
        path: The file or folder.
        read: Returns the content of a file or folder at another place.
        checked: "arrays" if arrays of HDF5 have checksums, "all" if every difference must be found, else "".
    """

    path: Path
    read: Callable[[Path], Any]
    checked: str = ""


def originals(folder: Path, names: Collection[str] = ()) -> dict[str, Original]:
    """Returns originals by name, by default all; those that `folder` lacks are written there."""
    made = {name: folder / FORMATS[name][0] for name in names or FORMATS}
    for name, path in made.items():
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            FORMATS[name][1](path)
    return {name: Original(path, *FORMATS[name][2:]) for name, path in made.items()}


def _counts() -> np.ndarray:
    rng = np.random.default_rng(0)
    course = 1 + 0.8 * np.sin(np.arange(N_BINS) / 3)[:, None] * rng.uniform(-1, 1, N_UNITS)
    return rng.poisson(course * rng.uniform(0.5, 2.0, N_UNITS), (N_TRIALS, N_BINS, N_UNITS))


def _hdf5(**options: Any) -> Callable[[Path], None]:
    """Returns a function that writes counts, behaviour and labels with h5py, as other programs do."""

    def write(path: Path) -> None:
        counts, n_train = _counts(), N_TRIALS * 3 // 4
        with h5py.File(path, "w") as file:
            for split, rows in (("train", slice(n_train)), ("valid", slice(n_train, None))):
                file.create_dataset(f"{split}_encod_data", data=counts[rows][..., :6], **options)
                file.create_dataset(f"{split}_recon_data", data=counts[rows], **options)
                velocity = np.random.default_rng(1).standard_normal((*counts[rows].shape[:2], 2))
                file.create_dataset(f"{split}_behavior", data=velocity, **options)
                labels = np.array([b"left", b"right"] * N_TRIALS)[: len(velocity)]
                file.create_dataset(f"{split}_condition", data=labels, **options)
            file["target_index"] = np.arange(6)
            file.attrs.update({"bin_width_s": 0.01, "event": "go", "channel_names": [f"u{i}" for i in range(N_UNITS)]})

    return write


def _dataset() -> lfadsx.Dataset:
    split = ["train", "train", "valid"] * (N_TRIALS // 3)
    return lfadsx.from_arrays(list(_counts()), bin_width=0.01, held_out=[1, 4], split=split, session="day1")


def _written(path: Path) -> None:
    write_dataset(path, _dataset())


def _tensors(path: Path) -> None:
    counts = _counts()
    with h5py.File(path, "w") as file:
        file.create_dataset("train_spikes_heldin", data=counts[:16, :, :6], compression="gzip")
        file.create_dataset("train_spikes_heldout", data=counts[:16, :, 6:], compression="gzip")
        file.create_dataset("eval_spikes_heldin", data=counts[16:, :, :6], compression="gzip")


def _posterior(path: Path) -> None:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray:
        return rng.random((N_TRIALS, *shape)).astype(np.float32)

    Posterior(
        rates={"spikes": draw(N_BINS, N_UNITS)},
        rates_std={"spikes": draw(N_BINS, N_UNITS)},
        factors=draw(N_BINS, 3),
        initial_condition=draw(4),
        ic_mean=draw(4),
        ic_std=draw(4),
        initial_state=draw(5),
        generator_states=draw(N_BINS, 5),
        inputs=draw(N_BINS, 1),
        inputs_std=draw(N_BINS, 1),
        input_mean=None,
        input_std=None,
        controller_states=None,
        encoding=None,
        trial_id=np.arange(N_TRIALS),
        session=np.zeros(N_TRIALS, int),
        length=np.full(N_TRIALS, N_BINS),
        n_samples=4,
        seed=0,
        split="valid",
        sessions=("day1",),
        groups={"spikes": TargetGroup("counts", "counts per bin")},
        condition=np.array(["left", "right"] * (N_TRIALS // 2)),
        version=lfadsx.__version__,
    ).save(path)


def _parameters(path: Path) -> None:
    lfadsx.interop.write_parameters(path, _model(lfadsx.from_arrays(list(_counts()))), keys="tf")


def _nwb(path: Path) -> None:
    import pynwb

    rng = np.random.default_rng(0)
    nwb: Any = pynwb.NWBFile("reaching", "monday", datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC))
    nwb.add_unit_column("area", "Area")
    for unit in range(4):
        nwb.add_unit(spike_times=np.sort(rng.uniform(0, 20, 150)), area="M1" if unit % 2 else "PMd")
    nwb.add_trial_column("go_cue_time", "Time of the go cue")
    for trial in range(12):
        nwb.add_trial(start_time=1.5 * trial, stop_time=1.5 * trial + 1.4, go_cue_time=1.5 * trial + 0.5)
    series = pynwb.TimeSeries(name="velocity", data=rng.random((400, 2)), unit="m/s", rate=20.0)
    nwb.create_processing_module("behavior", "Movement").add(series)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def _nix(path: Path) -> None:
    neo: Any = importlib.import_module("neo")
    pq = importlib.import_module("quantities")
    rng = np.random.default_rng(0)
    block, segment = neo.Block(name="monday"), neo.Segment()
    block.segments.append(segment)
    for unit in range(4):
        times = np.sort(rng.uniform(0, 20, 150))
        segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=20 * pq.s, unit_id=unit))
    start = 1.5 * np.arange(12)
    labels = np.array(["left", "right"] * 6)
    segment.epochs.append(neo.Epoch(start * pq.s, np.full(12, 1.4) * pq.s, labels, name="trials"))
    velocity = neo.AnalogSignal(rng.random((400, 2)), units="m/s", sampling_rate=20 * pq.Hz, name="velocity")
    segment.analogsignals.append(velocity)
    with neo.NixIO(str(path), "ow") as io:
        io.write_block(block)


def _matlab(*, compressed: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        rng = np.random.default_rng(0)
        spikes = np.empty((4, 12), object)
        for unit, trial in np.ndindex(spikes.shape):
            spikes[unit, trial] = np.sort(rng.uniform(0, 1, 30))
        trials = {"trialID": np.arange(12.0), "startTime": np.arange(12.0), "stopTime": np.arange(12.0) + 1}
        scipy.io.savemat(path, {"spikes": spikes, "trials": trials}, do_compression=compressed)

    return write


def _matlab_73(path: Path) -> None:
    rng = np.random.default_rng(0)
    with h5py.File(path, "w", userblock_size=512) as file:

        def add(name: str, values: Any, kind: bytes = b"double") -> h5py.Dataset:
            item = file.create_dataset(name, data=values)
            item.attrs["MATLAB_class"] = np.bytes_(kind)
            return item

        spikes = np.empty((12, 4), h5py.ref_dtype)
        for number, (trial, unit) in enumerate(np.ndindex(spikes.shape)):
            spikes[trial, unit] = add(f"#refs#/{number}", np.sort(rng.uniform(0, 1, (30, 1)))).ref
        add("spikes", spikes, b"cell")
        for name, values in (("trialID", 0.0), ("startTime", 0.0), ("stopTime", 1.0)):
            add(f"trials/{name}", np.arange(12.0)[None] + values)
        file["trials"].attrs["MATLAB_class"] = np.bytes_(b"struct")
    content = bytearray(path.read_bytes())
    content[:128] = b"MATLAB 7.3 MAT-file, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM"
    path.write_bytes(content)


def _npz(save: Callable[..., None]) -> Callable[[Path], None]:
    return lambda path: save(path, counts=_counts(), condition=np.array(["left", "right"] * 12), bin_width=0.01)


def _pynapple(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    times, unit = np.sort(rng.uniform(0, 20, 600)), rng.integers(0, 4, 600)
    group = {"t": times, "index": unit, "keys": np.arange(4), "start": [0.0], "end": [20.0], "type": ["TsGroup"]}
    np.savez(folder / "spikes.npz", **{name: np.array(values) for name, values in group.items()})
    start = 1.5 * np.arange(12)
    np.savez(folder / "trials.npz", start=start, end=start + 1.4, type=np.array(["IntervalSet"]))


def _phy(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    np.save(folder / "spike_times.npy", np.sort(rng.integers(0, 600_000, 600)))
    np.save(folder / "spike_clusters.npy", rng.integers(0, 4, 600))
    (folder / "params.py").write_text("sample_rate = 30000.0\n")
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n1\tgood\n2\tmua\n3\tgood\n")
    rows = "".join(f"{i},{45_000 * i},{45_000 * i + 30_000}\n" for i in range(12))
    (folder / "events.csv").write_text("trial_id,start,stop\n" + rows)


def _csv(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = sorted(zip(rng.uniform(0, 20, 400).round(4).tolist(), rng.integers(0, 4, 400).tolist(), strict=True))
    (folder / "spikes.csv").write_text("time,unit\n" + "".join(f"{time},{unit}\n" for time, unit in rows))
    (folder / "trials.csv").write_text(
        "trial_id,start,stop\n" + "".join(f"{i},{1.5 * i},{1.5 * i + 1}\n" for i in range(12))
    )


def _model(data: lfadsx.Dataset) -> lfadsx.LFADS:
    return lfadsx.autonomous(data, factors=3, generator_dim=5, ic_dim=4, ic_enc_dim=4, rngs=nnx.Rngs(0))


def _run(path: Path) -> None:
    data = _dataset()
    model, run = _model(data), RunFolder(path)
    run.write_info(make_info(model, data, lfadsx.HyperParams(), lfadsx.TrainConfig()))
    run.save_models(model, model, epoch=2, best_epoch=1, step=6, steps_per_epoch=3)
    write_rows(run.history, rows_of({"epoch": np.arange(1.0, 3), "loss": np.array([3.0, 2.0])}))
    Calibration(0.2, 0.01, {"day1": np.ones(N_UNITS)}, "valid", 8).save(run.calibration)


def _read_run(path: Path) -> Any:
    """Returns everything that a run folder holds, so that the damaged file is among it."""
    run = RunFolder(path)
    facts = [run.info, run.info.sessions, run.info.kinds, read_rows(run.history), Calibration.read(run.calibration)]
    return [*facts, *(nnx.to_pure_dict(nnx.state(run.load(which=which))) for which in ("best", "last"))]


TOML = """
factors = 20
cd_rate = 0.3
seed = 4
inferred_inputs = 2
likelihood = "poisson"

[train]
epochs = 40
learning_rate = 0.004
"""

YAML = """
_target_: lfads_torch.model.LFADS
encod_data_dim: 50
encod_seq_len: 100
recon_seq_len: 100
ext_input_dim: 0
ic_enc_seq_len: 0
ic_enc_dim: 64
ci_enc_dim: 64
ci_lag: 1
con_dim: 64
co_dim: 4
ic_dim: 64
gen_dim: 100
fac_dim: 40
dropout_rate: 0.02
kl_ic_scale: 1.0e-6
lr_init: ${model.kl_ic_scale}
"""


def _text(content: str) -> Callable[[Path], Any]:
    return lambda path: path.write_text(content)


def _settings(path: Path) -> Any:
    return from_file(path, flags_of(Fit))


def _json_settings(path: Path) -> None:
    data = _dataset()
    info = make_info(_model(data), data, lfadsx.HyperParams(), lfadsx.TrainConfig(), notes={"model": {"factors": 3}})
    path.write_text(to_json(info))


def _cut(**options: Any) -> Callable[[Path], Any]:
    return lambda path: read_recording(path, **options)


WHOLE = _cut(align="start", window=(0.0, 0.5))

FORMATS: dict[str, tuple[Any, ...]] = {
    "hdf5": ("plain.h5", _hdf5(), lfadsx.read),
    "hdf5 with gzip": ("gzip.h5", _hdf5(compression="gzip"), lfadsx.read),
    "hdf5 with checksums": ("fletcher32.h5", _hdf5(fletcher32=True), lfadsx.read, "arrays"),
    "hdf5 of lfadsx": ("written.h5", _written, lfadsx.read, "arrays"),
    "hdf5 of the benchmark": ("tensors.h5", _tensors, lfadsx.read),
    "posterior": ("posterior.h5", _posterior, read_posteriors, "arrays"),
    "parameters": ("parameters.h5", _parameters, read_parameters),
    "nwb": ("monday.nwb", _nwb, WHOLE),
    "matlab 5": ("plain.mat", _matlab(compressed=False), WHOLE),
    "matlab 5 with gzip": ("gzip.mat", _matlab(compressed=True), WHOLE, "all"),
    "matlab 7.3": ("v73.mat", _matlab_73, WHOLE),
    "npz": ("plain.npz", _npz(np.savez), _cut(), "all"),
    "npz with gzip": ("gzip.npz", _npz(np.savez_compressed), _cut(), "all"),
    "pynapple": ("pynapple", _pynapple, WHOLE),
    "phy": ("phy", _phy, WHOLE),
    "csv": ("csv", _csv, WHOLE),
    "run folder": ("run", _run, _read_run),
    "toml": ("settings.toml", _text(TOML), _settings),
    "json": ("run.json", _json_settings, _settings),
    "yaml": ("model.yaml", _text(YAML), lambda path: settings_from_lfads_torch(path)),
    "search space": ("space.json", lambda path: Space.default().to_json(path), Space.from_json),
}
"""By name: file or folder, the function that writes it, the function that reads it, and what checksums cover."""
if importlib.util.find_spec("nixio"):
    FORMATS["nix"] = ("monday.nix", _nix, WHOLE)
