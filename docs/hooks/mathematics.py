"""Turns LaTeX into MathML, which browsers draw without a script or a font from elsewhere."""

import html
import re

from latex2mathml.converter import convert

BLOCK = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)


def on_page_content(content, **kwargs):
    """Converts the mathematics that the Markdown extension `arithmatex` has marked."""
    return BLOCK.sub(mathml, content)


def mathml(match):
    """Returns one formula as MathML."""
    latex = html.unescape(re.sub(r"<[^>]+>", "", match[2])).strip()
    shown = latex.startswith(r"\[")
    latex = latex.removeprefix(r"\(").removesuffix(r"\)").removeprefix(r"\[").removesuffix(r"\]").strip()
    if shown and ("&" in latex or r"\\" in latex) and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    converted = convert(latex, display="block" if shown else "inline")
    return f'<div class="formula" tabindex="0">{converted}</div>' if shown else converted
