"""The figures of a run folder as parts of the page, with titles and texts for readers who do not see them."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

FIGURE_ROOM = 3_000_000
"""Characters for all figures in the page."""
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}

ABOUT = {
    "summary": "One page with the loss, an example trial, the factors, PSTHs and the scores",
    "loss": "Curves of the loss and its parts over epochs, for training and validation trials",
    "rates": "Example trials: recorded data and inferred rates of all neurons, and of single neurons with their band",
    "joined_rates": "A stretch of the recording: data and inferred rates of all neurons, joined from pieces",
    "psth": "Averages over the trials of each condition: recorded data (thin) and inferred rates (bold)",
    "psths": "Averages over the trials of each condition: recorded data beside inferred rates",
    "all_neurons": "Inferred rates of all neurons, averaged over trials",
    "factors": "Factors in planes of their largest variance, coloured by condition",
    "inputs": "Inferred inputs over time: averages of conditions and single trials",
    "initial_conditions": "Initial conditions of all trials, coloured by condition",
    "alignment": "Alignment of sessions: shared components of their condition averages",
    "predicted_counts": "Predicted counts against recorded counts",
    "gain_per_neuron": "Score of each neuron beside that of a baseline",
    "kl_per_dimension": "Divergence of the posterior from the prior, by latent dimension",
    "dynamics": "Fixed points among the trajectories, eigenvalues and time constants of their modes, and roll-outs "
    "without inputs",
    "behaviour": "Recorded behaviour and behaviour decoded from the inferred rates",
}
"""By kind of figure, what it shows."""


@dataclasses.dataclass(frozen=True)
class EmbeddedFigure:
    """A figure in the page.

    Attributes:
        title: Its title.
        about: What it shows, in words.
        source: The image as a data URI.
    """

    title: str
    about: str
    source: str


def embedded_figures(folder: Path) -> tuple[list[EmbeddedFigure], list[str]]:
    """Returns the figures of a folder as data URIs, and the names of those left out for size or format.

    Args:
        folder: The folder `figures` of a run; may be missing.
    """
    files = sorted(folder.iterdir(), key=_order) if folder.is_dir() else []
    found, left_out, room = [], [], FIGURE_ROOM
    for file in files:
        size = file.stat().st_size * 4 // 3
        if file.suffix not in TYPES or size > room:
            left_out.append(file.name)
            continue
        room -= size
        content = base64.b64encode(file.read_bytes()).decode()
        kind, about = _kind(file), ABOUT.get(_kind(file), "")
        title = kind.replace("_", " ").capitalize().replace("Psth", "PSTH").replace("Kl ", "KL ")
        found.append(EmbeddedFigure(title, about or title, f"data:{TYPES[file.suffix]};base64,{content}"))
    return found, left_out


def _kind(file: Path) -> str:
    """Returns the kind of a figure: the name of its file without the split."""
    split, _, rest = file.stem.partition("_")
    return rest if split in ("train", "valid", "test", "all") and rest else file.stem


def _order(file: Path) -> tuple[int, str]:
    kinds = list(ABOUT)
    return (kinds.index(_kind(file)) if _kind(file) in kinds else len(kinds), file.name)
