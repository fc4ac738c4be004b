"""deploy.logins: which logins a server accepts, before, while and after its password is renewed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from deploy import logins
from deploy.errors import NoValueError, UsageError
from deploy.specs import Tree, tree

ENCRYPTED = object()


class View:
    """One host, by its variables alone."""

    groups: Mapping[str, list[str]] = {}

    def __init__(self, **variables: Any) -> None:
        self.tree: Tree = tree()
        self._variables = {"postgresql_user": "booking", "postgresql_generation": 0, **variables}

    def value(self, host: str, name: str) -> Any:
        if name not in self._variables:
            raise NoValueError(name)
        if self._variables[name] is ENCRYPTED:
            raise UsageError("encrypted")
        return self._variables[name]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ["booking"]),
        ({"postgresql_password_next": "n"}, ["booking", "booking_1"]),
        ({"postgresql_generation": 1, "postgresql_password_previous": "o"}, ["booking_1", "booking"]),
        ({"postgresql_generation": 1}, ["booking_1"]),
        ({"postgresql_generation": 7, "postgresql_password_next": "n"}, ["booking_7", "booking_8"]),
        ({"postgresql_generation": 1, "postgresql_password_previous": ""}, ["booking_1"]),
        ({"postgresql_password_next": ENCRYPTED}, ["booking", "booking_1"]),
    ],
)
def test_the_one_in_use_comes_first_and_the_other_is_named_by_its_number(
    variables: Mapping[str, Any], expected: list[str]
) -> None:
    assert logins.names(View(**variables), "db1", "postgresql") == expected


def test_each_has_its_own_password() -> None:
    view = View(postgresql_password="new", postgresql_password_previous="old", postgresql_generation=1)
    assert logins.logins(view, "db1", "postgresql") == [
        {"name": "booking_1", "password": "new"},
        {"name": "booking", "password": "old"},
    ]
