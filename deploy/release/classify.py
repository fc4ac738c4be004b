"""Says of every migration whether releases that do not know it can live with it (expand) or not (contract).

Runs beside inside.py under the hosts' Python, with Django set up, and imports nothing of the engine; operations
are told apart by name, as the controller, which checks this file, has no Django.

A migration's file declares, beside its imports, what its operations alone do not tell:

    CONTRACT_SINCE = "20261120T101500Z-ab12cd3"   the first release that no longer uses what it takes away
    EXPAND = "why releases that do not know it can live with it"

The files of installed packages are not ours: for them the setting MIGRATIONS_DECLARED says the same, as
{"app.name": {"EXPAND": "…"}}.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

DECLARATIONS = ("CONTRACT_SINCE", "EXPAND")
RELEASE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{7}")
GUIDE = "docs/runbooks/expand-contract.md"
SPLIT = "SeparateDatabaseAndState"
# they touch nothing that an older release needs
HARMLESS = {
    "CreateModel", "AddIndex", "RemoveIndex", "RenameIndex", "AlterIndexTogether", "AlterModelOptions",
    "AlterModelManagers", "AlterModelTableComment", "AlterConstraint", "ValidateConstraint", "CreateExtension",
    "CreateCollation",
}  # fmt: skip
TEXT = ("CharField", "FileField", "FilePathField", "SlugField")  # one column type, and their length is the column's


@dataclass(frozen=True)
class Harm:
    """What an operation does to releases that do not know it. excusable: EXPAND with a reason may answer for it."""

    what: str
    excusable: bool = True
    operation: str = ""


def classify() -> tuple[dict[str, dict[str, str]], list[str]]:
    """Every migration on disk: {"app.name": {"class": "expand" | "contract", "since": release id or ""}}.

    And what is wrong, one text each: undeclared harm, or a declaration that cannot be. Needs no database.
    """
    loader = import_module("django.db.migrations.loader").MigrationLoader
    given: Mapping[str, Mapping[str, str]] = getattr(import_module("django.conf").settings, "MIGRATIONS_DECLARED", {})
    # the first graph lacks replaced migrations; they may still be applied, and the second has them
    loaders = [loader(None), loader(None, replace_migrations=False)]
    disk: Mapping[tuple[str, str], Any] = loaders[0].disk_migrations
    found: dict[str, dict[str, str]] = {}
    problems, packages = [], set()
    for key, migration in sorted(disk.items()):
        name, module = ".".join(key), sys.modules[type(migration).__module__]
        words = {word: str(getattr(module, word)) for word in DECLARATIONS if hasattr(module, word)}
        where = f"{os.path.relpath(str(module.__file__))}, beside the imports"
        ours = "site-packages" not in Path(str(module.__file__)).parts
        if not ours:
            packages.add(name)
            words, where = dict(given.get(name, {})), "the setting MIGRATIONS_DECLARED, by its name"
        graph = next(one for one in loaders if key in one.graph.nodes)
        harms = [] if _begins_an_app(key, disk) else _harms(migration, graph.project_state(key, at_end=False))
        since = words.get("CONTRACT_SINCE", "")
        found[name] = {"class": "contract" if since else "expand", "since": since}
        problems += [f"{name}: {text}\n  in {where}" for text in _problems(words, harms, ours)]
    strangers = sorted(set(given) - packages)
    return found, problems + [f"MIGRATIONS_DECLARED: no installed package has a migration {name}" for name in strangers]


def _problems(words: Mapping[str, str], harms: list[Harm], ours: bool) -> list[str]:
    """What is wrong with a migration that declares `words` and does `harms`, each with what to write."""
    if not set(words) <= set(DECLARATIONS) or len(words) > 1:
        return [f"it declares {', '.join(sorted(words))}; it may be one of {' and '.join(DECLARATIONS)}"]
    if "CONTRACT_SINCE" in words:
        wrong = f"CONTRACT_SINCE {words['CONTRACT_SINCE']!r} is no release id; fab releases lists them"
        return [] if RELEASE.fullmatch(words["CONTRACT_SINCE"]) else [wrong]
    if "EXPAND" in words and not words["EXPAND"].strip():
        return ["EXPAND has to give the reason"]
    texts = []
    # what drops or renames is never an expansion; but nobody here can split a package's migration in two
    for harm in (one for one in harms if "EXPAND" not in words or (ours and not one.excusable)):
        write = 'write CONTRACT_SINCE = "ID", the first release that no longer uses it'
        if harm.excusable or not ours:
            write += ', or EXPAND = "REASON" if older releases can live with it'
        texts.append(f"{harm.operation} {harm.what}, and that is not declared\n  {write}; see {GUIDE}")
    return texts


def _begins_an_app(key: tuple[str, str], disk: Mapping[tuple[str, str], Any]) -> bool:
    """Whether it is `initial = True` and follows only such ones of its app: no release can have used the app before."""
    before = [(app, name) for app, name in disk[key].dependencies if app == key[0] and (app, name) in disk]
    return disk[key].initial is True and all(_begins_an_app(one, disk) for one in before)


def _harms(migration: Any, state: Any) -> list[Harm]:
    """What a migration's operations do, in order; `state` is the project's before it, and is changed."""
    found: list[Harm] = []
    created: set[str] = set()  # tables of this very migration: no older release has ever seen them
    for operation in migration.operations:
        found += _judge(operation, migration.app_label, state, created)
        operation.state_forwards(migration.app_label, state)
    return found


def _judge(operation: Any, app: str, state: Any, created: set[str]) -> list[Harm]:
    kind = _kind(operation)
    if kind == SPLIT:  # its other half changes what Django believes, and no table
        found, between = [], state.clone()
        for inner in operation.database_operations:
            found += _judge(inner, app, between, created)
            inner.state_forwards(app, between)
        return found
    names = [getattr(operation, key) for key in ("model_name", "old_name", "name") if hasattr(operation, key)]
    target = names[0].lower() if names else ""
    if kind == "CreateModel":
        created.add(target)
    model = state.models.get((app, target))
    if kind in HARMLESS or target in created or (model and _has_no_table(model)):
        return []
    harm = JUDGES[kind](operation, model) if kind else Harm("is of a kind that the check does not know")
    return [Harm(harm.what, harm.excusable, f"{type(operation).__name__} ({operation.describe()})")] if harm else []


def _kind(operation: Any) -> str:
    """The operation's name as the rules have it, its own or Django's that it descends from; "" if there is none.

    A class from elsewhere may do anything in its methods, so it has none.
    """
    known = {SPLIT, *HARMLESS, *JUDGES} if type(operation).__module__.startswith("django.") else set()
    return next((base.__name__ for base in type(operation).__mro__ if base.__name__ in known), "")


def _has_no_table(model: Any) -> bool:
    """A proxy, a model that Django does not manage, or one that another replaces (AUTH_USER_MODEL)."""
    swap = model.options.get("swappable")
    if (
        swap
        and getattr(import_module("django.conf").settings, swap).lower() != f"{model.app_label}.{model.name}".lower()
    ):
        return True
    return bool(model.options.get("proxy")) or model.options.get("managed") is False


def _add_field(operation: Any, _model: Any) -> Harm | None:
    field = operation.field
    if field.many_to_many or field.null or getattr(field, "generated", False):
        return None
    if not field.has_db_default():
        return Harm("adds a column that must be filled, without a db_default: releases before it cannot insert")
    return Harm("adds a column of unique values with one default for all rows") if field.unique else None


def _rename_field(operation: Any, model: Any) -> Harm | None:
    field = model.fields[operation.old_name]
    kept = field.db_table if field.many_to_many else field.db_column
    return None if kept else Harm("renames a column that releases before it use", excusable=False)


def _alter_field(operation: Any, model: Any) -> Harm | None:
    old, new = model.fields[operation.name], operation.field
    if (old.many_to_many, _column(operation.name, old)) != (new.many_to_many, _column(operation.name, new)):
        return Harm("renames what releases before it use", excusable=False)
    if old.many_to_many:
        return None
    changes = {
        "forbids null": old.null and not new.null,
        # the default is what fills the column when a release inserts that does not know it
        "takes the db_default away": not new.null and old.has_db_default() and not new.has_db_default(),
        "demands unique values": new.unique and not old.unique,
        "gives up unique values": old.unique and not new.unique,
        "changes the column's type": _type(old) != _type(new),
        "makes the column narrower": _narrower(old, new),
    }
    told = " and ".join(text for text, true in changes.items() if true)
    return Harm(told) if told else None


def _column(name: str, field: Any) -> str:
    """A field's column, or a relation's table. Fields of a state are not bound: Django's attribute is not there."""
    if field.many_to_many:
        return str(field.db_table)
    return str(field.db_column or (f"{name}_id" if field.is_relation else name))


