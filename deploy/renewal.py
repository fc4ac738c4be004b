"""How a secret is renewed, as edits of the inventory: in between, the old value and the new one are both accepted.

    steady     X
    announced  X and X_next: whoever checks accepts both, whoever uses one still uses X
    switched   X, renewed, and X_previous: the new one is used, both are accepted

The file of secrets says how far a renewal is, so that a run that was killed is finished by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from deploy import declarations, yaml_text
from deploy.errors import UsageError
from deploy.role_files import NEXT, PREVIOUS, Secret
from deploy.static_inventory import StaticInventory

SIGNING = ("django", "jwt")  # processes of the service check these themselves, and have read them at their start


class State(Enum):
    """How far the renewal of a secret is."""

    STEADY = "steady"
    ANNOUNCED = "announced"
    SWITCHED = "switched"


@dataclass(frozen=True)
class Renewable:
    """A secret that can be renewed. file: where it is set. value: as it is written there. stands_in: it is not set
    yet, and that of its stand-in is used."""

    secret: Secret
    role: str
    file: Path
    state: State
    value: Any = field(repr=False)
    stands_in: bool = False
    generation: int = 0

    @property
    def kind(self) -> str:
        """What people call it."""
        return self.secret.rotation

    @property
    def signs(self) -> bool:
        """Whether the service's own processes check with it."""
        return self.kind in SIGNING


def find(inventory: StaticInventory, root: Path) -> list[Renewable]:
    """The secrets of an environment that can be renewed. UsageError: where and how they are set does not allow it."""
    tree, found = inventory.tree, []
    for secret in declarations.secrets(tree, inventory.groups):
        if not secret.rotation:
            continue
        set_ = {
            name: [setting for setting in inventory.settings if setting.name == name]
            for name in (secret.name, secret.stand_in, secret.name + NEXT, secret.name + PREVIOUS, secret.generation)
            if name
        }
        for name, settings in set_.items():
            if len(settings) > 1:
                raise UsageError(f"{name} is set in two places", str(settings[1].place.file), "keep one of them")
        stands_in = not set_[secret.name] and bool(secret.stand_in)
        own = set_[secret.stand_in if stands_in else secret.name]
        if not own:
            raise UsageError(
                f"{secret.name} is not drawn yet", f"inventories/{inventory.env}",
                f"fab secrets.init --env {inventory.env}",
            )  # fmt: skip
        after, before = set_[secret.name + NEXT], set_[secret.name + PREVIOUS]
        if after and before:
            raise UsageError(
                f"{secret.name} has both a next and a previous value", after[0].place.file,
                "delete the one that nothing uses",
            )  # fmt: skip
        counted = set_.get(secret.generation)
        state = State.ANNOUNCED if after else State.SWITCHED if before else State.STEADY
        found.append(
            Renewable(
                secret=secret,
                role=tree.owner(secret.name),
                file=root / own[0].place.file,
                state=state,
                value=own[0].value,
                stands_in=stands_in,
                generation=int(counted[0].value) if counted else 0,
            )
        )
    return found


def choose(found: Sequence[Renewable], only: str, more: Iterable[str] = ()) -> list[Renewable]:
    """All, or those of one kind. UsageError: there is none of that name; `more` are names that are known elsewhere."""
    kinds = [each.kind for each in found]
    if only and only not in (*kinds, *more):
        raise UsageError(f"'{only}' is not renewed so", "--only", f"one of: {', '.join((*kinds, *more))}")
    return [each for each in found if only in ("", each.kind)]


def announce(text: str, each: Renewable, scalar: Callable[[], str], present: Callable[[], str]) -> str:
    """The file's text with a next value beside the present one. scalar: a new value as YAML, present: the stand-in's
    own one as YAML."""
    name = each.secret.name
    lines = f"{name}{NEXT}: {scalar()}"
    if each.stands_in:
        return yaml_text.insert(text, each.secret.stand_in, f"{name}: {present()}{lines}")
    return yaml_text.insert(text, name, lines)


def switch(text: str, each: Renewable) -> str:
    """The text with the next value in the place of the present one, and that as the previous: no value is touched."""
    name, counter = each.secret.name, each.secret.generation
    text = yaml_text.rename(text, name, name + PREVIOUS)
    text = yaml_text.rename(text, name + NEXT, name)
    if not counter:
        return text
    line = f"{counter}: {each.generation + 1}\n"
    if yaml_text.has(text, counter):
        return yaml_text.replace(text, counter, line)
    return yaml_text.insert(text, name, line)


def forget(text: str, each: Renewable) -> str:
    """The text without the previous value."""
    return yaml_text.remove(text, each.secret.name + PREVIOUS)
