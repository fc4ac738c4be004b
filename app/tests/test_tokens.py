"""Tokens: a refresh token is good once, whoever logs out has none, and nobody who is gone gets another."""

from typing import Any

import pytest
from django.db import OperationalError
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from booking.accounts import tokens
from booking.accounts.models import User
from tests.helpers import PASSWORD, at_once, client_of, make_user

TOKEN, REFRESH, REVOKE = "/api/v1/token/", "/api/v1/token/refresh/", "/api/v1/token/revoke/"


def pair(user: User) -> dict[str, str]:
    """What a login answers."""
    answer: dict[str, str] = client_of().post(TOKEN, {"email": user.email, "password": PASSWORD}).json()
    return answer


def refused(answer: Any, code: str = "token_not_valid") -> bool:
    """Whether the answer is the 401 of this code, with its challenge."""
    found = (answer.status_code, answer.json()["error"]["code"])
    return found == (401, code) and bool(answer.headers["WWW-Authenticate"])


def test_a_refresh_token_is_good_once_and_its_successor_after_it(guest: User) -> None:
    first = pair(guest)["refresh"]
    second = client_of().post(REFRESH, {"refresh": first}).json()["refresh"]
    assert refused(client_of().post(REFRESH, {"refresh": first}))
    assert client_of().post(REFRESH, {"refresh": second}).status_code == 200


def test_control_without_the_blacklist_a_used_refresh_token_is_good_again(
    guest: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens.OneUse, "blacklist", lambda self: None)
    first = pair(guest)["refresh"]
    assert [client_of().post(REFRESH, {"refresh": first}).status_code for _ in range(2)] == [200, 200]


@pytest.mark.django_db(transaction=True)
def test_of_eight_uses_of_one_refresh_token_at_once_one_wins() -> None:
    refresh = pair(make_user("ada@example.org"))["refresh"]
    answers = at_once(8, lambda _: client_of().post(REFRESH, {"refresh": refresh}).status_code)
    assert sorted(answers) == [200] + 7 * [401]
    assert OutstandingToken.objects.count() == 2


def test_what_does_not_see_that_it_came_second_is_refused_none_the_less(
    guest: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = pair(guest)["refresh"]
    monkeypatch.setattr(tokens.OneUse, "check_blacklist", lambda self: None)
    assert client_of().post(REFRESH, {"refresh": refresh}).status_code == 200
    assert refused(client_of().post(REFRESH, {"refresh": refresh}))
    assert refused(client_of().post(REVOKE, {"refresh": refresh}))


@pytest.mark.django_db(transaction=True)
def test_a_refresh_that_fails_at_its_end_leaves_the_old_token_as_good_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refresh = pair(make_user("ada@example.org"))["refresh"]

    def fail(self: object) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(tokens.OneUse, "outstand", fail)
        assert client_of().post(REFRESH, {"refresh": refresh}).status_code == 503
    assert client_of().post(REFRESH, {"refresh": refresh}).status_code == 200


def test_who_logs_out_has_a_refresh_token_of_no_use(guest: User) -> None:
    refresh, other = pair(guest)["refresh"], pair(guest)["refresh"]
    revoked = client_of().post(REVOKE, {"refresh": refresh})
    assert (revoked.status_code, revoked.json()) == (200, {})
    assert refused(client_of().post(REFRESH, {"refresh": refresh}))
    assert refused(client_of().post(REVOKE, {"refresh": refresh}))
    assert client_of().post(REFRESH, {"refresh": other}).status_code == 200


def test_a_refresh_token_of_a_release_that_kept_no_list_is_good_once(guest: User) -> None:
    refresh = pair(guest)["refresh"]
    OutstandingToken.objects.all().delete()
    assert client_of().post(REFRESH, {"refresh": refresh}).status_code == 200
    assert refused(client_of().post(REFRESH, {"refresh": refresh}))


@pytest.mark.parametrize("path", [REFRESH, REVOKE])
@pytest.mark.parametrize("kind", ["access", "nonsense", "nothing"])
def test_what_is_no_refresh_token_is_refused(guest: User, path: str, kind: str) -> None:
    body = {"access": {"refresh": pair(guest)["access"]}, "nonsense": {"refresh": "x"}, "nothing": {}}[kind]
    assert client_of().post(path, body).status_code == (400 if kind == "nothing" else 401)


def test_a_refresh_of_a_user_who_is_no_longer_active_or_gone_is_refused(guest: User) -> None:
    inactive, gone = pair(guest)["refresh"], pair(guest)["refresh"]
    User.objects.update(is_active=False)
    assert refused(client_of().post(REFRESH, {"refresh": inactive}), "no_active_account")
    guest.delete()
    assert refused(client_of().post(REFRESH, {"refresh": gone}), "no_active_account")
    assert client_of().post(REVOKE, {"refresh": gone}).status_code == 200