def _type(field: Any) -> list[Any]:
    """What two columns of the same type have in common."""
    if field.is_relation:
        told = field.deconstruct()[3]
        return [str(told.get(key, "")).lower() for key in ("to", "to_field", "db_constraint")]
    kind, base = field.get_internal_type(), getattr(field, "base_field", None)  # the latter of an array
    collation = getattr(field, "db_collation", None)
    return ["text" if kind in TEXT else kind, collation, field.primary_key, _type(base) if base else None]


def _narrower(old: Any, new: Any) -> bool:
    """Whether a value that fitted the old column may not fit the new one, of the same type."""
    if old.is_relation or new.is_relation:
        return False
    if new.get_internal_type() in TEXT and new.max_length is not None:
        return old.max_length is None or bool(new.max_length < old.max_length)
    if old.get_internal_type() == new.get_internal_type() == "DecimalField":
        whole = [field.max_digits - field.decimal_places for field in (old, new)]
        return bool(new.decimal_places < old.decimal_places or whole[1] < whole[0])
    return False


def _rename_model(_operation: Any, model: Any) -> Harm | None:
    kept = model.options.get("db_table")
    return None if kept else Harm("renames a table that releases before it use", excusable=False)


def _alter_table(operation: Any, model: Any) -> Harm | None:
    default = f"{model.app_label}_{model.name.lower()}"
    same = (operation.table or default) == (model.options.get("db_table") or default)
    return None if same else Harm("renames a table that releases before it use", excusable=False)


def _unseen(operation: Any, _model: Any) -> Harm | None:
    empty = not operation.sql if hasattr(operation, "sql") else operation.code is type(operation).noop
    return None if empty else Harm("does what the check cannot see")


def _always(what: str, *, excusable: bool = True) -> Callable[[Any, Any], Harm]:
    return lambda _operation, _model: Harm(what, excusable)


JUDGES: dict[str, Callable[[Any, Any], Harm | None]] = {
    "AddField": _add_field,
    "RemoveField": _always("drops a column that releases before it use", excusable=False),
    "RenameField": _rename_field,
    "AlterField": _alter_field,
    "DeleteModel": _always("drops a table that releases before it use", excusable=False),
    "RenameModel": _rename_model,
    "AlterModelTable": _alter_table,
    "AlterUniqueTogether": _always("changes which values have to be unique together"),
    "AlterOrderWithRespectTo": _always("adds or drops the column of the order"),
    "AddConstraint": _always("adds a constraint that releases before it may not keep"),
    "RemoveConstraint": _always("takes away a constraint that releases before it rely on"),
    "RemoveCollation": _always("takes away a collation"),
    "RunSQL": _unseen,
    "RunPython": _unseen,
}
