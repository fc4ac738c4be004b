"""Edits of a YAML file's top-level keys as text: comments, order and encrypted values stay as they were written."""

from __future__ import annotations

import re
from collections.abc import Callable

_VAULT = re.compile(r"(!vault \|\S*[ \t]*\n)((?:[ \t]+\S+[ \t]*(?:\n|\Z))+)")


class NoKeyError(Exception):
    """A key does not stand at the beginning of a line, followed by a colon."""


def block(text: str, key: str) -> tuple[int, int]:
    """Where a key and its value begin and end in the text, blank lines after it left out. NoKeyError."""
    found = re.search(rf"^{re.escape(key)}:(?=\s|$)", text, re.MULTILINE)
    if found is None:
        raise NoKeyError(key)
    end = _line_end(text, found.start())
    position = end
    while position < len(text):
        after = _line_end(text, position)
        line = text[position:after]
        if line.strip() and not line[0].isspace() and not line.startswith("- "):
            break
        position = after
        if line.strip():
            end = position
    return found.start(), end


def has(text: str, key: str) -> bool:
    """Whether the text sets a key."""
    try:
        block(text, key)
    except NoKeyError:
        return False
    return True


def rename(text: str, old: str, new: str) -> str:
    """The text with a key called otherwise; its value stays."""
    start, _ = block(text, old)
    return f"{text[:start]}{new}{text[start + len(old):]}"


def remove(text: str, key: str) -> str:
    """The text without a key and its value."""
    start, end = block(text, key)
    return text[:start] + text[end:]


def insert(text: str, after: str, added: str) -> str:
    """The text with whole lines added behind the value of a key."""
    _, end = block(text, after)
    head = text[:end] if text[:end].endswith("\n") else text[:end] + "\n"
    return head + added + text[end:]


def replace(text: str, key: str, lines: str) -> str:
    """The text with other lines in the place of a key and its value."""
    start, end = block(text, key)
    return text[:start] + lines + text[end:]


def reencrypt(text: str, change: Callable[[str], str]) -> str:
    """The text with each `!vault` value, wherever it stands, as `change` makes it of its ciphertext."""

    def one(found: re.Match[str]) -> str:
        lines = found[2].splitlines()
        indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
        fresh = change("\n".join(line.strip() for line in lines) + "\n").splitlines()
        ending = "\n" if found[2].endswith("\n") else ""
        return found[1] + "\n".join(indent + line for line in fresh) + ending

    return _VAULT.sub(one, text)


def _line_end(text: str, position: int) -> int:
    found = text.find("\n", position)
    return len(text) if found < 0 else found + 1
