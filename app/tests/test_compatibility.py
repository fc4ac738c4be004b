"""Two releases serve at once while one replaces the other: what the one before took and told, this does.

tests/previous/openapi.yml is the contract of the release before, as its own code wrote it. With every tag:

    BOOKING_BUILD=1 .venv/bin/python manage.py spectacular --file tests/previous/openapi.yml
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

PREVIOUS = Path(__file__).with_name("previous") / "openapi.yml"

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def before() -> Schema:
    found: Schema = yaml.safe_load(PREVIOUS.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def now() -> Schema:
    text = StringIO()
    call_command("spectacular", stdout=text)
    found: Schema = yaml.safe_load(text.getvalue())
    return found


def breaks(before: Schema, now: Schema) -> list[str]:
    """What a client of the schema `before` would trip over at a service of the schema `now`."""
    found = []
    for path, methods in before["paths"].items():
        for method, old in methods.items():
            where = f"{method.upper()} {path}"
            new = now["paths"].get(path, {}).get(method)
            if new is None:
                found.append(f"{where} is gone")
                continue
            found += [f"{where}: {text}" for text in _parameters(old, new)]
            if body := _body(old.get("requestBody")):
                found += [
                    f"{where} no longer takes {t}"
                    for t in _narrower(body, _body(new.get("requestBody")), before, now)
                ]
            for code, answer in old["responses"].items():
                if code.startswith("2"):
                    later = new["responses"].get(code)
                    if later is None:
                        found.append(f"{where} no longer answers {code}")
                        continue
                    found += [
                        f"{where} no longer tells {t}"
                        for t in _poorer(_body(answer), _body(later), before, now)
                    ]
    return found


def _parameters(old: Schema, new: Schema) -> Iterator[str]:
    known = {each["name"]: each for each in old.get("parameters", [])}
    named = {each["name"]: each for each in new.get("parameters", [])}
    yield from (f"the parameter {name} is gone" for name in known.keys() - named.keys())
    for name, each in named.items():
        if each.get("required") and name not in known:
            yield f"the new parameter {name} is required"


def _body(part: Schema | None) -> Schema:
    found: Schema = (part or {}).get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _resolve(part: Schema, whole: Schema) -> Schema:
    """The schema itself, behind references."""
    while reference := part.get("$ref") or (part.get("allOf") or [{}])[0].get("$ref"):
        part = whole["components"]["schemas"][reference.rpartition("/")[2]]
    return part


def _narrower(old: Schema, new: Schema, before: Schema, now: Schema, name: str = "a body") -> Iterator[str]:
    """What a body of the schema `old` may hold and one of `new` may not."""
    old, new = _resolve(old, before), _resolve(new, now)
    if old.get("type") != new.get("type"):
        yield f"{name} of type {old.get('type')}"
    if "enum" in new:
        yield from (f"{value!r} as {name}" for value in set(old.get("enum", ["anything"])) - set(new["enum"]))
    if new.get("maxLength", 10**9) < old.get("maxLength", 10**9):
        yield f"{name} of {old.get('maxLength')} characters"
    properties = new.get("properties", {})
    yield from (
        f"{name} without {key}" for key in set(new.get("required", [])) - set(old.get("required", []))
    )
    for key, inner in old.get("properties", {}).items():
        if key in properties:
            yield from _narrower(inner, properties[key], before, now, key)
        elif not inner.get("readOnly"):
            yield key


def _poorer(old: Schema, new: Schema, before: Schema, now: Schema, name: str = "a body") -> Iterator[str]:
    """What an answer of the schema `old` holds and one of `new` may lack or hold in another type."""
    old, new = _resolve(old, before), _resolve(new, now)
    if old.get("type") != new.get("type"):
        yield f"{name} as {old.get('type')}"
    if "items" in old:
        yield from _poorer(old["items"], new.get("items", {}), before, now, name)
    for key, inner in old.get("properties", {}).items():
        if inner.get("writeOnly"):
            continue
        if key not in new.get("properties", {}):
            yield key
            continue
        if key in old.get("required", []) and key not in new.get("required", []):
            yield f"{key} always"
        yield from _poorer(inner, new["properties"][key], before, now, key)


def test_a_client_of_the_release_before_finds_everything_as_it_was(before: Schema, now: Schema) -> None:
    assert breaks(before, now) == []


def _path(schema: Schema) -> None:
    del schema["paths"]["/api/v1/listings/"]


def _demand(schema: Schema) -> None:
    schema["components"]["schemas"]["BookingInRequest"]["required"].append("purpose")


def _shorten(schema: Schema) -> None:
    schema["components"]["schemas"]["RegistrationRequest"]["properties"]["name"]["maxLength"] = 10


def _forget(schema: Schema) -> None:
    del schema["components"]["schemas"]["BookingOut"]["properties"]["price_total"]


def _retype(schema: Schema) -> None:
    schema["components"]["schemas"]["BookingOut"]["properties"]["guests"]["type"] = "string"


def _parameter(schema: Schema) -> None:
    more = {"name": "country", "in": "query", "required": True, "schema": {"type": "string"}}
    schema["paths"]["/api/v1/listings/"]["get"]["parameters"].append(more)


def _code(schema: Schema) -> None:
    answers = schema["paths"]["/api/v1/bookings/"]["post"]["responses"]
    answers["202"] = answers.pop("201")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_path, "GET /api/v1/listings/ is gone"),
        (_demand, "POST /api/v1/bookings/ no longer takes a body without purpose"),
        (_shorten, "POST /api/v1/users/ no longer takes name of 120 characters"),
        (_forget, "POST /api/v1/bookings/ no longer tells price_total"),
        (_retype, "POST /api/v1/bookings/ no longer tells guests as integer"),
        (_parameter, "GET /api/v1/listings/: the new parameter country is required"),
        (_code, "POST /api/v1/bookings/ no longer answers 201"),
    ],
)
def test_the_comparison_bites(
    before: Schema, now: Schema, change: Callable[[Schema], None], said: str
) -> None:
    changed = deepcopy(now)
    change(changed)
    assert said in breaks(before, changed)
