"""A role's templates and expressions, rendered for a host: the one renderer of what both engines put on hosts.

Plain Jinja with its own filters and a few of ours, so that the same file gives the same bytes whoever asks. Names are
looked up as they are met: what is derived from the inventory (deploy/derived/), else a variable of the host.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.runtime import Context
from jinja2.utils import missing

from deploy import declarations, derived
from deploy.declarations import View
from deploy.errors import NoValueError, UsageError
from deploy.specs import ROOT

_VIEW, _HOST = "_view", "_host"


class _HostContext(Context):
    """Jinja's context, which asks the inventory for what nobody has set."""

    def resolve_or_missing(self, key: str) -> Any:
        found = super().resolve_or_missing(key)
        if found is not missing or key.startswith("_"):
            return found
        view, host = super().resolve_or_missing(_VIEW), super().resolve_or_missing(_HOST)
        if view is missing:
            return missing
        try:
            return value(view, host, key)
        except NoValueError:
            return missing


def value(view: View, host: str, name: str) -> Any:
    """What a name stands for on `host`: derived from the inventory, or a variable. NoValueError: nothing."""
    if (derive := derived.find(name)) is not None:
        return derive(view, host)
    return view.value(host, name)


class Renderer:
    """Renders for one host. extra: names that only the moment knows, such as a key that was drawn on another host."""

    def __init__(self, view: View, host: str, extra: Mapping[str, Any] | None = None, root: Path = ROOT) -> None:
        self.view, self.host, self.root = view, host, root
        self._names: dict[str, Any] = {_VIEW: view, _HOST: host, "inventory_hostname": host, **(extra or {})}

    def template(self, path: str, **names: Any) -> str:
        """The template at `path` below templates/. UsageError: it does not render, with its file and line."""
        try:
            template = _environment(self.root).get_template(path)
            return _ended(template.render(self._names, **names), _source(self.root, path))
        except jinja2.TemplateNotFound as error:
            raise UsageError(f"there is no template {error}", f"templates/{path}") from None
        except jinja2.TemplateSyntaxError as error:
            raise UsageError(str(error.message), f"templates/{error.name}:{error.lineno}") from None
        except jinja2.UndefinedError as error:
            raise UsageError(f"{error.message}, for host '{self.host}'", f"templates/{path}") from None

    def text(self, source: str, **names: Any) -> str:
        """A short text with expressions in it, such as a path."""
        if "{" not in source:
            return source
        try:
            return _ended(_inline(self.root, source).render(self._names, **names), source)
        except jinja2.TemplateError as error:
            raise UsageError(f"{error.message}, for host '{self.host}'", repr(source)) from None

    def expression(self, source: str, **names: Any) -> Any:
        """The value of an expression, such as `certbot_several` or `item.name`."""
        try:
            return _expression(self.root, source)(self._names, **names)
        except jinja2.TemplateError as error:
            raise UsageError(f"{error.message}, for host '{self.host}'", repr(source)) from None


def _ended(text: str, source: str) -> str:
    """With the ends of line that its source ends with, which Jinja takes away."""
    wanted, found = (len(each) - len(each.rstrip("\n")) for each in (source, text))
    return text + "\n" * max(wanted - found, 0)


@lru_cache(maxsize=1024)
def _source(root: Path, path: str) -> str:
    return (root / "templates" / path).read_text(encoding="utf-8")


@lru_cache(maxsize=512)
def _inline(root: Path, source: str) -> jinja2.Template:
    return _environment(root).from_string(source)


@lru_cache(maxsize=512)
def _expression(root: Path, source: str) -> Any:
    return _environment(root).compile_expression(source, undefined_to_none=False)


@lru_cache(maxsize=4)
def _environment(root: Path) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(root / "templates"), trim_blocks=True, undefined=jinja2.StrictUndefined,
        autoescape=False, cache_size=-1, auto_reload=False,  # noqa: S701 - what it renders is no HTML of strangers
    )  # fmt: skip
    made.context_class = _HostContext
    made.filters |= {
        "json": lambda data: json.dumps(data, indent=2, sort_keys=True, default=str),
        "regex_escape": re.escape,
        "sha256": lambda text: hashlib.sha256(str(text).encode()).hexdigest(),
    }
    made.globals |= {"address": _address, "addresses": _addresses, "variable": _variable}
    return made


@jinja2.pass_context
def _address(context: Context, host: str) -> str:
    """`address('web1')`: the first of a host's own addresses."""
    return declarations.address(context[_VIEW], host)


@jinja2.pass_context
def _addresses(context: Context, hosts: list[str]) -> list[str]:
    """`addresses(groups['web'])`: the own addresses of hosts, flat and each once."""
    return declarations.addresses(context[_VIEW], hosts)


@jinja2.pass_context
def _variable(context: Context, host: str, name: str) -> Any:
    """`variable('web1', 'nginx_port')`: a variable of any host, role defaults included."""
    return context[_VIEW].value(host, name)
