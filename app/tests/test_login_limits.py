"""Logins and registrations are limited by address and by account."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.test import RequestFactory
from pytest_django import Settings

from booking.accounts.models import LoginEvent, User
from booking.accounts.throttles import LoginThrottle
from booking.core.throttles import Windowed
from tests.helpers import PASSWORD, at_once, client_of, make_user, post_raw
from tests.redis import Redis
from tests.test_logins import ADDIS, BERLIN, GONDAR, TOKEN, USERS, login

LIMITS = {"login_address": "5/minute", "login_account": "8/hour", "registration": "3/hour"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the limits see, in its one item: half past a minute and an hour."""
    now = [3600.0 * 400_000 + 1830]
    monkeypatch.setattr(Windowed, "timer", staticmethod(lambda: now[0]))
    return now


@pytest.fixture
def limits(settings: Settings, clock: list[float]) -> None:
    """Small limits."""
    settings.REST_FRAMEWORK = django_settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": LIMITS}


@pytest.fixture
def counted(settings: Settings, limits: None) -> Iterator[None]:
    """Small limits, and a cache of this process that counts."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    caches["default"].clear()
    yield
    caches["default"].clear()
    caches.close_all()


def throttled(answer: Any, seconds: int) -> bool:
    """Whether the answer is the 429 that says to come back in `seconds`."""
    found = (answer.status_code, answer.json()["error"]["code"], answer.headers["Retry-After"])
    return found == (429, "throttled", str(seconds))


@pytest.mark.usefixtures("counted")
def test_one_address_cannot_try_many_accounts(guest: User, clock: list[float]) -> None:
    names = itertools.count()
    assert [login(f"{next(names)}@example.org").status_code for _ in range(5)] == 5 * [401]
    assert throttled(login(guest.email), 30)
    assert LoginEvent.objects.count() == 0
    assert login(guest.email, address=GONDAR).status_code == 200  # another one is not concerned
    clock[0] += 30
    assert login(guest.email).status_code == 200


@pytest.mark.usefixtures("counted")
def test_many_addresses_cannot_try_one_account(guest: User, clock: list[float]) -> None:
    tries = [login(guest.email, "wrong", address=f"10.0.0.{number}").status_code for number in range(8)]
    assert tries == 8 * [401]
    # in whatever case, and from wherever
    assert throttled(login(f" {guest.email.upper()}", address="10.0.1.1"), 1770)
    assert throttled(login(guest.email, address="10.0.1.2"), 1770)
    clock[0] += 1770
    assert login(guest.email, address="10.0.1.1").status_code == 200


@pytest.mark.usefixtures("counted")
def test_who_tries_an_account_does_not_keep_its_owner_out(guest: User) -> None:
    assert login(guest.email, address=BERLIN).status_code == 200
    for number in range(8):
        login(guest.email, "wrong", address=f"10.0.0.{number}")
    assert throttled(login(guest.email, address="10.0.0.1"), 1770)  # failed from there is not logged in
    assert login(guest.email, address=BERLIN).status_code == 200
    # but from there, too, no more than the address may
    assert [login(guest.email, "wrong", address=BERLIN).status_code for _ in range(4)] == [401, 401, 401, 429]


@pytest.mark.usefixtures("counted")
def test_what_is_refused_by_address_does_not_count_against_the_account(guest: User) -> None:
    for _ in range(20):
        login(guest.email, "wrong")
    assert login(guest.email, address=GONDAR).status_code == 200


@pytest.mark.usefixtures("counted")
def test_a_network_of_ipv6_counts_as_one_address(guest: User) -> None:
    for number in range(5):
        login("nobody@example.org", address=f"2001:db8::{number}")
    assert throttled(login(guest.email, address="2001:db8::ffff"), 30)
    assert login(guest.email, address="2001:db8:0:1::1").status_code == 200


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("forged", [f"{GONDAR}, {ADDIS}", f"not an address,{ADDIS}"])
def test_a_forwarded_address_that_the_client_invents_is_no_way_around(guest: User, forged: str) -> None:
    for _ in range(5):
        login("nobody@example.org")
    assert throttled(login(guest.email, address=forged), 30)


@pytest.mark.usefixtures("counted", "db")
def test_registrations_of_one_address_are_limited() -> None:
    def register(number: int) -> Any:
        return client_of().post(
            USERS, {"email": f"{number}@example.org", "name": "Ada", "password": PASSWORD},
            HTTP_X_FORWARDED_FOR=ADDIS,
        )  # fmt: skip

    assert [register(number).status_code for number in range(3)] == [201, 201, 201]
    assert throttled(register(4), 1770)
    assert User.objects.count() == 3


@pytest.mark.usefixtures("counted", "db")
@pytest.mark.parametrize(
    "body",
    [b"[]", b"7", b'"x"', b"{", b'{"email": ["x"]}', b'{"email": "\\ud800"}', b'{"email": "a\\u0000b"}'],
)
def test_a_login_that_names_no_account_is_a_400_and_limited_by_address(body: bytes) -> None:
    codes = [post_raw(client_of(), TOKEN, body).status_code for _ in range(6)]
    assert codes == [400] * 5 + [429]


@pytest.mark.usefixtures("counted")
def test_a_form_asks_the_same_limits(guest: User) -> None:
    def allowed(address: str) -> LoginThrottle | None:
        throttle = LoginThrottle()
        request = RequestFactory().post("/", {"username": guest.email}, HTTP_X_FORWARDED_FOR=address)
        return None if throttle.allow_request(request, None) else throttle

    refusals = [allowed(f"10.0.0.{number}") for number in range(9)]
    assert refusals[:8] == [None] * 8
    assert refusals[8] is not None
    assert refusals[8].wait() == 1770
    assert throttled(login(guest.email, address="10.0.1.1"), 1770)


@pytest.mark.usefixtures("limits", "db")
def test_without_redis_nobody_is_locked_out_and_nothing_fails(guest: User) -> None:
    assert [login(guest.email, "wrong").status_code for _ in range(20)] == 20 * [401]
    assert login(guest.email).status_code == 200


@pytest.mark.usefixtures("limits", "db")
def test_redis_counts_and_forgets_when_it_is_gone(guest: User, redis: Redis) -> None:
    assert [login("nobody@example.org").status_code for _ in range(6)] == [401] * 5 + [429]
    redis.stop()
    assert login(guest.email).status_code == 200


@pytest.mark.usefixtures("limits")
@pytest.mark.django_db(transaction=True)
def test_of_twenty_logins_at_once_no_more_pass_than_may(redis: Redis) -> None:
    make_user("ada@example.org")
    codes = at_once(20, lambda _: login("ada@example.org", "wrong").status_code)
    assert sorted(codes) == [401] * 5 + [429] * 15


@pytest.mark.usefixtures("counted", "db")
def test_the_cache_is_told_no_address_of_a_person(guest: User) -> None:
    login(guest.email)
    keys = " ".join(vars(caches["default"])["_cache"])
    assert "throttle:login_account" in keys
    assert guest.email not in keys


@pytest.mark.usefixtures("limits", "db")
def test_where_the_address_is_not_known_the_account_alone_is_limited() -> None:
    throttle = LoginThrottle()
    assert throttle.allow_request(RequestFactory().post("/", {}, REMOTE_ADDR=""), None)
