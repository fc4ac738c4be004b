"""Requests with an Idempotency-Key: done once, answered the same each time."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter

from booking.accounts.models import User
from booking.bookings.models import IdempotentAnswer
from booking.bookings.services import invalid
from booking.core.errors import ApplicationError
from booking.core.retries import retried

KEY_MAXIMUM = 255
KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": KEY_MAXIMUM, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description="The same key with the same body is done once and answered the same, for seven days.",
)


def checked(key: str) -> str:
    """The key. Raises ApplicationError 400 for one that is empty, too long or not of printable ASCII."""
    if 0 < len(key) <= KEY_MAXIMUM and key.isascii() and key.isprintable():
        return key
    raise invalid(**{"Idempotency-Key": f"1 to {KEY_MAXIMUM} printable ASCII characters."})


def once(
    *, user: User, key: str | None, asked: Mapping[str, Any], act: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """What `act` answers; with a `key`, what it answered when `user` sent that before."""
    return dict(act()) if key is None else _once(user=user, key=key, asked=asked, act=act)


@retried
@transaction.atomic
def _once(
    *, user: User, key: str, asked: Mapping[str, Any], act: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """What `act` answers, or what it answered when `user` sent this `key` before.

    `asked` is the request as it was understood. The answer is stored in the transaction of `act`: a crash
    leaves both or neither. A second request with the key waits for the first one at the unique constraint.
    A refusal is not stored: it has written nothing, so the repetition may be decided anew, by how things are
    then. Raises ApplicationError 422 idempotency_mismatch for another request under the same key.
    """
    fingerprint = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
    answer, new = IdempotentAnswer.objects.get_or_create(
        user=user, key=checked(key), defaults={"fingerprint": fingerprint, "status": 201, "body": ""}
    )
    if answer.fingerprint != fingerprint:
        raise ApplicationError(
            code="idempotency_mismatch",
            message="This Idempotency-Key came with another request before; choose a new key.",
            http_status=422,
        )
    if new:
        # As text, for a JSON column does not keep the order of the fields.
        answer.body = json.dumps(act())
        answer.save(update_fields=["body"])
    body: dict[str, Any] = json.loads(answer.body)
    return body
