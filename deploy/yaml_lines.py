"""YAML files with line numbers: what a person wrote, where, and what is wrong with it as YAML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml


class UnreadableError(Exception):
    """A file that cannot be read as YAML. line: counted from 1; 0 concerns the whole file."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        self.message = message
        super().__init__(message)


@dataclass(frozen=True)
class Encrypted:
    """A `!vault` value, as it is written: nothing here decrypts it."""

    ciphertext: str = field(repr=False)


@dataclass(frozen=True)
class Document:
    """A YAML file: its value as plain data (Encrypted for `!vault`) and the nodes that know their lines."""

    value: Any
    node: yaml.Node | None

    def line(self, path: Sequence[str | int]) -> int:
        """The line of the deepest part of `path` (keys and list positions) that exists; counted from 1."""
        node, line = self.node, 1
        for step in path:
            found = next((pair for pair in _children(node) if pair[0] == step), None)
            if found is None:
                break
            _, line, node = found
        return line

    def duplicates(self) -> Iterator[tuple[str, int]]:
        """Keys written twice in one mapping, each with the line of the later one."""
        yield from _duplicates(self.node)


class _Loader(yaml.CSafeLoader):
    """SafeLoader (in C) that knows Ansible's two tags."""


def _unsafe(loader: _Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(cast("yaml.MappingNode", node), deep=True)


for _tag in ("!vault", "!vault-encrypted"):
    _Loader.add_constructor(_tag, lambda _, node: Encrypted(node.value))
_Loader.add_constructor("!unsafe", _unsafe)


def load(path: Path) -> Document:
    """The only document of a YAML file. UnreadableError: missing, not YAML, or encrypted as a whole."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        what = "a link that leads nowhere" if path.is_symlink() else "the file does not exist"
        raise UnreadableError(0, what) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(0, f"not readable: {getattr(error, 'strerror', None) or error}") from None
    if text.startswith("$ANSIBLE_VAULT;"):
        raise UnreadableError(1, "encrypted as a whole; encrypt single values (`!vault`) instead")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return Document(None if node is None else loader.construct_document(node), node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # str(error) quotes the line it found, which may hold a secret; the bare problem does not.
        raise UnreadableError(
            mark.line + 1 if mark else 0,
            f"not readable as YAML: {getattr(error, 'problem', None) or 'bad input'}",
        ) from None
    except (ValueError, TypeError) as error:  # a date that is none; a key that is a list
        raise UnreadableError(0, f"not readable as YAML: {type(error).__name__}") from None
    finally:
        loader.dispose()


def _children(node: yaml.Node | None) -> Iterator[tuple[Any, int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key.value, key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value.start_mark.line + 1, value


def _duplicates(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    seen = set()
    for key, line, value in _children(node):
        if isinstance(node, yaml.MappingNode):
            if key in seen:
                yield str(key), line
            if isinstance(key, str):
                seen.add(key)
        yield from _duplicates(value)
