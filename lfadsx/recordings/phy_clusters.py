"""What the files of Kilosort and Phy say of spikes and clusters."""

from __future__ import annotations

import ast
import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lfadsx.data import validation
from lfadsx.data.opening import open_npy
from lfadsx.data.validation import size
from lfadsx.errors import DataError
from lfadsx.findings import Finding
from lfadsx.recordings.tables import column_of, read_table, typed

LABEL_COLUMNS = ("group", "KSLabel")
"""Columns with labels of clusters: the first is set by a person in Phy, the second by Kilosort."""

AREA_COLUMNS = ("area", "brain_area", "region", "location", "acronym")
UNSORTED = "unsorted"
"""Label of clusters that the table of labels does not name: Phy writes only those that a person has touched."""


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Spikes with their clusters, and the tables of clusters.

    Attributes:
        samples: Time of each spike in samples, int64, shape (spike,).
        cluster: Cluster of each spike, shape (spike,).
        tables: Columns of all tables of clusters by name: text of each cluster that has one.
        files: The files that were read.
    """

    samples: np.ndarray
    cluster: np.ndarray
    tables: dict[str, dict[int, str]]
    files: tuple[Path, ...]

    def chosen(self, labels: Sequence[str] | None, label_column: str | None, name: str) -> tuple[np.ndarray, list]:
        """Returns the ids of the clusters with one of the labels, in order, and a note about the others.

        A cluster that a label names is kept even if it has no spikes.

        Args:
            labels: Labels to keep; None for all.
            label_column: Column with the labels; by default the first of `LABEL_COLUMNS` that exists.
            name: Name of the session.
        """
        everything = sorted({*np.unique(self.cluster).tolist(), *(i for own in self.tables.values() for i in own)})
        if label_column is not None:
            validation.one_of(label_column, self.tables, "`label_column`")
        column = label_column or next((column for column in LABEL_COLUMNS if column in self.tables), None)
        if labels is None or (column is None and tuple(labels) == ("good",)):
            return np.array(everything, np.int64), []
        if column is None:
            raise DataError("`labels` needs a table such as cluster_group.tsv, found none. Use labels=None.")
        label = {cluster: self.tables[column].get(cluster, UNSORTED) for cluster in everything}
        kept = [cluster for cluster in everything if label[cluster] in labels]
        counts = Counter(label.values())
        said = ", ".join(f"{n} {text}" for text, n in counts.most_common())
        if not kept:
            raise DataError(
                f"`labels` must keep at least one cluster, but column {column!r} has {said}. "
                "Name one of these labels, or use labels=None."
            )
        n_left = len(everything) - len(kept)
        spikes = int((~np.isin(self.cluster, kept)).sum())
        sentence = (
            f"{n_left} of {len(everything)} clusters, with {spikes} spikes, are left out; column {column!r} has {said}."
        )
        remedy = "Name other labels with `labels`, or use labels=None for all."
        note = Finding("note", "units dropped", n_left, 0, name, sentence, remedy)
        return np.array(kept, np.int64), [note] if n_left else []

    def columns(self, unit_id: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the columns of all tables for some clusters, shape (unit,) each; the area is called "area"."""
        found = {name: typed([own.get(int(i), "") for i in unit_id]) for name, own in self.tables.items()}
        area = next((name for name in AREA_COLUMNS if name in found), None)
        return found if area is None else found | {"area": found[area].astype(str)}


def read_clusters(folder: Path) -> Clusters:
    """Reads times and clusters of all spikes, and the tables of clusters, of a folder of Kilosort or Phy."""
    times = folder / "spike_times.npy"
    curated, found = folder / "spike_clusters.npy", folder / "spike_templates.npy"
    own = curated if curated.is_file() else found
    samples, cluster = load_npy(times).ravel(), load_npy(own).ravel()
    size(len(cluster), len(samples), "entries", repr(own.name), repr(times.name))
    for values, path in ((samples, times), (cluster, own)):
        if values.dtype.kind not in "iu" and not np.array_equal(values, np.floor(values)):
            raise DataError(
                f"{path.name!r} must hold whole numbers, got {values.dtype} with fractions. "
                "Use `lfadsx.from_spike_times` for times in seconds."
            )
    tables: dict[str, dict[int, str]] = {}
    files = [times, own]
    for path in sorted([*folder.glob("cluster_*.tsv"), *folder.glob("cluster_*.csv")]):
        table = read_table(path)
        ids = table.pop(column_of(list(table), ("cluster_id", "id"), path))
        if ids.dtype.kind not in "iuf":
            continue
        files.append(path)
        for name, values in table.items():
            known = np.isfinite(ids)
            texts = ["" if value != value else str(value) for value in values[known].tolist()]
            tables[name] = dict(zip(ids[known].astype(int).tolist(), texts, strict=True))
    return Clusters(samples.astype(np.int64), cluster.astype(np.int64), tables, tuple(files))


def sample_rate(path: Path) -> float:
    """Returns `sample_rate` of params.py, which is read as text and never run."""
    advice = "Give the samples per second as `clock_hz`."
    if not path.is_file():
        raise DataError(f"The sample rate must be known, but {str(path)!r} was not found. {advice}")
    try:
        statements = ast.parse(path.read_text()).body
        found = {
            target.id: ast.literal_eval(statement.value)
            for statement in statements
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name) and target.id == "sample_rate"
        }
        return float(found["sample_rate"])
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{path.name!r} must have a line such as sample_rate = 30000.0, got none. {advice}") from error


def load_npy(path: Path) -> np.ndarray:
    """Returns the array of a .npy file; files that need pickle are refused."""
    if not path.is_file():
        raise DataError(f"The file {str(path)!r} must exist, but was not found. Check the folder.")
    return np.array(open_npy(path))
