"""Fails the build if a page would load anything from another server."""

import re
from pathlib import Path

from mkdocs.exceptions import PluginError

REQUEST = re.compile(r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'\s>]+")
STYLE = re.compile(r"<link\b[^>]*\brel=[\"']?(?:stylesheet|preconnect|icon|preload)[^>]*(?:https?:)?//[^\"'\s>]+")
IN_CSS = re.compile(r"url\([\"']?(?:https?:)?//[^)]+|@import [^;]*//[^;]+")


def on_post_build(config):
    """Looks through every page and style sheet that was built."""
    found = []
    for path in sorted(Path(config.site_dir).rglob("*.*")):
        patterns = {".html": (REQUEST, STYLE), ".css": (IN_CSS,)}.get(path.suffix, ())
        found += [f"{path}: {match[0][:120]}" for of in patterns for match in of.finditer(path.read_text())]
    if found:
        raise PluginError("Pages must not load anything from other servers:\n" + "\n".join(found))
