"""Logins: noted with where from, and limited by address and by account."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.test import Client, RequestFactory
from django.utils import timezone
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]
from pytest_django import Settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from booking.accounts import countries
from booking.accounts.models import LoginEvent, User
from booking.accounts.services import accounts_prune
from booking.accounts.throttles import LoginThrottle
from booking.core.throttles import Windowed
from tests.helpers import PASSWORD, at_once, client_of, make_user, post_raw
from tests.redis import Redis

USERS, TOKEN, LOGINS = "/api/v1/users/", "/api/v1/token/", "/api/v1/users/me/logins/"
ADDIS, GONDAR, BERLIN = "192.0.2.7", "192.0.2.8", "198.51.100.9"


def login(email: str, password: str = PASSWORD, address: str = ADDIS, agent: str = "") -> Any:
    """The answer to a login from `address`."""
    body = {"email": email, "password": password}
    return client_of().post(TOKEN, body, HTTP_X_FORWARDED_FOR=address, HTTP_USER_AGENT=agent)


def noted() -> list[tuple[bool, str | None, str, str]]:
    """What is kept, oldest first: success, address, agent, country."""
    rows = LoginEvent.objects.order_by("pk")
    return [(row.succeeded, row.address, row.agent, row.country) for row in rows]


# --- What is noted ------------------------------------------------------------------------------------
def test_a_login_is_noted_with_its_address_and_its_agent_cut_short(guest: User) -> None:
    assert login(guest.email, agent="b" * 300).status_code == 200
    assert noted() == [(True, ADDIS, "b" * 200, "")]
    guest.refresh_from_db()
    assert guest.last_login


def test_the_agent_may_hold_what_the_database_does_not_take(guest: User) -> None:
    assert login(guest.email, agent="a\x00b\xff").status_code == 200
    assert noted() == [(True, ADDIS, "ab\xff", "")]


def test_a_wrong_password_is_noted_without_what_was_typed(guest: User) -> None:
    assert login(guest.email.upper(), "typed by mistake").status_code == 401
    assert noted() == [(False, ADDIS, "", "")]
    (row,) = LoginEvent.objects.values()
    assert "typed" not in str(row)
    assert str(LoginEvent.objects.get()) == f"{guest.pk} at {row['at']}"


def test_of_an_account_that_does_not_exist_nothing_is_kept(guest: User) -> None:
    assert login("nobody@example.org").status_code == 401
    assert noted() == []


def test_an_inactive_users_attempt_is_noted_as_a_failure(guest: User) -> None:
    User.objects.update(is_active=False)
    assert login(guest.email).status_code == 401
    assert noted() == [(False, ADDIS, "", "")]


def test_logins_by_form_are_noted_as_well(guest: User) -> None:
    request = RequestFactory().post("/", HTTP_X_FORWARDED_FOR=BERLIN)
    form = AuthenticationForm(request, {"username": guest.email, "password": "wrong"})
    assert not form.is_valid()
    Client().force_login(guest)
    assert authenticate(username="", password="x") is None
    assert noted() == [(False, BERLIN, "", ""), (True, None, "", "")]


def test_an_attempt_without_a_request_is_noted_from_nowhere(guest: User) -> None:
    authenticate(username=guest.email, password="wrong")
    assert noted() == [(False, None, "", "")]


def test_users_see_their_own_logins_newest_first_by_pages(guest: User, host: User) -> None:
    for address in (ADDIS, GONDAR, BERLIN):
        login(guest.email, address=address)
    login(guest.email, "wrong")
    login(host.email)
    first = client_of(guest).get(LOGINS, {"page_size": 3}).json()
    assert [(row["succeeded"], row["address"]) for row in first["results"]] == [
        (False, ADDIS), (True, BERLIN), (True, GONDAR),
    ]  # fmt: skip
    assert set(first["results"][0]) == {"at", "succeeded", "address", "agent", "country"}
    second = client_of(guest).get(first["next"].replace("http://testserver", "")).json()
    assert [row["address"] for row in second["results"]] == [ADDIS]
    assert second["next"] is None
    assert client_of(guest).get(LOGINS, {"cursor": "x"}).status_code == 404
    assert len(client_of(host).get(LOGINS).json()["results"]) == 1


def test_what_is_old_or_expired_is_pruned_and_the_rest_is_kept(guest: User) -> None:
    for _ in range(2):
        login(guest.email)
    old, new = LoginEvent.objects.order_by("pk")
    for event, days in ((old, 181), (new, 179)):
        LoginEvent.objects.filter(pk=event.pk).update(at=timezone.now() - timedelta(days=days))
    expired = OutstandingToken.objects.earliest("pk")
    OutstandingToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    for key, days in (("old", -1), ("new", 1)):
        Session.objects.create(session_key=key, expire_date=timezone.now() + timedelta(days=days))
    assert accounts_prune() == 1
    assert [event.pk for event in LoginEvent.objects.all()] == [new.pk]
    assert OutstandingToken.objects.count() == 1
    assert [session.pk for session in Session.objects.all()] == ["new"]
    assert accounts_prune() == 0


# --- The country --------------------------------------------------------------------------------------
ODD: list[dict[str, Any]] = [
    {"continent": "AF"},
    {"country": "ET"},
    {"country": {"iso_code": 7}},
    {"country": {"iso_code": "ETH"}},
]


@pytest.fixture
def fresh() -> Iterator[None]:
    """A process that has opened no database yet."""
    for function in (countries.database, countries.complain):
        function.cache_clear()
    yield
    for function in (countries.database, countries.complain):
        function.cache_clear()


@pytest.fixture
def mmdb(tmp_path: Path, settings: Settings, fresh: None) -> Path:
    """A small GeoIP database, configured."""
    writer = MMDBWriter(6, "GeoLite2-Country", languages=["en"], ipv4_compatible=True)
    writer.insert_network(IPSet(["192.0.2.7/32"]), {"country": {"iso_code": "ET"}})
    writer.insert_network(IPSet(["2001:db8::/32"]), {"country": {"iso_code": "DE"}})
    for number, odd in enumerate(ODD):
        writer.insert_network(IPSet([f"198.51.100.{number}/32"]), odd)
    path = tmp_path / "country.mmdb"
    writer.to_db_file(str(path))
    settings.GEOIP_DATABASE = str(path)
    return path


@pytest.mark.parametrize(
    ("address", "country"),
    [
        (ADDIS, "ET"),
        ("2001:db8::1", "DE"),
        (GONDAR, ""),  # not in it
        (None, ""),
        *((f"198.51.100.{number}", "") for number in range(4)),
    ],
)
def test_the_country_is_that_of_the_address(mmdb: Path, address: str | None, country: str) -> None:
    assert countries.country_of(address) == country


def test_a_login_is_noted_with_its_country_by_a_database_opened_once(
    mmdb: Path, guest: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(guest.email)
    mmdb.unlink()  # the open one goes on serving
    login(guest.email, "wrong")
    assert [country for *_, country in noted()] == ["ET", "ET"]


@pytest.mark.parametrize("content", [None, b"", b"no database", b"\xab\xcd\xefMaxMind.com"])
def test_a_file_that_is_missing_or_broken_is_one_line_and_never_a_failed_login(
    mmdb: Path, guest: User, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    mmdb.unlink()
    if content is not None:
        mmdb.write_bytes(content)
    assert [login(guest.email).status_code for _ in range(3)] == [200, 200, 200]
    assert [country for *_, country in noted()] == ["", "", ""]
    (line,) = [record for record in caplog.records if record.name == "booking.countries"]
    assert "BOOKING_GEOIP_DATABASE" in line.getMessage()
    assert vars(line)["file"] == str(mmdb)


def test_a_file_that_is_broken_in_its_midst_never_fails_a_login(
    mmdb: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = mmdb.read_bytes()
    for place in range(0, len(whole), 3):
        mmdb.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        countries.database.cache_clear()
        for address in (ADDIS, "2001:db8::1"):
            assert len(countries.country_of(address)) in (0, 2)
    told = [vars(record)["error"] for record in caplog.records]
    assert len(told) == len(set(told)) > 1  # each kind of damage once


def test_a_database_of_ipv4_knows_no_ipv6_and_says_nothing_of_it(
    tmp_path: Path, settings: Settings, fresh: None, caplog: pytest.LogCaptureFixture
) -> None:
    writer = MMDBWriter(4, "GeoLite2-Country")
    writer.insert_network(IPSet(["192.0.2.0/24"]), {"country": {"iso_code": "ET"}})
    settings.GEOIP_DATABASE = str(tmp_path / "country.mmdb")
    writer.to_db_file(settings.GEOIP_DATABASE)
    assert [countries.country_of(address) for address in ("2001:db8::1", ADDIS)] == ["", "ET"]
    assert caplog.records == []


# --- The limits ---------------------------------------------------------------------------------------
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
