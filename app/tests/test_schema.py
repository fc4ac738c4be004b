"""The OpenAPI schema and its page."""

import re
from io import StringIO

import pytest
import yaml
from django.core.management import call_command

from tests.helpers import client_of

pytestmark = pytest.mark.django_db


def test_the_schema_is_valid_and_without_warnings() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_path_is_described_with_its_errors_in_the_envelope() -> None:
    schema = yaml.safe_load(client_of().get("/api/schema/").content)
    assert {path: set(methods) for path, methods in schema["paths"].items()} == {
        "/api/v1/users/": {"post"},
        "/api/v1/token/": {"post"},
        "/api/v1/users/me/": {"get", "patch"},
        "/api/v1/users/me/logins/": {"get"},
        "/api/v1/token/refresh/": {"post"},
        "/api/v1/token/revoke/": {"post"},
        "/api/v1/listings/": {"get", "post"},
        "/api/v1/listings/{id}/": {"get", "patch"},
        "/api/v1/listings/{id}/availability/": {"get"},
        "/api/v1/bookings/": {"get", "post"},
        "/api/v1/bookings/{id}/cancel/": {"post"},
    }
    for methods in schema["paths"].values():
        for operation in methods.values():
            refusals = {code: answer for code, answer in operation["responses"].items() if code >= "4"}
            assert refusals
            for answer in refusals.values():
                assert answer["content"]["application/json"]["schema"] == {
                    "$ref": "#/components/schemas/ErrorEnvelope"
                }


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = client_of().get("/api/docs/")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert len(links) >= 4
    assert all(link.startswith(("/static/", "/api/")) for link in links)
    script = client_of().get("/api/docs/?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")
