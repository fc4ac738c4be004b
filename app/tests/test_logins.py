"""Logins: noted with where from, shown to their users, forgotten in time."""

from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from django.utils import timezone
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from booking.accounts.models import LoginEvent, User
from booking.accounts.services import accounts_prune
from tests.helpers import PASSWORD, client_of

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
