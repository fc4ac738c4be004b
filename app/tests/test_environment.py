"""Settings from the environment, secrets from files, and a build that can do neither harm nor service."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.environment import Environment, read_credential

NAMES = ("secret_key", "database_password", "redis_password", "rabbitmq_password")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A credential directory with everything in it."""
    for name in NAMES:
        (tmp_path / name).write_text(f"a {name} of more than thirty-two characters\n", encoding="utf-8")
    return tmp_path


def test_a_secret_comes_from_the_credential_directory_without_its_line_break(directory: Path) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(directory)}
    assert read_credential("redis_password", environ) == "a redis_password of more than thirty-two characters"


def test_a_secret_comes_from_the_file_that_its_variable_names(directory: Path) -> None:
    environ = {"REDIS_PASSWORD_FILE": str(directory / "secret_key")}
    assert read_credential("redis_password", environ).startswith("a secret_key")


def test_the_credential_directory_goes_before_the_file_and_the_file_fills_what_it_lacks(
    directory: Path,
) -> None:
    environ = {"CREDENTIALS_DIRECTORY": str(directory), "REDIS_PASSWORD_FILE": str(directory / "secret_key")}
    assert read_credential("redis_password", environ).startswith("a redis_password")
    (directory / "redis_password").unlink()
    assert read_credential("redis_password", environ).startswith("a secret_key")


@pytest.mark.parametrize(
    "environ", [{}, {"CREDENTIALS_DIRECTORY": "/nowhere", "REDIS_PASSWORD_FILE": "/nowhere/x"}]
)
def test_a_secret_that_is_nowhere_names_both_places(environ: dict[str, str]) -> None:
    with pytest.raises(ImproperlyConfigured) as raised:
        read_credential("redis_password", environ)
    assert "$CREDENTIALS_DIRECTORY/redis_password" in str(raised.value)
    assert "REDIS_PASSWORD_FILE" in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_secret_that_is_empty_or_no_text_is_refused_by_its_path(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret_key").write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=str(tmp_path / "secret_key")):
        read_credential("secret_key", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_every_problem_is_named_at_once() -> None:
    env = Environment(
        {"BOOKING_DEBUG": "maybe", "BOOKING_DATABASE_PORT": "many", "BOOKING_ALLOWED_HOSTS": "a, *"},
        building=False,
    )
    env.flag("BOOKING_DEBUG")
    env.number("BOOKING_DATABASE_PORT", 5432)
    assert env.hosts("BOOKING_ALLOWED_HOSTS") == ["a", "*"]
    env.text("BOOKING_RELEASE_ID")
    env.signing_key("secret_key")
    with pytest.raises(ImproperlyConfigured) as raised:
        env.finish()
    for word in ("maybe", "many", "'*'", "BOOKING_RELEASE_ID", "SECRET_KEY_FILE"):
        assert word in str(raised.value)


def test_a_short_signing_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("short", encoding="utf-8")
    env = Environment({"CREDENTIALS_DIRECTORY": str(tmp_path)}, building=False)
    env.signing_key("secret_key")
    with pytest.raises(ImproperlyConfigured, match="5 characters"):
        env.finish()


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("off", False), ("", False)])
def test_flags(text: str, value: bool) -> None:
    assert Environment({"X": text}, building=False).flag("X") is value


def test_a_rate_is_so_many_a_period_and_anything_else_is_refused() -> None:
    environ = {"A": "5/hour", "B": "", "C": "0/hour", "D": "5/week", "E": "many", "F": "5/hours"}
    env = Environment(environ, building=False)
    assert [env.rate(name, "1/day") for name in ("A", "B", "Z")] == ["5/hour", "1/day", "1/day"]
    assert env.problems == []
    for name in ("C", "D", "E", "F"):
        env.rate(name, "1/day")
    assert [problem.split(":")[0] for problem in env.problems] == ["C", "D", "E", "F"]


def test_a_word_that_is_none_of_those_to_choose_from_is_refused() -> None:
    env = Environment({"A": "tls", "B": "sometimes"}, building=False)
    assert [env.choice(name, ("starttls", "tls")) for name in ("A", "Z")] == ["tls", "starttls"]
    env.choice("B", ("starttls", "tls"))
    assert env.problems == ["B: 'sometimes' is none of starttls, tls"]


def test_a_build_needs_nothing_and_says_so_in_its_placeholders() -> None:
    env = Environment({}, building=True)
    env.hosts("BOOKING_ALLOWED_HOSTS")
    assert "placeholder" in env.signing_key("secret_key")
    env.finish()


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A program of ours in a clean environment."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_signing_keys_may_be_missing_and_a_short_one_is_refused(directory: Path) -> None:
    env = Environment({"CREDENTIALS_DIRECTORY": str(directory)}, building=False)
    assert env.signing_keys("secret_key_next", "secret_key", "secret_key_previous") == [
        "a secret_key of more than thirty-two characters"
    ]
    assert env.problems == []
    (directory / "secret_key_next").write_text("short")
    env.signing_keys("secret_key_next")
    assert "secret_key_next: 5 characters" in env.problems[0]


@pytest.mark.parametrize(
    "command", [["makemigrations", "--check"], ["collectstatic", "--noinput", "--dry-run"], ["check"]]
)
def test_a_build_runs_without_secrets_and_database(command: list[str]) -> None:
    done = run("manage.py", *command, BOOKING_BUILD="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_build_refuses_to_serve() -> None:
    done = run("-c", "import config.wsgi", BOOKING_BUILD="1")
    assert done.returncode != 0
    assert "BOOKING_BUILD" in done.stderr.splitlines()[-1]


def test_a_build_has_no_database_to_write_to() -> None:
    done = run("manage.py", "migrate", BOOKING_BUILD="1")
    assert done.returncode != 0
    assert "settings.DATABASES is improperly configured" in done.stderr


def test_without_settings_nothing_starts_and_all_that_is_missing_is_named() -> None:
    done = run("manage.py", "check")
    assert done.returncode != 0
    for name in (
        "BOOKING_RELEASE_ID", "BOOKING_ALLOWED_HOSTS", "BOOKING_DATABASE_HOST", "BOOKING_REDIS_HOST",
        "BOOKING_BROKER_HOST", "BOOKING_PUBLIC_URL",
        "SECRET_KEY_FILE", "DATABASE_PASSWORD_FILE", "REDIS_PASSWORD_FILE", "RABBITMQ_PASSWORD_FILE",
    ):  # fmt: skip
        assert name in done.stderr


def test_djangos_deployment_checks_are_clean(directory: Path) -> None:
    done = run(
        "manage.py", "check", "--deploy", "--fail-level", "WARNING",
        CREDENTIALS_DIRECTORY=str(directory), BOOKING_RELEASE_ID="r", BOOKING_ALLOWED_HOSTS="booking.example",
        BOOKING_DATABASE_HOST="/nowhere", BOOKING_REDIS_HOST="localhost", BOOKING_REDIS_TLS_CA="/ca.crt",
        BOOKING_BROKER_HOST="localhost", BOOKING_PUBLIC_URL="https://booking.example",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
