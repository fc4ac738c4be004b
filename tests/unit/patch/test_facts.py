"""What a host says of its packages, read; and what an upgrade of them asks for."""

from __future__ import annotations

import pytest

from deploy.patch import commands, facts
from deploy.patch.facts import Intent, Survey, Upgrade

SAID = """
== boot
b0

== intent

== held
redis-server
== blacklist
Unattended-Upgrade::Package-Blacklist "";
Unattended-Upgrade::Package-Blacklist:: "^haproxy$";
Unattended-Upgrade::Package-Blacklist:: "^python3\\\\.13";
== upgrade
Reading package lists...
Inst redis-server [5:8.0-1] (5:8.0-2 Debian:13.2/stable [amd64])
Inst haproxy [3.0.1] (3.0.2 Debian-Security:13/stable-security [amd64]) []
Inst libpython3.13 [3.13.5] (3.13.6 Debian:13.2/stable [amd64])
Inst python3.13-minimal [3.13.5] (3.13.6 Debian:13.2/stable [amd64])
Inst linux-image-6.12.9-amd64 (6.12.9-1 Debian:13.2/stable [amd64])
Conf haproxy (3.0.2 Debian-Security:13/stable-security [amd64])
exit 0
== audit
== reboot
asked
linux-image-6.12.9-amd64
== needrestart
NEEDRESTART-VER: 3.11
NEEDRESTART-KSTA: 1
NEEDRESTART-SVC: cron.service
NEEDRESTART-SVC: ssh.service
== failed
broken.service
== policy
== lists
1700000000
1700007200
== upgrading
exited
"""


def read(text: str = SAID) -> Survey:
    return facts.survey("web1", commands.sections(text))


def test_every_upgrade_is_read_with_its_versions_and_what_is_said_of_it() -> None:
    assert read().upgrades == (
        Upgrade("redis-server", "5:8.0-1", "5:8.0-2", held=True),
        Upgrade("haproxy", "3.0.1", "3.0.2", security=True, held=True),
        Upgrade("libpython3.13", "3.13.5", "3.13.6"),
        Upgrade("python3.13-minimal", "3.13.5", "3.13.6", held=True),
        Upgrade("linux-image-6.12.9-amd64", "", "6.12.9-1"),
    )


def test_the_rest_of_a_host_is_read() -> None:
    said = read()
    assert (said.boot, said.error, said.removed, said.half, said.foreign) == ("b0", "", (), False, False)
    assert (said.age, said.upgrading, said.intent) == (7200, False, None)
    assert said.failed == ("broken.service",)
    assert said.stale == ("cron.service", "ssh.service")
    assert said.reboot == "asked for by linux-image-6.12.9-amd64"
    assert said.due


def test_an_apt_that_fails_is_an_error_with_its_own_words() -> None:
    said = read(SAID.replace("exit 0", "E: The list of sources could not be read.\nexit 100"))
    assert said.error == "E: The list of sources could not be read."


def test_a_host_that_says_nothing_of_apt_is_an_error_and_not_up_to_date() -> None:
    assert facts.survey("web1", {}).error


def test_packages_that_would_go_are_named() -> None:
    assert read(SAID.replace("Conf haproxy", "Remv nginx [1.26]\nConf haproxy")).removed == ("nginx",)


def test_host_with_nothing_to_do_is_not_due() -> None:
    assert not facts.survey("web1", commands.sections("== boot\nb0\n== upgrade\nexit 0\n")).due


@pytest.mark.parametrize(
    ("asked", "needrestart", "why"),
    [
        ((), (), ""),
        (("asked",), (), "asked for (/run/reboot-required)"),
        (("asked", "libc6"), (), "asked for by libc6"),
        ((), ("NEEDRESTART-KSTA: 0",), ""),
        ((), ("NEEDRESTART-KSTA: 1",), ""),
        ((), ("NEEDRESTART-KEXP: 6.12.9", "NEEDRESTART-KSTA: 2"), "kernel 6.12.9 is installed and does not run"),
        ((), ("NEEDRESTART-KEXP: 6.12.9", "NEEDRESTART-KSTA: 3"), "kernel 6.12.9 is installed and does not run"),
    ],
)
def test_pending_reboot_is_read_with_its_reason(asked: tuple[str, ...], needrestart: tuple[str, ...], why: str) -> None:
    assert facts.pending(asked, needrestart) == why


@pytest.mark.parametrize("package", ["linux-image-amd64", "linux-image-6.12.9-amd64", "libc6", "systemd", "dbus"])
def test_what_every_process_uses_asks_for_a_reboot(package: str) -> None:
    assert package in facts.needs_reboot(["curl", package], "", ())


@pytest.mark.parametrize("package", ["libc6-dev", "linux-libc-dev", "systemd-timesyncd", "curl", "nginx"])
def test_other_packages_do_not(package: str) -> None:
    assert facts.needs_reboot([package], "", ["nginx.service"]) == ""


def test_reboot_that_is_pending_or_that_a_service_needs_is_one() -> None:
    assert facts.needs_reboot([], "asked for by libc6", ()) == "asked for by libc6"
    assert facts.needs_reboot([], "", ["dbus.service"]) == "dbus.service cannot be restarted"


def test_restarted_is_each_service_once_and_none_of_the_engines_or_of_the_systems_core() -> None:
    found = facts.to_restart(
        ["redis-server.service", "nexus-patch.service"],
        [
            "redis-server.service",
            "booking-web@a.1.service",
            "systemd-journald.service",
            "user@0.service",
            "ssh.service",
        ],
        ["nginx.service"],
    )
    assert found == ["nginx.service", "redis-server.service", "ssh.service"]


def test_intent_survives_the_disk() -> None:
    intent = Intent(("curl", "libc6"), "b0", drained=True, failed=("x.service",))
    assert Intent.load(intent.dump()) == intent
    assert Intent.load("\n") is None


def test_intent_that_cannot_be_read_asks_for_everything_again() -> None:
    assert Intent.load("{half") == Intent((), "")
    said = read(SAID.replace("== intent\n", "== intent\n{half\n"))
    assert said.due


def test_what_a_killed_run_upgraded_in_this_boot_counts_in_the_next() -> None:
    left = Intent(("libc6",), "b0", drained=True, failed=("a.service",))
    said = Survey("web1", "b0", (Upgrade("curl", "1", "2"),), failed=("b.service",), intent=left)
    assert said.intended(drained=False) == Intent(("libc6", "curl"), "b0", drained=True, failed=("a.service",))


def test_a_boot_since_then_has_restarted_everything() -> None:
    left = Intent(("libc6",), "b-before", drained=False)
    said = Survey("web1", "b0", (Upgrade("curl", "1", "2"),), intent=left)
    assert said.intended(drained=True) == Intent(("curl",), "b0", drained=False), "who drained it was the killed run"


@pytest.mark.parametrize(
    ("state", "running", "failed"),
    [
        ("SubState=running\nResult=success\nLoadState=loaded", True, False),
        ("SubState=start\nResult=success\nLoadState=loaded", True, False),
        ("SubState=exited\nResult=success\nLoadState=loaded", False, False),
        ("SubState=failed\nResult=exit-code\nLoadState=loaded", False, True),
        ("SubState=dead\nResult=success\nLoadState=not-found", False, False),
    ],
)
def test_state_of_the_upgrades_unit_is_read(state: str, running: bool, failed: bool) -> None:
    said = facts.result({"state": state.splitlines()})
    assert (said["running"], said["failed"]) == (running, failed)
