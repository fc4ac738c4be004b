"""Logs: one JSON object a line on standard error, where systemd's journal takes it."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")

# What every record carries; whatever else it has was given as `extra=` and belongs into the line.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# Django hangs the request, and its development server the socket, on some records: neither is a field.
NOT_FIELDS = STANDARD | {"request", "server_time"}


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON: time (UTC, ISO 8601), level, logger, message, release, and its extras."""

    def __init__(self, release: str) -> None:
        super().__init__()
        self.release = release

    def format(self, record: logging.LogRecord) -> str:
        """One line; values that JSON does not know are written as their text."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "release": self.release,
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= {key: value for key, value in vars(record).items() if key not in NOT_FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


class Failures(logging.Filter):
    """Lets only records with a traceback pass: the request log has a line for every answer already."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True where something was raised."""
        return record.exc_info is not None


def logging_config(*, release: str, debug: bool = False) -> dict[str, Any]:
    """The dictionary for `logging.config.dictConfig`; gunicorn's loggers are in it as well."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "config.logs.JsonFormatter", "release": release}},
        "filters": {"failures": {"()": "config.logs.Failures"}},
        "handlers": {"json": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"level": "DEBUG" if debug else "INFO", "handlers": ["json"]},
        "loggers": {
            # Django's own handlers (mail to admins, coloured text) are not wanted beside ours.
            "django": {"level": "INFO", "handlers": [], "propagate": True},
            "django.request": {"level": "ERROR", "filters": ["failures"]},
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "django.db.backends": {"level": "INFO"},
            # What a worker does is told once, by the one who does it.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "gunicorn.error": {"level": "INFO", "handlers": ["json"], "propagate": False},
            "gunicorn.access": {"level": "INFO", "handlers": [], "propagate": False},
        },
    }
