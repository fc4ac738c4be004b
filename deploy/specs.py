"""What the source tree says of itself: role defaults, argument specs, declarations, which role runs where.

Everything is read once a process and only when asked for: Ansible calls the resolver from short-lived forks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from deploy.errors import UsageError
from deploy.role_files import Role, mappings, options, read, read_role

ROOT = Path(__file__).resolve().parent.parent
SERVICE_GROUPS = ("loadbalancers", "web", "workers", "database", "etcd", "cache", "broker", "monitoring")
SHARED = "deploy/shared_variables.yml"
# What changes often, and pyinfra converges as well. Of the others Ansible alone takes care: what holds data, and the
# fleet's own authority.
STATELESS = (
    "base", "firewall", "booking_app", "cron", "nginx", "loadbalancer", "haproxy", "nginx_lb", "keepalived", "certbot",
)  # fmt: skip


@dataclass(frozen=True)
class Play:
    """One play of site.yml: its host pattern and its roles."""

    pattern: str
    roles: tuple[str, ...]

    @cached_property
    def terms(self) -> tuple[tuple[str, str], ...]:
        """The pattern as (operator, group) pairs; operator is '', '!' or '&'."""
        words = [word.strip() for word in self.pattern.replace(",", ":").split(":") if word.strip()]
        return tuple((w[0], w[1:]) if w[0] in "!&" else ("", w) for w in words)

    def covers(self, host: str, groups: Mapping[str, Sequence[str]]) -> bool:
        """Whether the play runs on `host`; groups maps a group to its host names."""

        def member(group: str) -> bool:
            return group in ("all", host) or host in groups.get(group, ())

        asked = [member(group) for sign, group in self.terms if not sign]
        return any(asked) and not any(
            (sign == "!" and member(group)) or (sign == "&" and not member(group)) for sign, group in self.terms
        )


class Tree:
    """The source tree at `root` (the folder with site.yml and roles/)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._roles: dict[str, Role] = {}

    @cached_property
    def role_names(self) -> tuple[str, ...]:
        """Names of all role folders, sorted."""
        folder = self.root / "roles"
        return tuple(sorted(p.name for p in folder.iterdir() if p.is_dir())) if folder.is_dir() else ()

    @cached_property
    def shared(self) -> Mapping[str, Mapping[str, Any]]:
        """Options of the variables that several roles and the engine share."""
        return options(read(self.root / SHARED).get("options"), self.root / SHARED)

    @cached_property
    def plays(self) -> tuple[Play, ...]:
        """The plays of site.yml that run roles, in order."""
        found = []
        for play in mappings(read(self.root / "site.yml", empty=[]), self.root / "site.yml"):
            pattern = play.get("hosts", "")
            pattern = ":".join(pattern) if isinstance(pattern, list) else str(pattern)
            roles = tuple(
                r if isinstance(r, str) else str(r.get("role") or r.get("name")) for r in play.get("roles") or ()
            )
            if roles:
                found.append(Play(pattern, roles))
        return tuple(found)

    def role(self, name: str) -> Role:
        """The role `name`; a folder without files is a role without variables. UsageError: no such role."""
        if name not in self._roles:
            if name not in self.role_names:
                raise UsageError(f"role '{name}' does not exist under roles/", "site.yml")
            self._roles[name] = read_role(self.root / "roles" / name)
        return self._roles[name]

    def roles_of(self, host: str, groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
        """Names of the roles that site.yml runs on `host`, in its order, each once."""
        names = [role for play in self.plays if play.covers(host, groups) for role in play.roles]
        return tuple(dict.fromkeys(names))

    def owner(self, variable: str) -> str:
        """The role a variable belongs to by its prefix (the longest that fits), or ''."""
        fits = [name for name in self.role_names if variable.startswith(f"{name}_")]
        return max(fits, key=len, default="")

    def option(self, variable: str) -> Mapping[str, Any] | None:
        """The specification of a variable, or None when nothing declares it."""
        if variable in self.shared:
            return self.shared[variable]
        owner = self.owner(variable)
        return self.role(owner).options.get(variable) if owner else None

    def default(self, variable: str) -> Any:
        """A variable's default: the owning role's, else the shared one. KeyError: it has none."""
        owner = self.owner(variable)
        if owner and variable in (defaults := self.role(owner).defaults):
            return defaults[variable]
        return self.shared[variable]["default"]

    def variables(self) -> frozenset[str]:
        """Every variable that a role or the shared specification declares."""
        names = set(self.shared)
        for role in self.role_names:
            names.update(self.role(role).options)
        return frozenset(names)


@lru_cache(maxsize=8)
def tree(root: Path = ROOT) -> Tree:
    """The tree at `root`, read once a process."""
    return Tree(root)
