"""What the OpenAPI schema says of every operation alike, so that no view has to."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiExample

from booking.core.errors import ErrorEnvelope

TEXT: dict[str, Any] = {"type": "string"}
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {"description": "What an operator finds this request by.", "schema": TEXT},
    "X-Release-Id": {"description": "The release that answered.", "schema": TEXT},
    "Retry-After": {
        "description": "Seconds to wait before another attempt.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "How to say who one is.", "schema": TEXT},
}
EXAMPLE_ID = 7
EVERYWHERE = ("X-Request-Id", "X-Release-Id")
OF_CODE = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}


def sent(value: dict[str, Any]) -> OpenApiExample:
    """The example of a request."""
    return OpenApiExample("A request", value=value, request_only=True)


def answered(value: dict[str, Any], status: int = 200) -> OpenApiExample:
    """The example of an answer; of a list, one of its rows."""
    return OpenApiExample("An answer", value=value, response_only=True, status_codes=[str(status)])


def asked(value: str) -> list[OpenApiExample]:
    """The example of a parameter."""
    return [OpenApiExample("A value", value=value)]


def describe_alike(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """drf-spectacular's hook: adds the refusals that come before any view, and the headers of answers."""
    # ErrorEnvelope is a component already: each operation refuses something of its own.
    refusal = {"schema": {"$ref": f"#/components/schemas/{ErrorEnvelope.__name__}"}}
    for methods in result["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["example"] = EXAMPLE_ID
            answers = operation["responses"]
            codes = {"406", "503"}  # nothing that the client accepts; no database
            if "requestBody" in operation:
                codes |= {"400", "413", "415"}
            if any("jwtAuth" in way for way in operation.get("security", ())):
                codes.add("401")  # a wrong token, also where none is needed
            for code in codes - answers.keys():
                answers[code] = {"content": {"application/json": refusal}}
            operation["responses"] = {
                code: answers[code]
                | {"description": answers[code].get("description") or HTTPStatus(int(code)).phrase}
                | {"headers": {name: {"$ref": f"#/components/headers/{name}"} for name in named(code)}}
                for code in sorted(answers)
            }
    result["components"]["headers"] = {name: {**said, "required": True} for name, said in HEADERS.items()}
    return result


def named(code: str) -> tuple[str, ...]:
    """The headers that every answer with this status has."""
    return (*EVERYWHERE, *OF_CODE.get(code, ()))
