"""While a signing key is renewed, what either key signed is good; afterwards the old one's is not."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.test import Client
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from booking.accounts import signing
from booking.accounts.models import User
from tests.helpers import PASSWORD, client_of

OLD, NEW = "o" * 43, "n" * 43
WHO = "/api/v1/bookings/"
Keys = Callable[..., None]


@pytest.fixture
def keys(settings: Any) -> Iterator[Keys]:
    """Makes this process one that signs tokens with a key and accepts others."""

    def use(signs: str, *accepted: str) -> None:
        settings.SIMPLE_JWT = {**settings.SIMPLE_JWT, "SIGNING_KEY": signs}
        settings.JWT_FALLBACKS = list(accepted)
        signing.install()

    yield use
    settings.SIMPLE_JWT = {**settings.SIMPLE_JWT, "SIGNING_KEY": settings.SECRET_KEY}
    signing.install()


def token(user: User, key: str, **more: Any) -> str:
    """An access token of the user as a process with this key makes it."""
    made = AccessToken.for_user(user)
    made.payload.update(more)
    return jwt.encode(made.payload, key, algorithm="HS256")


def status(word: str) -> int:
    """What the API answers who comes with this token."""
    return client_of().get(WHO, headers={"Authorization": f"Bearer {word}"}).status_code


@pytest.mark.parametrize(("signs", "accepted"), [(OLD, NEW), (NEW, OLD)])
def test_tokens_of_both_keys_are_good_in_both_steps(
    guest: User, keys: Keys, signs: str, accepted: str
) -> None:
    keys(signs, accepted)
    assert [status(token(guest, key)) for key in (OLD, NEW)] == [200, 200]
    assert jwt.get_unverified_header(str(AccessToken.for_user(guest)))["alg"] == "HS256"
    assert jwt.decode(str(AccessToken.for_user(guest)), signs, algorithms=["HS256"]), (
        "its own are signed with its key"
    )


def test_a_token_of_a_key_that_was_withdrawn_is_refused(guest: User, keys: Keys) -> None:
    keys(NEW)
    assert [status(token(guest, key)) for key in (OLD, NEW)] == [401, 200]


def test_a_process_that_was_not_told_of_the_next_key_refuses_its_tokens(guest: User, keys: Keys) -> None:
    """The control: why the next key is announced before anybody signs with it."""
    keys(OLD)
    assert status(token(guest, NEW)) == 401


def test_an_accepted_key_saves_no_token_that_is_too_old_or_unsigned(guest: User, keys: Keys) -> None:
    keys(NEW, OLD)
    late = int((AccessToken.for_user(guest).current_time - timedelta(hours=1)).timestamp())
    assert status(token(guest, OLD, exp=late)) == 401
    unsigned = jwt.encode(AccessToken.for_user(guest).payload, "", algorithm="none")
    assert status(unsigned) == 401


def test_a_refresh_token_of_the_old_key_becomes_a_pair_of_the_new(guest: User, keys: Keys) -> None:
    keys(OLD, NEW)
    old = str(RefreshToken.for_user(guest))
    keys(NEW, OLD)
    answer = client_of().post("/api/v1/token/refresh/", {"refresh": old})
    assert answer.status_code == 200
    keys(NEW)
    assert status(answer.json()["access"]) == 200


def test_every_kind_of_token_has_the_one_backend(guest: User, keys: Keys) -> None:
    keys(NEW, OLD)
    kinds: list[Token] = [AccessToken(), RefreshToken()]
    assert {type(each.token_backend) for each in kinds} == {signing.Backend}


def test_a_session_outlives_its_key_until_the_key_is_withdrawn(guest: User, settings: Any) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, [NEW]
    browser = Client()
    assert browser.login(username=guest.email, password=PASSWORD)

    def signed_in() -> bool:
        return (
            "_auth_user_id" in browser.session and browser.get("/stays/").wsgi_request.user.is_authenticated
        )

    assert signed_in()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert signed_in()
    settings.SECRET_KEY_FALLBACKS = []
    assert signed_in(), "it was signed anew when it was seen"


def test_a_session_that_was_not_seen_in_between_ends_with_its_key(guest: User, settings: Any) -> None:
    settings.SECRET_KEY = OLD
    browser = Client()
    assert browser.login(username=guest.email, password=PASSWORD)
    settings.SECRET_KEY = NEW
    assert not browser.get("/stays/").wsgi_request.user.is_authenticated
