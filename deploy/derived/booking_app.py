"""What role booking_app makes of an inventory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deploy import declarations, logins
from deploy.declarations import View
from deploy.errors import NoValueError, UsageError

PROCESS_NAME = re.compile(r"[a-z][a-z0-9-]*")

# The service's secrets by the names of their systemd credentials: the one list.
_CREDENTIALS = {
    "secret_key": "booking_app_secret_key",
    "secret_key_next": "booking_app_secret_key_next",
    "secret_key_previous": "booking_app_secret_key_previous",
    "jwt_key": "booking_app_jwt_key",
    "jwt_key_next": "booking_app_jwt_key_next",
    "jwt_key_previous": "booking_app_jwt_key_previous",
    "database_password": "postgresql_password",
    "redis_password": "redis_password",
    "rabbitmq_password": "rabbitmq_password",
    "chapa_secret_key": "booking_app_chapa_secret_key",
    "chapa_webhook_secret": "booking_app_chapa_webhook_secret",
    "email_password": "booking_app_email_password",
}


def booking_app_credentials(view: View, host: str) -> list[dict[str, str]]:
    """Each credential's name and value; "" where the inventory has none, and the host is to have no such file."""
    return [{"name": name, "value": str(_set(view, host, variable) or "")} for name, variable in _CREDENTIALS.items()]


def booking_app_credentials_set(view: View, host: str) -> list[str]:
    """The names of those that there are, sorted; needs no vault password."""
    return sorted(name for name, variable in _CREDENTIALS.items() if _is_set(view, host, variable))


def booking_app_renewed(view: View, host: str) -> bool:
    """Whether a password that the service logs in with is being renewed."""
    return any(_is_set(view, host, f"{role}_password_previous") for role in ("postgresql", "rabbitmq"))


def booking_app_own_processes(view: View, host: str) -> list[Mapping[str, Any]]:
    """The processes beside the web that run on this host. UsageError: a name that no unit can bear."""
    processes: list[Mapping[str, Any]] = view.value(host, "booking_app_processes")
    names = ["web", *(process["name"] for process in processes)]
    if wrong := [name for name in names if not PROCESS_NAME.fullmatch(name) or names.count(name) > 1]:
        raise UsageError(
            f"no unit of systemd can be named after '{wrong[0]}', or two would be", "booking_app_processes",
            "each name stands once, is not web, and is of lower-case letters, digits and hyphens after a letter",
        )  # fmt: skip
    return [p for p in processes if any(host in view.groups.get(group, ()) for group in p["groups"])]


def booking_app_hosts(view: View, host: str) -> list[str]:
    """The names that requests may be for, the service's own first."""
    return [
        view.value(host, "loadbalancer_domain"), *view.value(host, "loadbalancer_extra_domains"),
        *view.value(host, "booking_app_allowed_hosts"),
    ]  # fmt: skip


def booking_app_ca(view: View, host: str) -> str:
    """The file with the authority that signed the certificates of database, cache and broker."""
    return f"{view.value(host, 'pki_directory')}/ca.pem"


def booking_app_database(view: View, _host: str) -> dict[str, Any]:
    """Where the database is, and who the service is there: host, port, name, user."""
    server = view.groups["database"][0]
    return {
        "host": declarations.address(view, server),
        "port": view.value(server, "postgresql_port"),
        "name": view.value(server, "postgresql_database"),
        "user": logins.names(view, server, "postgresql")[0],
    }


def booking_app_cache(view: View, _host: str) -> dict[str, Any]:
    """Where the cache is: host, port."""
    server = view.groups["cache"][0]
    return {"host": declarations.address(view, server), "port": view.value(server, "redis_port")}


def booking_app_broker(view: View, _host: str) -> dict[str, Any]:
    """Where the broker is, and who the service is there: host, port, vhost, user."""
    server = view.groups["broker"][0]
    return {
        "host": declarations.address(view, server),
        "port": view.value(server, "rabbitmq_port"),
        "vhost": view.value(server, "rabbitmq_vhost"),
        "user": logins.names(view, server, "rabbitmq")[0],
    }


def booking_app_email_sender(view: View, host: str) -> str:
    """Whom mails are from."""
    return str(view.value(host, "booking_app_email_from") or f"booking@{view.value(host, 'loadbalancer_domain')}")


def _set(view: View, host: str, variable: str) -> Any:
    try:
        return view.value(host, variable)
    except NoValueError:
        return None


def _is_set(view: View, host: str, variable: str) -> bool:
    try:
        return bool(_set(view, host, variable))
    except UsageError:  # encrypted: there is one, and who asks for names need not know it
        return True
