"""Every failure: what is wrong, where, the command that mends it, and the exit code it ends with."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    USAGE = 2
    DRIFTED = 3
    UNCHANGED = 10
    ROLLED_BACK = 11
    NEEDS_PERSON = 12
    LOCKED = 13
    PREFLIGHT = 14
    ROLLBACK_REFUSED = 15
    INTERRUPTED = 130


class NexusError(Exception):
    """A failure that a person can act on.

    what: one sentence that says what is wrong.
    where: file, key or host concerned; empty when the sentence says it all.
    mend: the command (or edit) that mends it; empty when there is none.
    code: the exit code of the command; the class's own unless given.
    """

    default_code: Exit = Exit.UNCHANGED

    def __init__(self, what: str, where: str = "", mend: str = "", code: int | None = None) -> None:
        self.what = what
        self.where = where
        self.mend = mend
        self.code = int(self.default_code if code is None else code)
        super().__init__(what)

    def __str__(self) -> str:
        """`what` alone, or `where: what`, with the mending command on a line of its own."""
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n  mend: {self.mend}" if self.mend else head

    def __reduce__(self) -> tuple[type[NexusError], tuple[str, str, str, int]]:
        """Keep all fields when the error crosses from a worker process."""
        return (type(self), (self.what, self.where, self.mend, self.code))


class UsageError(NexusError):
    """The command line or the inventory asks for something that does not exist."""

    default_code = Exit.USAGE


class NoValueError(UsageError):
    """A variable has neither a value in the inventory nor a default."""


class DriftError(NexusError):
    """Hosts are not as the inventory and the roles have them; nothing was changed."""

    default_code = Exit.DRIFTED


class UnchangedError(NexusError):
    """It failed, and nothing was changed."""

    default_code = Exit.UNCHANGED


class NoReleaseError(UnchangedError):
    """It failed, because no release is there yet."""


class RolledBackError(NexusError):
    """It failed, and every host is back on what it ran before."""

    default_code = Exit.ROLLED_BACK


class NeedsPersonError(NexusError):
    """It failed in a state that a person has to look at."""

    default_code = Exit.NEEDS_PERSON


class LockedError(NexusError):
    """Another run holds the lock."""

    default_code = Exit.LOCKED


class LostLockError(LockedError):
    """This run's lock was lost while it worked: it stops where it is, and the next command puts that right."""


class PreflightError(NexusError):
    """A condition checked before anything is touched does not hold."""

    default_code = Exit.PREFLIGHT


class RollbackRefusedError(NexusError):
    """There is nothing safe to roll back to."""

    default_code = Exit.ROLLBACK_REFUSED


class InterruptedRunError(NexusError):
    """A person or a cancelled pipeline stopped the run."""

    default_code = Exit.INTERRUPTED
