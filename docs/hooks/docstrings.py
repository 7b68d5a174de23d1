"""Writes docstrings in the Markdown that the site reads: examples and equations."""

import re

import griffe

MATH = re.compile(r"^( *)\.\. math::(.*)\n((?:(?:\1 +.*|\s*)\n)*)", re.MULTILINE)


def block(match):
    """Returns a block of display mathematics in Markdown."""
    indent, body = match[1], f"{match[2]}\n{match[3]}".strip()
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    return f"\n{indent}$$\n" + "".join(f"{indent}{line}\n" for line in lines) + f"{indent}$$\n\n"


class Docstrings(griffe.Extension):
    """Changes docstrings as they are collected."""

    def on_object(self, *, obj, **kwargs):
        """Changes the docstring of one module, class, function or attribute."""
        if obj.docstring is None:
            return
        text = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
        obj.docstring.value = MATH.sub(block, text + "\n").rstrip()
