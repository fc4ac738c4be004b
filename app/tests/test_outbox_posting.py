"""Work that a transaction leaves behind is posted with it, once, and is there though the broker is not."""

import pytest
from django.db import transaction

from booking.accounts.models import User
from booking.listings.models import Listing
from booking.outbox import broker
from booking.outbox.models import Message
from booking.outbox.services import post
from tests.helpers import at_once, client_of, stay
from tests.outbox import KIND, committed

pytestmark = pytest.mark.django_db


@committed
def test_what_is_posted_is_published_when_the_transaction_is_through_and_not_before(
    published: list[int],
) -> None:
    with transaction.atomic():
        assert post(key="once", kind=KIND, payload={"a": 1})
        assert published == []
    assert published == [Message.objects.get(payload={"a": 1}).pk]
    assert str(Message.objects.get()) == "once"


@committed
def test_what_is_rolled_back_was_never_posted(published: list[int]) -> None:
    with transaction.atomic():
        post(key="once", kind=KIND, payload={})
        transaction.set_rollback(True)
    assert not Message.objects.exists()
    assert published == []


@committed
def test_the_same_key_is_posted_once_whoever_posts_it(published: list[int]) -> None:
    assert sorted(at_once(4, lambda _: post(key="once", kind=KIND, payload={}))) == [False] * 3 + [True]
    assert len(published) == Message.objects.count() == 1


@committed
def test_without_a_broker_a_booking_is_made_and_its_mail_waits(
    guest: User, listing: Listing, caplog: pytest.LogCaptureFixture
) -> None:
    assert client_of(guest).post("/api/v1/bookings/", stay(listing)).status_code == 201
    assert Message.objects.filter(done_at=None, dead_at=None).count() == 2
    assert broker.BROKER.failure is not None
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == 2 * [
        "not published"
    ]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@committed
def test_a_defect_in_publishing_is_no_defect_of_the_booking(
    guest: User, listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(keys: list[int]) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(broker, "publish", fail)
    assert client_of(guest).post("/api/v1/bookings/", stay(listing)).status_code == 201
    assert Message.objects.count() == 2
