"""Every message to a user: what must hold, what was found, what to do, in plain words."""

import ast
import re
from pathlib import Path

import lfadsx

LIBRARY = Path(lfadsx.__file__).parent
ERRORS = {"LfadsxError", "DataError", "RunError", "CheckpointError", "MissingExtraError"}
HARD_TO_READ = re.compile(
    r"\b(is|are) (no|none|neither|nobody)\b|\bnone of\b|\bone's own\b|\bgo(es)? on\b|\bno more\b", re.I
)
"""Words of messages that must be read twice: "3 is no width" for "`width` must be ..., got 3"."""
HOLDS = re.compile(r"\bmust\b|\bneeds?\b|\bcannot\b|\bonly\b|\bboth\b|\bat (least|most)\b")
ORDERS = (
    "add ask build call check choose compare compute convert copy delete derive divide draw end fit free give hold "
    "initialise install keep leave let list lower make mark move name open pass pick pool put raise read record remove "
    "rename replace report resume run say score select set shorten split start store take train update use wait write "
    "lfadsx"
).split()
"""Verbs that begin a sentence on what to do."""


def template(node):
    """The text of a message, with {} for each value."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{}"
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return "{}"


def messages():
    for file in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and node.args:
                yield f"{file.relative_to(LIBRARY)}:{node.lineno}", template(node.args[0])


MESSAGES = dict(messages())


def test_no_message_must_be_read_twice():
    found = {where: text for where, text in MESSAGES.items() if HARD_TO_READ.search(text)}
    assert not found, found


def test_every_message_says_what_was_found_and_what_to_do():
    assert len(MESSAGES) > 250
    wrong = {}
    for where, text in MESSAGES.items():
        if text.strip("{} .") == "":  # made elsewhere
            continue
        sentences = [part for part in re.split(r"(?<=[.})])\s+(?=[A-Z{`l])", text.strip()) if part]
        does = any(re.match(rf"\W*({'|'.join(ORDERS)})\b", part, re.I) for part in sentences[1:])
        does |= "--help" in text or text.endswith("{}")  # where the rest comes from elsewhere
        if not text.rstrip().endswith((".", "}")) or not (does or HOLDS.search(text)):
            wrong[where] = text
    assert not wrong, wrong
