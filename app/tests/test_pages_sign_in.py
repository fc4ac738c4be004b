"""The pages that sign people in, out and up."""

import pytest
from django.core.cache import cache
from pytest_django import Settings

from booking.accounts.models import User
from tests.browsing import Browser, text
from tests.helpers import PASSWORD

pytestmark = pytest.mark.django_db


def test_registering_signs_in_and_a_taken_address_is_told(browser: Browser, guest: User) -> None:
    client = browser()
    form = {"name": "Ada", "email": "ada@example.org", "password": PASSWORD, "role": "guest"}
    assert client.post("/register/", form)["Location"] == "/"
    assert "Sign out Ada" in text(client.get("/"))
    taken = browser().post("/register/", form | {"email": guest.email})
    assert (taken.status_code, "Registered already." in text(taken)) == (400, True)
    weak = browser().post("/register/", form | {"email": "new@example.org", "password": "123"})
    assert weak.status_code == 400
    assert browser().post("/register/", form | {"email": "b@example.org", "role": "admin"}).status_code == 400
    assert browser().get("/register/").status_code == 200


def test_signing_in_and_out(browser: Browser, guest: User) -> None:
    client = browser()
    wrong = client.post("/login/", {"username": guest.email, "password": "wrong"})
    assert "Please enter a correct" in text(wrong)
    right = client.post(
        "/login/?next=/stays/", {"username": guest.email, "password": PASSWORD, "next": "/stays/"}
    )
    assert right["Location"] == "/stays/"
    assert client.post("/logout/")["Location"] == "/"
    assert client.get("/stays/")["Location"].startswith("/login/")
    away = browser().post(
        "/login/", {"username": guest.email, "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert away["Location"] == "/"


def test_signing_in_and_registering_too_often_is_refused(
    browser: Browser, guest: User, settings: Settings
) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    cache.clear()
    rates = settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] | {
        "login_address": "2/hour",
        "registration": "1/hour",
    }
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}
    answers = [browser().post("/login/", {"username": guest.email, "password": "x"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 0 < int(answers[-1]["Retry-After"]) <= 3600
    form = {"name": "Ada", "email": "not one", "password": PASSWORD, "role": "guest"}
    assert [browser().post("/register/", form).status_code for _ in range(2)] == [400, 429]


def test_staff_sign_in_by_the_one_form_that_has_limits(browser: Browser) -> None:
    answer = browser().get("/admin/login/?next=/admin/")
    assert answer["Location"] == "/login/?next=/admin/"
