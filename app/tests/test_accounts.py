"""Registration and tokens."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import RequestFactory
from pytest_django import DjangoAssertNumQueries
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from booking.accounts.models import User
from booking.accounts.selectors import signed_in
from tests.helpers import PASSWORD, at_once, client_of, make_user, post_raw

USERS, ME, TOKEN, REFRESH, MINE = (
    "/api/v1/users/",
    "/api/v1/users/me/",
    "/api/v1/token/",
    "/api/v1/token/refresh/",
    "/api/v1/bookings/",
)
ADA = {"email": "Ada@Example.org", "name": "Ada", "password": PASSWORD}


@pytest.mark.django_db
def test_from_registration_to_a_call_with_a_refreshed_token() -> None:
    client = client_of()
    answer = client.post(USERS, ADA)
    assert answer.status_code == 201
    assert answer.json() | {"id": 0, "created_at": ""} == {
        "id": 0, "created_at": "", "email": "ada@example.org", "name": "Ada", "role": "host",
    }  # fmt: skip
    tokens = client.post(TOKEN, {"email": "ADA@example.org", "password": PASSWORD}).json()
    access = client.post(REFRESH, {"refresh": tokens["refresh"]}).json()["access"]
    for token in (tokens["access"], access):
        assert client.get(MINE, HTTP_AUTHORIZATION=f"Bearer {token}").status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["guest", "host"])
def test_a_new_user_may_choose_to_be_a_guest_or_a_host(role: str) -> None:
    answer = client_of().post(USERS, ADA | {"role": role})
    assert (answer.status_code, answer.json()["role"]) == (201, role)
    assert User.objects.get().role == role


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["admin", "ADMIN", "", None, ["host"], {"role": "host"}, 1], ids=str)
def test_nobody_registers_as_an_admin_or_as_what_is_no_role(role: Any) -> None:
    answer = client_of().post(USERS, ADA | {"role": role})
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (400, {"role"})
    assert not User.objects.exists()


@pytest.mark.django_db
def test_rights_that_a_registration_claims_beside_its_role_are_not_given() -> None:
    client_of().post(USERS, ADA | {"is_staff": True, "is_superuser": True, "id": 1})
    user = User.objects.get()
    assert [user.is_staff, user.is_superuser, user.is_admin] == [False, False, False]


def test_users_see_themselves_and_change_their_name_alone(guest: User) -> None:
    client = client_of(guest)
    before = client.get(ME).json()
    assert set(before) == {"id", "email", "name", "role", "created_at"}
    more = {"email": "x@example.org", "role": "admin", "id": 1, "is_superuser": True}
    changed = client.patch(ME, {"name": "Ada", **more})
    assert (changed.status_code, changed.json()) == (200, before | {"name": "Ada"})
    assert client.get(ME).json() == before | {"name": "Ada"}
    guest.refresh_from_db()
    assert (guest.role, guest.is_superuser) == ("host", False)


def test_a_change_of_nothing_changes_nothing_and_writes_nothing(
    guest: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = client_of(guest)
    with django_assert_num_queries(1):  # whose token it is
        answer = client.patch(ME, {})
    assert (answer.status_code, answer.json()["name"]) == (200, guest.name)


@pytest.mark.parametrize("name", ["", "  ", None, "x" * 121, "a\x00b", ["Ada"], {}], ids=repr)
def test_a_name_that_is_none_is_refused(guest: User, name: Any) -> None:
    answer = client_of(guest).patch(ME, {"name": name})
    assert (answer.status_code, set(answer.json()["error"]["fields"])) == (400, {"name"})
    assert User.objects.get().name == guest.name


@pytest.mark.parametrize("field", ["name", "role", "email", "password"])
def test_half_a_character_is_refused_wherever_it_stands(guest: User, field: str) -> None:
    body = json.dumps(ADA | {"role": "host", field: "\ud800"}).encode()
    answer = post_raw(client_of(), USERS, body)
    assert (answer.status_code, field in answer.json()["error"]["fields"]) == (400, True)


@pytest.mark.django_db
def test_nobody_has_no_self_to_see_or_change() -> None:
    assert client_of().get(ME).status_code == client_of().get(f"{ME}logins/").status_code == 401
    assert client_of().patch(ME, {"name": "Ada"}).status_code == 401


def test_passwords_are_stored_hashed(guest: User) -> None:
    assert PASSWORD not in guest.password
    assert guest.check_password(PASSWORD)


@pytest.mark.django_db
@pytest.mark.parametrize("email", ["ada@example.org", "ADA@EXAMPLE.ORG"])
def test_an_address_is_registered_once_whatever_its_case(email: str) -> None:
    client = client_of()
    client.post(USERS, ADA)
    answer = client.post(USERS, ADA | {"email": email})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "email_taken")
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_register_one_address_at_once_one_wins() -> None:
    answers = at_once(8, lambda _: client_of().post(USERS, ADA).status_code)
    assert sorted(answers) == [201] + 7 * [409]


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["short", "password", "ada@example.org"])
def test_a_weak_password_is_refused_and_nobody_registered(password: str) -> None:
    answer = client_of().post(USERS, ADA | {"password": password})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "weak_password")
    assert answer.json()["error"]["fields"]["password"]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("email", "password"), [("guest@example.org", "wrong"), ("nobody@example.org", PASSWORD)]
)
def test_a_wrong_password_and_an_unknown_address_get_the_same_401(
    guest: User, email: str, password: str
) -> None:
    answer = client_of().post(TOKEN, {"email": email, "password": password})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no_active_account")


def test_a_user_who_is_no_longer_active_gets_no_token_and_no_answer(guest: User) -> None:
    client = client_of(guest)
    User.objects.update(is_active=False)
    assert client_of().post(TOKEN, {"email": guest.email, "password": PASSWORD}).status_code == 401
    answer = client.get(MINE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "user_inactive")


def expired(user: User) -> str:
    token = AccessToken.for_user(user)
    token.set_exp(lifetime=-timedelta(seconds=1))
    return str(token)


@pytest.mark.parametrize("kind", ["expired", "tampered", "refresh", "nonsense", "none"])
def test_a_token_that_is_no_good_is_401(guest: User, kind: str) -> None:
    good = str(AccessToken.for_user(guest))
    token = {
        "expired": expired(guest),
        "tampered": good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
        "refresh": str(RefreshToken.for_user(guest)),
        "nonsense": "nonsense",
        # A token that says of itself that it needs no signature.
        "none": "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + good.split(".")[1] + ".",
    }[kind]
    assert client_of().get(MINE, HTTP_AUTHORIZATION=f"Bearer {good}").status_code == 200
    answer = client_of().get(MINE, HTTP_AUTHORIZATION=f"Bearer {token}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_not_valid")


def test_a_token_of_a_deleted_user_is_401(guest: User) -> None:
    client = client_of(guest)
    guest.delete()
    answer = client.get(MINE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "user_not_found")


@pytest.mark.django_db
def test_a_superuser_can_be_made_for_operators() -> None:
    user = User.objects.create_superuser(email="Root@example.org", name="Root", password=PASSWORD)
    assert user.is_superuser
    assert User.objects.get_by_natural_key("ROOT@example.org") == user
    assert str(user) == "root@example.org"


def test_a_user_without_a_password_cannot_log_in(db: None) -> None:
    user = User.objects.create_user(email="seed@example.org", name="Seed")
    assert not user.has_usable_password()
    assert make_user("other@example.org").has_usable_password()


def test_nobody_is_never_taken_for_a_user() -> None:
    with pytest.raises(NotAuthenticated):
        signed_in(Request(RequestFactory().get("/")))
