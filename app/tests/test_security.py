"""What browsers are told, and what cookies are worth."""

import hashlib
import re
from base64 import b64encode

import pytest
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.urls import path

from tests.helpers import client_of

DOCS = "/api/docs/"


def policy(address: str) -> dict[str, list[str]]:
    """The Content-Security-Policy of a page, by directive."""
    header = client_of().get(address).headers["Content-Security-Policy"]
    return {part.split()[0]: part.split()[1:] for part in header.split(";") if part.strip()}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/listings/", "/nothing", "/api/v1/bookings/", "/healthz"])
def test_every_answer_tells_the_browser_to_trust_this_host_alone(path: str) -> None:
    assert policy(path) == {
        "default-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", "https://checkout.chapa.co"],  # where a form that books leads on to
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    }
    headers = client_of().get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "geolocation=()" in headers["Permissions-Policy"].split(", ")


def test_an_answer_to_a_host_that_is_not_served_has_the_headers_too() -> None:
    answer = client_of().get("/healthz", HTTP_HOST="evil.example", HTTP_X_FORWARDED_HOST="booking.example")
    assert answer.status_code == 400
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Permissions-Policy"]


def test_the_page_of_the_api_may_use_what_it_has_inline_and_nothing_else() -> None:
    page = client_of().get(DOCS).content.decode()
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    hashes = [f"'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" for style in styles]
    allowed = policy(DOCS)
    assert allowed["style-src"] == ["'self'", *hashes]
    assert allowed["img-src"] == ["'self'", "data:"]
    assert "script-src" not in allowed  # default-src holds: no script stands in the page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\s(style|on\w+)=", page)
    assert not any("unsafe" in source for sources in allowed.values() for source in sources)


def remember(request: HttpRequest) -> HttpResponse:
    """A page that needs a session and has a form."""
    request.session["seen"] = True
    return HttpResponse(get_token(request))


urlpatterns = [path("remember", remember)]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", ["__Host-session", "__Host-csrf"])
def test_cookies_are_of_this_host_over_tls_and_no_scripts_business(name: str) -> None:
    cookie = client_of().get("/remember").cookies[name]
    # The first three are what a browser wants of such a name (RFC 6265bis, 4.1.3.2).
    assert (cookie["secure"], cookie["path"], cookie["domain"]) == (True, "/", "")
    # Lax: who comes back from the provider's checkout is still signed in.
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_a_form_of_another_site_is_refused() -> None:
    client = client_of()
    client.handler.enforce_csrf_checks = True
    token = client.get("/remember").content.decode()
    form = {"csrfmiddlewaretoken": token}
    for referrer, status in (("https://booking.example/", 200), ("https://evil.example/", 403), ("", 403)):
        answer = client.post("/remember", form, format="multipart", HTTP_REFERER=referrer, secure=True)
        assert answer.status_code == status
