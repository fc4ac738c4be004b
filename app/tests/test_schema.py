"""The OpenAPI schema and its page."""

import re
import subprocess
import sys
from io import StringIO

import pytest
import yaml
from django.conf import settings
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
        "/api/v1/bookings/{id}/": {"get"},
        "/api/v1/bookings/{id}/cancel/": {"post"},
        "/api/v1/bookings/{id}/pay/": {"post"},
        "/api/v1/payments/chapa/webhook/": {"get", "post"},
        "/api/v1/hosting/bookings/": {"get"},
    }
    for methods in schema["paths"].values():
        for operation in methods.values():
            refusals = {code: answer for code, answer in operation["responses"].items() if code >= "4"}
            assert refusals
            for answer in refusals.values():
                assert answer["content"]["application/json"]["schema"] == {
                    "$ref": "#/components/schemas/ErrorEnvelope"
                }


def test_every_operation_says_what_it_refuses_before_a_view_is_asked() -> None:
    schema = yaml.safe_load(client_of().get("/api/schema/").content)
    for methods in schema["paths"].values():
        for operation in methods.values():
            answers = operation["responses"]
            assert {"406", "503"} <= answers.keys()
            assert ("requestBody" in operation) == ({"400", "413", "415"} <= answers.keys())
            assert ("401" in answers) >= any("jwtAuth" in way for way in operation.get("security", ()))
            for code, answer in answers.items():
                assert answer["headers"].keys() >= {"X-Request-Id", "X-Release-Id"}
                assert ("WWW-Authenticate" in answer["headers"]) == (code == "401")
                assert ("Retry-After" in answer["headers"]) == (code in {"429", "503"})


def test_places_are_looked_at_without_an_account_and_nothing_else_is() -> None:
    schema = yaml.safe_load(client_of().get("/api/schema/").content)
    operations = [operation for methods in schema["paths"].values() for operation in methods.values()]
    free = {each["operationId"] for each in operations if {} in each.get("security", [{}])}
    assert free == {
        "register", "token_obtain", "token_refresh", "token_revoke", "chapa_webhook", "chapa_callback",
        "listing_list", "listing_retrieve", "listing_availability",
    }  # fmt: skip


def test_the_page_loads_nothing_from_elsewhere() -> None:
    page = client_of().get("/api/docs/")
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert len(links) >= 4
    assert all(link.startswith(("/static/", "/api/")) for link in links)
    script = client_of().get("/api/docs/?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")


def test_the_diagram_of_the_tables_is_what_the_models_say() -> None:
    script = settings.BASE_DIR.parent / "scripts/schema-diagram"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
