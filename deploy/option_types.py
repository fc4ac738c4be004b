"""Whether a value is what an argument spec's option says: type, elements, choices, nested options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from deploy.inventory import templated
from deploy.yaml_lines import Encrypted

Path = tuple[str | int, ...]

_WORDS = {
    "str": "a string",
    "path": "a path (a string)",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping",
    "raw": "any value",
}
TYPES = frozenset(_WORDS)


def faults(value: Any, option: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """What is wrong with `value`: where in it, and a message that never repeats the value itself.

    Templates and encrypted values are not judged: only Ansible can tell what they become.
    """
    if isinstance(value, Encrypted) or (isinstance(value, str) and templated(value)):
        return
    kind = option.get("type", "str")
    if value is None:
        if not ("default" in option and option["default"] is None):
            yield path, f"is empty; {_WORDS[kind]} is expected"
        return
    if not _fits(value, kind):
        yield path, f"{_WORDS[kind]} is expected, not {_name(value)}{_hint(value, kind)}"
        return
    choices = option.get("choices")
    if choices and any(item not in choices for item in (value if kind == "list" else [value])):
        yield path, f"not one of: {', '.join(map(str, choices))}"
    if kind == "list":
        item = {"type": option["elements"]} if "elements" in option else {"type": "raw"}
        if "options" in option:
            item["options"] = option["options"]
        for index, element in enumerate(value):
            yield from faults(element, item, (*path, index))
    elif kind == "dict" and "options" in option:
        yield from _nested(value, option["options"], path)


def suggestion(name: str, known: Any) -> str:
    """'; did you mean X?' for the closest of `known`, or ''."""
    close = get_close_matches(name, sorted(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def _nested(value: Mapping[Any, Any], options: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    for key, inner in value.items():
        if key in options:
            yield from faults(inner, options[key], (*path, key))
        else:
            yield (*path, str(key)), f"unknown key{suggestion(str(key), options)}"
    for key, option in options.items():
        if option.get("required") and key not in value:
            yield path, f"the key {key} is missing"


def _fits(value: Any, kind: str) -> bool:
    match kind:
        case "raw":
            return True
        case "str" | "path":
            return isinstance(value, str)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def _name(value: Any) -> str:
    for kind in ("bool", "int", "float", "str", "list", "dict"):
        if _fits(value, kind):
            return _WORDS[kind]
    return f"a {type(value).__name__}"


def _hint(value: Any, kind: str) -> str:
    if kind in ("str", "path") and isinstance(value, int | float):
        return " (quote it)"
    if isinstance(value, str) and kind in ("int", "float", "bool"):
        return " (write it without quotes)"
    return ""
