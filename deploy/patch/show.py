"""Text for people: what there is to upgrade, and what a run did."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.patch.engine import Patched
from deploy.patch.facts import Survey, Upgrade
from deploy.patch.roll import Done

HOUR = 3600


def check(found: Mapping[str, Survey]) -> str:
    """A paragraph a host: what is upgradeable, what of it is held or for security, whether a reboot is pending."""
    return "\n".join(_host(each) for each in found.values())


def _host(said: Survey) -> str:
    ups = said.upgrades
    counts = f"{len(ups)} upgradeable, {_count(ups, 'security')} security, {_count(ups, 'held')} held"
    age = "never fetched" if said.age is None else f"{said.age / HOUR:.0f} h old"
    head = f"{said.host}: {counts}; reboot {'pending: ' + said.reboot if said.reboot else 'not pending'}; lists {age}"
    lines = [head, *(f"  {_package(each)}" for each in ups)]
    if said.stale:
        lines.append(f"  to be restarted: {', '.join(said.stale)}")
    if said.half:
        lines.append("  an upgrade was cut off half-way")
    if said.intent:
        lines.append("  a run of fab patch has begun here and has not ended")
    if said.error:
        lines.append(f"  apt-get: {said.error}")
    return "\n".join(lines)


def _count(ups: tuple[Upgrade, ...], what: str) -> int:
    return sum(getattr(each, what) for each in ups)


def _package(each: Upgrade) -> str:
    marks = [mark for mark, on in (("security", each.security), ("held", each.held)) if on]
    return f"{each.name} {each.old or 'new'} -> {each.new}{' (' + ', '.join(marks) + ')' if marks else ''}"


def patched(found: Patched) -> str:
    """What a run did, a paragraph a host."""
    if not found.done:
        return f"nothing to upgrade on {', '.join(found.current)}"
    lines = [f"patch: {', '.join(each.host for each in found.done)} upgraded, each proven"]
    for each in found.done:
        lines += _done(each)
    if found.current:
        lines.append(f"  nothing to upgrade on {', '.join(found.current)}")
    return "\n".join([*lines, f"  total {found.total:.1f} s"])


def _done(each: Done) -> list[str]:
    what = f"rebooted: {each.rebooted}" if each.rebooted else f"restarted: {', '.join(each.restarted) or 'nothing'}"
    lines = [
        f"  {each.host}: {len(each.packages)} packages in {each.seconds:.1f} s; {what}",
        f"    clients {each.clients}",
    ]
    if each.away and each.clients.failures:
        gap = each.clients.longest_gap_ms / 1000
        lines.append(f"    away was {'; '.join(each.away)}: who asked again for {gap:.1f} s was answered")
    return lines
