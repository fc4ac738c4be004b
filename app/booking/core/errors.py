"""One envelope for every error: {"error": {"code", "message", "fields"}}.

Services raise `ApplicationError`; views let errors pass; `exception_handler` turns each into the envelope.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.shortcuts import render
from rest_framework import exceptions, serializers, status
from rest_framework.response import Response

logger = logging.getLogger("booking.errors")

Fields = dict[str, list[str]]
# The database is away, failing over, busy with another's lock, or broke a deadlock: nothing was written.
DATABASE_ERRORS = (OperationalError, InterfaceError)


class ApplicationError(Exception):
    """A request that the service refuses; `code` is for programs, `message` for people.

    `retry_after`: seconds after which it may be asked again; 0 says nothing of it.
    """

    def __init__(
        self,
        *,
        code: str,
        message: str,
        fields: Fields | None = None,
        http_status: int = status.HTTP_409_CONFLICT,
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.code, self.message, self.fields, self.http_status = code, message, fields or {}, http_status


def database_refusal(error: Exception) -> ApplicationError:
    """What one of DATABASE_ERRORS is to a client; it is logged."""
    logger.error("database unavailable", extra={"error": str(error).strip()})
    return ApplicationError(
        code="try_again",
        message="The database did not take the request; try again.",
        http_status=status.HTTP_503_SERVICE_UNAVAILABLE,
        retry_after=1,
    )


class TooLarge(exceptions.APIException):
    """A body over DATA_UPLOAD_MAX_MEMORY_SIZE."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = "The body is too large."


class ErrorBody(serializers.Serializer[Any]):
    """The inside of the envelope."""

    code = serializers.CharField()
    message = serializers.CharField()
    fields = serializers.DictField(  # type: ignore[assignment]  # hides Serializer.fields, which nobody reads here
        child=serializers.ListField(child=serializers.CharField())
    )


class ErrorEnvelope(serializers.Serializer[Any]):
    """What every error answers."""

    error = ErrorBody()


def errors(*codes: int) -> dict[int, type[ErrorEnvelope]]:
    """The `responses=` of a schema for these status codes."""
    return dict.fromkeys(codes, ErrorEnvelope)


def envelope(*, code: str, message: str, fields: Fields | None = None) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"code": code, "message": message, "fields": fields or {}}}


@contextmanager
def refusing(refusals: Mapping[str, ApplicationError]) -> Iterator[None]:
    """A transaction in which a broken constraint, by its name, is raised as the refusal it stands for.

    A constraint that is not named here is a defect of the caller and stays an IntegrityError.
    """
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        constraint = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        refusal = refusals.get(constraint or "")
        if refusal is None:
            raise
        raise refusal from error


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's hook: the answer to `exc`, or None for a defect, which becomes a 500."""
    if isinstance(exc, DATABASE_ERRORS):
        exc = database_refusal(exc)
    if isinstance(exc, ApplicationError):
        return Response(
            envelope(code=exc.code, message=exc.message, fields=exc.fields),
            status=exc.http_status,
            headers={"Retry-After": str(exc.retry_after)} if exc.retry_after else None,
        )
    if isinstance(exc, RequestDataTooBig):
        exc = TooLarge()
    elif isinstance(exc, UnreadablePostError):  # the client went away in mid-body
        exc = exceptions.ParseError()
    elif isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    if not isinstance(exc, exceptions.APIException):
        return None
    headers = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = f"{wait:.0f}"
    return Response(describe(exc), status=exc.status_code, headers=headers)


def describe(exc: exceptions.APIException) -> dict[str, Any]:
    """The envelope of one of the framework's exceptions."""
    detail = exc.detail
    if isinstance(exc, exceptions.ValidationError):
        fields = flatten(detail)
        return envelope(code="invalid", message="The request is not valid; see the fields.", fields=fields)
    if isinstance(detail, dict):  # simplejwt gives {"detail", "code", ...}
        return envelope(code=str(detail.get("code", exc.default_code)), message=str(detail.get("detail", "")))
    return envelope(code=str(getattr(detail, "code", exc.default_code)), message=str(detail))


def flatten(detail: Any, prefix: str = "") -> Fields:
    """{"dates.check_in": ["..."]} for nested details; "non_field_errors" for what has no field."""
    if isinstance(detail, Mapping):
        fields: Fields = {}
        for key, inner in detail.items():
            fields |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
        return fields
    if isinstance(detail, list) and any(isinstance(item, Mapping) for item in detail):
        return flatten({index: item for index, item in enumerate(detail) if item}, prefix)
    messages = detail if isinstance(detail, list) else [detail]
    # Some say what was sent, which may be half a character (a lone surrogate): no answer can hold one.
    return {prefix or "non_field_errors": [str(item).encode(errors="replace").decode() for item in messages]}


def _answer(request: HttpRequest, http_status: int, *, code: str, message: str) -> HttpResponse:
    """The envelope; to a person who looks at pages, a page."""
    if request.accepts("text/html") and not request.accepts("application/json"):
        return render(request, "pages/error.html", {"message": message}, status=http_status)
    return JsonResponse(envelope(code=code, message=message), status=http_status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own 400, of which a Host header that nobody allowed is the common one."""
    return _answer(
        request, 400, code="bad_request", message="The request is malformed, or its Host is not served here."
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own 403."""
    return _answer(request, 403, code="permission_denied", message="This is not allowed.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The 403 of a form without its token."""
    return _answer(
        request, 403, code="csrf_failed", message="The form's token is missing or wrong; reload the page."
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's own 404: no such path."""
    return _answer(request, 404, code="not_found", message="There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """The 500: a defect; its traceback is in the log under the request's id."""
    return _answer(
        request,
        500,
        code="server_error",
        message="The service failed; quote the X-Request-Id to its operators.",
    )


class DatabaseMiddleware:
    """Answers 503 where a page's question to the database failed; of the API `exception_handler` does."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Nothing of its own."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Django's hook: the answer to what a view raised, or None for a defect."""
        if not isinstance(exception, DATABASE_ERRORS):
            return None
        refusal = database_refusal(exception)
        answer = _answer(request, refusal.http_status, code=refusal.code, message=str(refusal))
        answer["Retry-After"] = str(refusal.retry_after)
        return answer
