"""Reads settings from the environment and secrets from credential files.

Nothing here has a default for a secret. Every problem is collected, so that one run names all of them.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
SECRET_MINIMUM = 32  # characters of the key that signs tokens; a drawn token (32 random bytes) has 43
TRUE, FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


def read_credential(name: str, environ: Mapping[str, str]) -> str:
    """The secret `name` (lower case), without its trailing newline.

    Looked for in the file `$CREDENTIALS_DIRECTORY/<name>` (systemd's LoadCredential), then in the file that
    `<NAME>_FILE` names. Raises ImproperlyConfigured where neither exists, cannot be read or is empty.
    """
    directory, variable = environ.get("CREDENTIALS_DIRECTORY", ""), f"{name.upper()}_FILE"
    candidates = [Path(directory, name)] if directory else []
    if environ.get(variable):
        candidates.append(Path(environ[variable]))
    for path in candidates:
        try:
            secret = path.read_text(encoding="utf-8").rstrip("\r\n")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(f"secret {name}: {path} cannot be read: {error}") from error
        if not secret:
            raise ImproperlyConfigured(f"secret {name}: {path} is empty")
        return secret
    looked = ", ".join(map(str, candidates)) or "neither variable is set"
    raise ImproperlyConfigured(
        f"secret {name}: no file $CREDENTIALS_DIRECTORY/{name} and no file named by {variable} ({looked})"
    )


class Environment:
    """Typed reads of `environ`. With `building`, what is required and missing becomes a placeholder."""

    def __init__(self, environ: Mapping[str, str], *, building: bool) -> None:
        self.environ = environ
        self.building = building
        self.problems: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """The variable's text; without a default it is required and may not be empty."""
        value = self.environ.get(name, default)
        if value or default is not None:
            return value or ""
        if not self.building:
            self.problems.append(f"{name}: not set, and it has no default")
        return "build"

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True for 1, true, yes, on; False for 0, false, no, off and the empty text."""
        value = self.environ.get(name, str(default)).strip().lower()
        if value not in TRUE | FALSE:
            self.problems.append(f"{name}: {value!r} is neither true nor false")
        return value in TRUE

    def number(self, name: str, default: int) -> int:
        """A whole number."""
        value = self.environ.get(name) or str(default)
        try:
            return int(value)
        except ValueError:
            self.problems.append(f"{name}: {value!r} is not a whole number")
            return default

    def rate(self, name: str, default: str) -> str:
        """So many a period, such as "20/minute"; periods are second, minute, hour and day."""
        value = self.environ.get(name) or default
        if not RATE.fullmatch(value):
            self.problems.append(f"{name}: {value!r} is no rate, such as 20/minute or 100/hour")
        return value

    def choice(self, name: str, among: tuple[str, ...]) -> str:
        """One of the words of `among`; the first where it is not set."""
        value = self.environ.get(name) or among[0]
        if value not in among:
            self.problems.append(f"{name}: {value!r} is none of {', '.join(among)}")
        return value

    def hosts(self, name: str) -> list[str]:
        """A required list of host names, separated by commas; a wildcard is refused."""
        hosts = [host.strip() for host in self.text(name).split(",") if host.strip()]
        if "*" in hosts:
            self.problems.append(f"{name}: '*' would accept any Host header; name the hosts")
        return hosts

    def credential(self, name: str) -> str:
        """A secret (see `read_credential`); while building, a placeholder that nothing accepts."""
        if self.building:
            return f"unusable-placeholder-of-the-build-for-{name}"
        try:
            return read_credential(name, self.environ)
        except ImproperlyConfigured as error:
            self.problems.append(str(error))
            return ""

    def optional_credential(self, name: str) -> str:
        """A secret that may be missing; then "". One that is there has to be readable and not empty."""
        named = (self.environ.get("CREDENTIALS_DIRECTORY", ""), self.environ.get(f"{name.upper()}_FILE", ""))
        there = (named[0] and Path(named[0], name).exists()) or named[1]
        return self.credential(name) if there and not self.building else ""

    def signing_key(self, name: str) -> str:
        """A secret long enough to sign tokens with."""
        return self._long_enough(name, self.credential(name))

    def signing_keys(self, *names: str) -> list[str]:
        """Those of some signing keys that are there; else each is as of `signing_key`."""
        keys = [self._long_enough(name, self.optional_credential(name)) for name in names]
        return [key for key in keys if key]

    def _long_enough(self, name: str, key: str) -> str:
        if key and len(key) < SECRET_MINIMUM:
            self.problems.append(
                f"secret {name}: {len(key)} characters; at least {SECRET_MINIMUM} are needed"
            )
        return key

    def finish(self) -> None:
        """Raises ImproperlyConfigured with every problem met so far."""
        if self.problems:
            raise ImproperlyConfigured("settings are not complete:\n  " + "\n  ".join(self.problems))
