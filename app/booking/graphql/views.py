"""GraphQL over HTTP: one question a POST, as JSON, with the tokens of the API."""

import json
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

QUESTION_MAXIMUM = 10_000  # characters


class Question(serializers.Serializer[Any]):
    """What is sent: one question, never a list of them."""

    query = serializers.CharField(max_length=QUESTION_MAXIMUM, trim_whitespace=False)
    variables = serializers.DictField(required=False, allow_null=True)
    operationName = serializers.CharField(required=False, allow_null=True, max_length=100)

    def validate_variables(self, variables: dict[str, Any] | None) -> dict[str, Any] | None:
        """JSON can say half a character, which no text of the database can hold."""
        try:
            json.dumps(variables, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise serializers.ValidationError("This is not Unicode.") from error
        return variables


class GraphQL(APIView):
    """Errors have GraphQL's shape: `extensions` holds the code and the fields of the API's envelope."""

    permission_classes = (AllowAny,)

    @extend_schema(exclude=True)  # it has a schema of its own kind
    def post(self, request: Request) -> Response:
        """The answer to a question: 200 with data, errors or both."""
        from booking.graphql.schema import execute  # late: half a second, of which only its users pay

        asked = Question(data=request.data)
        asked.is_valid(raise_exception=True)
        question = asked.validated_data
        return Response(
            execute(
                question["query"],
                user=request.user,
                variables=question.get("variables"),
                operation=question.get("operationName"),
            )
        )

    def handle_exception(self, exc: Exception) -> Response:
        """What is wrong with the request itself, with the status that it has everywhere."""
        response = super().handle_exception(exc)
        response.data = {"errors": [error_of(response.data["error"])]}
        return response


def error_of(envelope: dict[str, Any]) -> dict[str, Any]:
    """An error in GraphQL's shape, of the inside of the API's envelope."""
    return {
        "message": envelope["message"],
        "extensions": {"code": envelope["code"], "fields": envelope["fields"]},
    }
