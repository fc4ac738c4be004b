"""The database, asked by psql, with the application's settings and as its user: Python's driver takes ten times as long
to start, and needs a release; so does Debian's wrapper of psql, in Perl."""

import os
import subprocess

from .layout import HelperError, Layout

PSQL = "usr/lib/postgresql/*/bin/psql"
ANSWER_SECONDS = 5
MOST_SECONDS = 15  # also of one that takes a connection and then says nothing


def run(layout: Layout, statements: str, *, application: str, values: dict[str, str] | None = None) -> str:
    """What psql prints, without heads and alignment. HelperError: the database does not answer, or refuses.

    values: for `:'name'` in the statements, which quotes them. They are no secrets: everybody sees a program's
    arguments.
    """
    if not (programs := sorted(layout.root.glob(PSQL))):
        raise HelperError(f"there is no {layout.root / PSQL}: converge this host")
    command = [
        "setpriv", "--reuid=booking", "--regid=booking", "--clear-groups", "--no-new-privs",
        str(programs[-1]), "--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--quiet",
        "--set=ON_ERROR_STOP=1", *(f"--set={name}={value}" for name, value in (values or {}).items()),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, input=statements, env=environment(layout, application), cwd="/", capture_output=True, text=True,
            check=False, timeout=MOST_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HelperError(f"the database has not answered for {MOST_SECONDS} s") from None
    if done.returncode:
        raise HelperError("the database could not be asked", journal=tail(done.stderr))
    return done.stdout


def environment(layout: Layout, application: str) -> dict[str, str]:
    """What libpq reads: where the database is, and the password; nobody but root and the application can see it."""
    try:
        lines = layout.environment.read_text().splitlines()
        password = (layout.credentials / "database_password").read_text().rstrip("\r\n")
    except FileNotFoundError as error:
        raise HelperError(f"{error.filename} is missing: converge this host") from None
    told = {key: value for key, found, value in (line.partition("=") for line in lines) if found}
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGDATABASE": "NAME", "PGUSER": "USER",
             "PGSSLMODE": "SSLMODE", "PGSSLROOTCERT": "SSLROOTCERT"}  # fmt: skip
    try:
        places = {name: told[f"BOOKING_DATABASE_{key}"] for name, key in names.items()}
    except KeyError as error:
        raise HelperError(f"{layout.environment} lacks {error.args[0]}: converge this host again") from None
    return places | {
        "PATH": os.environ["PATH"], "PGPASSWORD": password, "PGAPPNAME": application,
        "PGCONNECT_TIMEOUT": str(ANSWER_SECONDS), "PGOPTIONS": f"-c statement_timeout={ANSWER_SECONDS}s",
    }  # fmt: skip


def tail(text: str) -> tuple[str, ...]:
    """The last lines of a program's output."""
    return tuple(text.splitlines()[-20:])
