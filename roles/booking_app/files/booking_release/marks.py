"""With which settings an activation was started, told by one digest of everything that systemd gives it."""

from collections.abc import Iterator
from pathlib import Path

from .layout import Layout

UNITS = ("booking-*@.service", "booking-*@.service.d/*.conf")


def settings_digest(layout: Layout) -> str:
    """A digest of the settings, secrets and units of the application as they are on disk now.

    A process that runs keeps those that it was started with: another digest than then means that it is stale.
    """
    import hashlib  # most acts need none, and each pays for what is imported

    digest = hashlib.sha256()
    for path in sources(layout):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(layout.root)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def sources(layout: Layout) -> Iterator[Path]:
    """The files that an activation takes its settings from, in a fixed order."""
    yield from (path for path in (layout.environment, layout.outgoing_ca) if path.exists())
    if layout.credentials.is_dir():
        yield from sorted(path for path in layout.credentials.iterdir() if path.is_file())
    for pattern in UNITS:
        yield from sorted(layout.units.glob(pattern))
