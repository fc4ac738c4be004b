"""Templates of units: what they share, and what would be lost in it."""

from __future__ import annotations

import re

from deploy.specs import ROOT

INCLUDE = re.compile(r"\{% include '[^']*_(?:hardened|booking)\.j2' %\}\n")
TEMPLATES = [path for folder in ("templates", "roles") for path in (ROOT / folder).rglob("*.j2")]


def test_an_empty_line_follows_what_units_share() -> None:
    """Jinja ends an included file without its last line's end, so that the next line would be added to that one."""
    using = {path: path.read_text() for path in TEMPLATES if INCLUDE.search(path.read_text())}
    assert len(using) > 10
    joined = [path.name for path, text in using.items() if any(
        text[match.end():] and text[match.end()] != "\n" for match in INCLUDE.finditer(text)
    )]
    assert joined == []


def test_every_unit_of_ours_has_the_shared_sandbox() -> None:
    folder = ROOT / "templates/etc/systemd/system"
    # A timer is no process; keepalived, which moves addresses, is Debian's and only told to start again.
    units = [
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("_")
        and not path.name.endswith(".timer.j2") and path.parent.name != "keepalived.service.d"
    ]
    assert [str(path.relative_to(folder)) for path in units if not INCLUDE.search(path.read_text())] == []
