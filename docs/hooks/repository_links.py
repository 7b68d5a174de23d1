"""Links between the site and the rest of the repository.

A link to a file outside docs/ becomes a link to the repository's web page, if the file exists. A page with `file: NAME`
in its front matter shows that file of the repository, whose links are then followed from its own folder.
"""

import os
import re
from pathlib import Path

LINK = re.compile(r"\]\((?!\w+:)([^)\s#]+)(#[^)\s]+)?\)")


def on_page_markdown(markdown, page, config, **kwargs):
    """Rewrites the links of one page."""
    docs = Path(config.docs_dir).resolve()
    root = docs.parent
    here = folder = (docs / page.file.src_uri).parent
    if "file" in page.meta:
        shown = root / page.meta["file"]
        markdown, folder = shown.read_text(), shown.parent

    def rewritten(match):
        target, anchor = (folder / match[1]).resolve(), match[2] or ""
        if target.is_relative_to(docs) and not target.is_dir():
            return f"]({Path(os.path.relpath(target, here)).as_posix()}{anchor})"
        if not target.is_relative_to(root) or not target.exists():
            return match[0]  # a broken link, which MkDocs reports
        kind = "tree" if target.is_dir() else "blob"
        return f"]({config.extra['repository']}/{kind}/main/{target.relative_to(root).as_posix()}{anchor})"

    return LINK.sub(rewritten, markdown)
