"""The logins that a server accepts while its password is renewed: one for each password, named by its number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.declarations import View
from deploy.errors import NoValueError, UsageError
from deploy.role_files import NEXT, PREVIOUS


def name(user: str, generation: int) -> str:
    """The login after so many renewals: the user's own name before the first."""
    return f"{user}_{generation}" if generation else user


def names(view: View, host: str, role: str) -> list[str]:
    """The logins that the server of `role` on `host` accepts, the one in use first; needs no vault password."""
    return [login for login, _ in _accepted(view, host, role)]


def logins(view: View, host: str, role: str) -> list[dict[str, Any]]:
    """The same with their passwords: {"name", "password"} each."""
    return [{"name": login, "password": view.value(host, variable)} for login, variable in _accepted(view, host, role)]


def _accepted(view: View, host: str, role: str) -> Iterator[tuple[str, str]]:
    """Login and variable of its password: the present one, the next one, the one before."""
    user, generation = str(view.value(host, f"{role}_user")), int(view.value(host, f"{role}_generation"))
    for suffix, step in (("", 0), (NEXT, 1), (PREVIOUS, -1)):
        variable = f"{role}_password{suffix}"
        if not suffix or _is_set(view, host, variable):
            yield name(user, generation + step), variable


def _is_set(view: View, host: str, variable: str) -> bool:
    try:
        return view.value(host, variable) not in ("", None)
    except NoValueError:
        return False
    except UsageError:  # encrypted: there is one, and who asks for names need not know it
        return True
