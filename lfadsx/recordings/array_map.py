"""Which array of a bare file means what: `--map counts=spikes,lengths=n_bins`, or found by usual names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lfadsx.data import validation
from lfadsx.errors import DataError, nearest


class Role(NamedTuple):
    """What an array may be: its meaning in words, and the names under which it is found."""

    meaning: str
    names: tuple[str, ...]


ROLES = {
    "counts": Role(
        "counts per bin, (trial, time, unit); (time, unit) of all trials joined, with `lengths`; or (time, unit) of a "
        "recording that was never cut, with `chop`",
        ("counts", "spikes", "spike_counts", "data", "spikes_concat"),
    ),
    "values": Role(
        "real values such as EMG, (trial, time, channel); (time, channel) of all trials joined, with `lengths`; or "
        "(time, channel) of a recording that was never cut, with `chop`",
        ("values", "emg", "EMG", "lfp", "LFP"),
    ),
    "lengths": Role("bins of each trial", ("lengths", "length", "trial_lengths")),
    "spike_times": Role("time of each spike in seconds", ("spike_times", "spiketimes", "times", "t")),
    "unit": Role("unit of each spike", ("unit", "units", "unit_of_spike", "cluster", "clusters", "spike_clusters")),
    "traces": Role(
        "imaging: dF/F or events of each frame and unit, (frame, unit)",
        ("traces", "dff", "dFF", "F_dff", "df_f", "deconvolved", "spks", "events", "C", "S"),
    ),
    "frame_times": Role(
        "time of each frame in seconds", ("frame_times", "frame_time_s", "frame_time", "frame_times_s")
    ),
    "frame_rate": Role("frames per second", ("frame_rate", "frame_rate_hz", "fs", "fps")),
    "trial_id": Role("id of each trial", ("trial_id", "trial_ids", "trial")),
    "condition": Role("condition of each trial", ("condition", "conditions", "condition_labels")),
    "unit_id": Role("id of each unit", ("unit_id", "unit_ids", "channel_names", "neuron_id", "cell_id", "roi_id")),
    "area": Role("area of each unit", ("area", "areas", "brain_area", "unit_area", "region")),
    "bin_width": Role("width of a bin in seconds, or in ms if the name says so", ("bin_width_s", "bin_width", "dt")),
    "behaviour": Role("behaviour of each bin or sample", ("behaviour", "behavior", "velocity", "hand_vel")),
    "behaviour_times": Role("time of each sample of `behaviour` in seconds", ("behaviour_times", "behavior_times")),
    "observed": Role(
        "intervals in which the recording ran, (interval, 2); for counts that were never cut True for each bin in "
        "which it ran",
        ("observed_intervals", "recorded", "observed"),
    ),
    "start": Role("for counts that were never cut: time of the first bin in seconds", ("first_bin_s",)),
}
"""What the arrays of a bare file may be, by the word used in a map."""

ANY = {"trial_id", "condition", "unit_id", "area", "behaviour"}
BINNED, TIMED = ANY | {"lengths", "bin_width"}, ANY | {"behaviour_times", "observed"}
NEVER_CUT = {"observed", "start"}
"""Roles that go with every form of the data, with bins, with times, and with bins that were never cut into trials."""

JOINED = "+"
"""Stands between arrays that are columns of one role, as in `behaviour=pos_x+pos_y`."""


def parse_map(text: str) -> dict[str, str]:
    """Returns the array of each role of a map in one word, such as "counts=spikes,lengths=n_bins".

    Raises:
        DataError: If an entry has another form, or a role is unknown or given twice.
    """
    found: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        role, sign, name = (part.strip() for part in entry.partition("="))
        if not (sign and role and name):
            raise DataError(f"`map` must hold entries ROLE=ARRAY, got {entry!r}. Give for example counts=spikes.")
        if role in found:
            raise DataError(f"Each role of `map` must be given once, got {role!r} twice. Keep one.")
        found[role] = name
    return found


def resolve(given: Mapping[str, str] | str | None, arrays: Mapping[str, tuple[int, ...]], file: str) -> dict[str, str]:
    """Returns the array of each role: those of the map, and others that are recognised by their names.

    Args:
        given: The map, as a dictionary or in one word; None to recognise all.
        arrays: Shape of each array of the file.
        file: Name of the file in messages.

    Raises:
        DataError: If a role or an array is unknown, or spikes are not clear.
    """
    given = parse_map(given) if isinstance(given, str) else dict(given or {})
    for role, name in given.items():
        if role not in ROLES:
            raise DataError(
                f"A role of `map` must be one of {', '.join(ROLES)}, got {role!r}{nearest(role, ROLES)}. Rename it."
            )
        for part in name.split(JOINED):
            validation.one_of(part, arrays, f"An array of {file!r}")
    recognised = {role: next((n for n in known.names if n in arrays), None) for role, known in ROLES.items()}
    names = {role: name for role, name in recognised.items() if name is not None and name not in given.values()}
    names |= given
    return _one_form(names, given, arrays, file)


def in_words(names: Mapping[str, str]) -> str:
    """Returns the map in the form of `--map`."""
    return ",".join(f"{role}={name}" for role, name in names.items())


def _one_form(
    names: dict[str, str], given: Iterable[str], arrays: Mapping[str, tuple[int, ...]], file: str
) -> dict[str, str]:
    """Returns the roles of one form of the data: spike times, which are cut least, counts, traces or real values."""
    has_times = {"spike_times", "unit"} <= names.keys()
    axes = {role: 2 if JOINED in name else len(arrays[name]) for role, name in names.items()}
    has_counts = axes.get("counts") in (2, 3)
    are_cut = has_counts and (axes["counts"] == 3 or "lengths" in names)
    timed = "traces" in given or "frame_times" in names or "frame_rate" in names
    has_traces = timed and axes.get("traces") == 2
    has_values = axes.get("values") in (2, 3)
    if has_values and ("values" in given or not (has_times or has_counts or has_traces)):
        used = BINNED | {"values", "counts"} | (set() if axes["values"] == 3 or "lengths" in names else NEVER_CUT)
    elif has_traces and ("traces" in given or not (has_times or are_cut or "counts" in given)):
        used = TIMED | {"traces", "frame_times", "frame_rate"}
    elif has_times and not ("counts" in given and has_counts):
        used = (TIMED if "behaviour_times" in names else TIMED - {"behaviour"}) | {"spike_times", "unit"}
    elif has_counts:
        used = BINNED | {"counts"} | (set() if are_cut else NEVER_CUT)
    else:
        raise DataError(
            f"{file!r} must hold counts with the axes (trial, time, unit) or (time, unit), or `spike_times` with the "
            f"`unit` of each spike, or traces (frame, unit) of imaging with their frame times or frame rate, or "
            "real `values` (trial, time, channel) or (time, channel) such as EMG; "
            f"recognised: {in_words(names) or 'nothing'}. Name the arrays with `map` (--map counts=NAME, "
            f"--map spike_times=NAME,unit=NAME, --map traces=NAME,frame_rate=NAME or --map values=NAME). "
            f"The file holds {', '.join(arrays)}."
        )
    if "lengths" not in used and axes.get("observed", 2) != 2:  # intervals have two axes, a mask of bins has one
        used -= {"observed"}
    return {role: name for role, name in names.items() if role in used or role in given}
