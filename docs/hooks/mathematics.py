"""Turns LaTeX into MathML, which browsers draw without a script or a font from elsewhere."""

import html
import re

from latex2mathml.converter import convert

MARKED = re.compile(r'<(?:span|div) class="arithmatex">(?:\\\((.*?)\\\)|\\\[(.*?)\\\])</(?:span|div)>', re.DOTALL)
"""What the Markdown extension `arithmatex` has marked: inline, or displayed."""

CELL = re.compile(r'(?<=data-mime-type="text/markdown">).*?(?=</div>)', re.DOTALL)
"""The text of a notebook, in which nothing is marked."""

DOLLARS = re.compile(r"<code>.*?</code>|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$]+?)\$", re.DOTALL)


def on_page_content(content, page, **kwargs):
    """Converts all formulas of a page."""
    if page.file.src_uri.endswith(".ipynb"):
        return CELL.sub(lambda cell: DOLLARS.sub(of_notebook, cell[0]), content)
    return MARKED.sub(lambda match: mathml(match[1] or match[2], match[1] is None), content)


def of_notebook(match):
    """Returns a formula between dollars as MathML; code stays as it is."""
    latex = match["block"] or match["inline"]
    return mathml(latex, match["block"] is not None) if latex else match[0]


def mathml(latex, displayed):
    """Returns one formula as MathML."""
    latex = html.unescape(re.sub(r"<[^>]+>", "", latex)).strip()
    if not displayed:
        return convert(latex)
    if ("&" in latex or r"\\" in latex) and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    return f'<span class="formula" tabindex="0">{convert(latex, display="block")}</span>'
